/* sources: ngx_cms_proxy_module/cms_mask.c */

/* What is left of a request line or an error line in a log. */

#include "cms_mask.h"
#include "tap.h"

#include <stdlib.h>

typedef struct {
    const char *text;
    const char *masked;
} mask_case_t;

static const mask_case_t cases[] = {
    {"GET / HTTP/1.1", "GET / HTTP/1.1"},
    {"GET /app.js?v=17 HTTP/1.1", "GET /app.js?v=* HTTP/1.1"},
    {"GET /invited.sf?secret=abc&id=100101 HTTP/1.1",
     "GET /invited.sf?secret=*&id=100101 HTTP/1.1"},
    {"GET /invited.sf?id=100101&secret=abc HTTP/2.0",
     "GET /invited.sf?id=100101&secret=* HTTP/2.0"},
    {"GET /meeting/100101?secret=abc HTTP/1.1",
     "GET /meeting/100101?secret=* HTTP/1.1"},
    {"GET /x?id=abc HTTP/1.1", "GET /x?id=* HTTP/1.1"},
    {"GET /x?id=1;secret=abc HTTP/1.1", "GET /x?id=* HTTP/1.1"},
    {"GET /x?id=123456789012345678901 HTTP/1.1", "GET /x?id=* HTTP/1.1"},
    {"GET /x?abc HTTP/1.1", "GET /x?* HTTP/1.1"},
    {"GET /x?c2VjcmV0= HTTP/1.1", "GET /x?* HTTP/1.1"},
    {"GET /x?a%3Dabc=1 HTTP/1.1", "GET /x?* HTTP/1.1"},
    {"GET /x?&&a=b& HTTP/1.1", "GET /x?&&a=*& HTTP/1.1"},
    {"GET /x? HTTP/1.1", "GET /x? HTTP/1.1"},
    {"GET /x?a=b?c=d HTTP/1.1", "GET /x?a=* HTTP/1.1"},
    {"GET /x#abc HTTP/1.1", "GET /x#* HTTP/1.1"},
    {"GET /x%3Fsecret=abc HTTP/1.1", "GET /x%3F* HTTP/1.1"},
    {"GET /x%3fsecret%3Dabc HTTP/1.1", "GET /x%3f* HTTP/1.1"},
    {"GET /x&secret=abc HTTP/1.1", "GET /x&* HTTP/1.1"},
    {"GET /x%26secret=abc HTTP/1.1", "GET /x%26* HTTP/1.1"},
    {"GET /x;secret=abc HTTP/1.1", "GET /x;* HTTP/1.1"},
    {"GET /a%20b/%41 HTTP/1.1", "GET /a%20b/%41 HTTP/1.1"},
    {"GET /ws/eyJhbGciOi.eyJzdWIi.c2ln HTTP/1.1", "GET /ws/* HTTP/1.1"},
    {"GET /ws/eyJhbGciOi/x?y=z HTTP/1.1", "GET /ws/*/x?y=* HTTP/1.1"},
    {"GET /x?secret=a HTTP/b HTTP/1.1", "GET /x?secret=* HTTP/1.1"},
    {"GET /x?secret=a b", "GET /x?secret=*"},
    {"GET /x?secret=a\"b HTTP/1.1", "GET /x?secret=* HTTP/1.1"},
    {"", ""},
    {"?", "?"},
    {"%3", "%3"},
    {", client: 192.0.2.1, server: _, request: \"GET /x?s=abc HTTP/1.1\", "
     "upstream: \"https://192.0.2.9:443/x?s=abc\", host: \"h\", "
     "referrer: \"https://h/y?s=abc&id=1\"",
     ", client: 192.0.2.1, server: _, request: \"GET /x?s=* HTTP/1.1\", "
     "upstream: \"https://192.0.2.9:443/x?s=*\", host: \"h\", "
     "referrer: \"https://h/y?s=*&id=1\""},
    {"request: \"GET /x?s=abc", "request: \"GET /x?s=*"},
};

int
main(void)
{
    size_t i, len;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        /* an exact allocation, so that the sanitizer sees each step too far */
        len = strlen(cases[i].text);
        unsigned char *text = malloc(len ? len : 1);

        memcpy(text, cases[i].text, len);
        len = cms_mask(text, len);
        is_mem(text, len, cases[i].masked, cases[i].text);
        is_int(cms_mask(text, len), len, "  masking it again changes nothing");
        free(text);
    }
    return done_testing();
}
