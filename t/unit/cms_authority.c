/* sources: ngx_cms_proxy_module/cms_authority.c */

/* What counts as a host name, and which names are the same. */

#include "cms_authority.h"
#include "tap.h"

#define U(s) ((const unsigned char *)(s))

typedef struct {
    const char *text;
    cms_authority_status_t status;
    const char *host;
    unsigned port;
} parse_case_t;

static const parse_case_t parse_cases[] = {
    {"cmsweb.octavio.test", CMS_AUTHORITY_OK, "cmsweb.octavio.test", 0},
    {"CMSweb.octavio.test", CMS_AUTHORITY_OK, "CMSweb.octavio.test", 0},
    {"cmsweb.octavio.test.", CMS_AUTHORITY_OK, "cmsweb.octavio.test", 0},
    {"cmsweb.octavio.test.:443", CMS_AUTHORITY_OK, "cmsweb.octavio.test", 443},
    {"cmsweb:8443", CMS_AUTHORITY_OK, "cmsweb", 8443},
    {"cmsweb:", CMS_AUTHORITY_OK, "cmsweb", 0},
    {"cmsweb:1", CMS_AUTHORITY_OK, "cmsweb", 1},
    {"cmsweb:65535", CMS_AUTHORITY_OK, "cmsweb", 65535},
    {"xn--mller-kva.test", CMS_AUTHORITY_OK, "xn--mller-kva.test", 0},
    {"_sip._tls", CMS_AUTHORITY_OK, "_sip._tls", 0},
    {"1a.test", CMS_AUTHORITY_OK, "1a.test", 0},
    {"0xz", CMS_AUTHORITY_OK, "0xz", 0},
    {"", CMS_AUTHORITY_EMPTY, NULL, 0},
    {":443", CMS_AUTHORITY_EMPTY, NULL, 0},
    {"192.0.2.1", CMS_AUTHORITY_IP, NULL, 0},
    {"192.0.2.1:443", CMS_AUTHORITY_IP, NULL, 0},
    {"3221225985", CMS_AUTHORITY_IP, NULL, 0},
    {"0x7f.1", CMS_AUTHORITY_IP, NULL, 0},
    {"0x7f000001", CMS_AUTHORITY_IP, NULL, 0},
    {"[2001:db8::1]", CMS_AUTHORITY_IP, NULL, 0},
    {"[2001:db8::1]:443", CMS_AUTHORITY_IP, NULL, 0},
    {"2001:db8::1", CMS_AUTHORITY_INVALID, NULL, 0},
    {"cmsweb:0", CMS_AUTHORITY_INVALID, NULL, 0},
    {"cmsweb:65536", CMS_AUTHORITY_INVALID, NULL, 0},
    {"cmsweb:000443", CMS_AUTHORITY_INVALID, NULL, 0},
    {"cmsweb:44a", CMS_AUTHORITY_INVALID, NULL, 0},
    {"user@cmsweb", CMS_AUTHORITY_INVALID, NULL, 0},
    {"cmsweb..octavio", CMS_AUTHORITY_INVALID, NULL, 0},
    {".cmsweb", CMS_AUTHORITY_INVALID, NULL, 0},
    {"cmsweb..", CMS_AUTHORITY_INVALID, NULL, 0},
    {".", CMS_AUTHORITY_INVALID, NULL, 0},
    {"cms web", CMS_AUTHORITY_INVALID, NULL, 0},
    {"cms/web", CMS_AUTHORITY_INVALID, NULL, 0},
    {"m\xc3\xbcller.test", CMS_AUTHORITY_INVALID, NULL, 0},
};

typedef struct {
    const char *text;
    const char *authority;
} find_case_t;

static const find_case_t line_cases[] = {
    {"GET http://h:80/x HTTP/1.1", "h:80"},
    {"GET https://h HTTP/1.1", "h"},
    {"GET HTTP://H?x HTTP/1.1", "H"},
    {"GET http://u@h/ HTTP/1.1", "u@h"},
    {"GET / HTTP/1.1", NULL},
    {"GET /?u=http://h/ HTTP/1.1", NULL},
    {"OPTIONS * HTTP/1.1", NULL},
    {"CONNECT h:443 HTTP/1.1", NULL},
    {"GET", NULL},
    {"", NULL},
};

static const find_case_t url_cases[] = {
    {"https://h:8443", "h:8443"},
    {"https://h/x?y=https://z/", "h"},
    {"https://h?x", "h"},
    {"https://h#x", "h"},
    {"https://", ""},
    {"null", NULL},
    {"://h", NULL},
    {"/x", NULL},
    {"", NULL},
};

static void
parse(const parse_case_t *c)
{
    cms_authority_t a;
    cms_authority_status_t status;

    status = cms_authority_parse(U(c->text), strlen(c->text), &a);
    if (!is_int(status, c->status, c->text) || status != CMS_AUTHORITY_OK) {
        return;
    }
    is_mem(a.host, a.host_len, c->host, "  its host");
    is_int(a.port, c->port, "  its port");
}

static void
find(const find_case_t *c, int (*finder)(const unsigned char *, size_t,
                                         const unsigned char **, size_t *))
{
    const unsigned char *p;
    size_t len;
    int found = finder(U(c->text), strlen(c->text), &p, &len);

    is_int(found, c->authority != NULL, c->text);
    if (found && c->authority) {
        is_mem(p, len, c->authority, "  its authority");
    }
}

static void
lengths(void)
{
    unsigned char long_name[260];
    cms_authority_t a;
    size_t i;

    for (i = 0; i < sizeof(long_name); i++) {
        long_name[i] = i % 50 == 49 ? '.' : 'a';
    }
    is_int(cms_authority_parse(long_name, 253, &a), CMS_AUTHORITY_OK,
           "a name of 253 bytes");
    is_int(cms_authority_parse(long_name, 254, &a), CMS_AUTHORITY_INVALID,
           "one of 254 is too long");
    memset(long_name, 'a', 64);
    is_int(cms_authority_parse(long_name, 63, &a), CMS_AUTHORITY_OK,
           "a label of 63 bytes");
    is_int(cms_authority_parse(long_name, 64, &a), CMS_AUTHORITY_INVALID,
           "one of 64 is too long");
}

int
main(void)
{
    size_t i;

    for (i = 0; i < sizeof(parse_cases) / sizeof(*parse_cases); i++) {
        parse(&parse_cases[i]);
    }
    lengths();
    for (i = 0; i < sizeof(line_cases) / sizeof(*line_cases); i++) {
        find(&line_cases[i], cms_authority_of_request_line);
    }
    for (i = 0; i < sizeof(url_cases) / sizeof(*url_cases); i++) {
        find(&url_cases[i], cms_authority_of_url);
    }
    ok(cms_authority_same_host(U("CMS.Test"), 8, U("cms.tEST"), 8),
       "letter case does not matter");
    ok(!cms_authority_same_host(U("cms@test"), 8, U("cms`test"), 8),
       "only letters have a case");
    ok(!cms_authority_same_host(U("cms"), 3, U("cms."), 4),
       "names of other lengths differ");
    return done_testing();
}
