/* sources: ngx_cms_proxy_module/cms_rewrite.c ngx_cms_proxy_module/cms_search.c */
/* sources: ngx_cms_proxy_module/cms_authority.c */

/* Where an inside name is found, what replaces it, and what stays. */

#include "cms_rewrite.h"
#include "tap.h"

#include <stdlib.h>

#define U(s) ((const unsigned char *)(s))
#define HOST(s) U(s), sizeof(s) - 1

#define AT_RUN_TIME {NULL, 0, NULL, 0}

static const cms_rewrite_mapping_t mappings[] = {
    {CMS_REWRITE_DOMAIN, HOST("in.local"), 0, {HOST("out.test"),
                                               HOST("out.test")}},
    {CMS_REWRITE_AUTHORITY, HOST("h.in.local"), 0, AT_RUN_TIME},
    {CMS_REWRITE_AUTHORITY, HOST("p.in.local"), 8443, AT_RUN_TIME},
};

typedef struct {
    const char *text;
    const char *rewritten; /* NULL: stays */
} rewrite_case_t;

static const rewrite_case_t plain_cases[] = {
    {"https://h.in.local/x", "https://guest.test/x"},
    {"//h.in.local", "//guest.test"},
    {"wss://H.IN.Local/ws", "wss://guest.test/ws"},
    {"https:\\/\\/h.in.local\\/x", "https:\\/\\/guest.test\\/x"},
    {"https%3A%2F%2Fh.in.local%2Fx", "https%3A%2F%2Fguest.test%2Fx"},
    {"https%3a%2f%2fh.in.local%3A443%2f", "https%3a%2f%2fguest.test%2f"},
    {"\\u002f\\u002fh.in.local\\u002f", "\\u002f\\u002fguest.test\\u002f"},
    {"h.in.local", "guest.test"},
    {"'h.in.local'", "'guest.test'"},
    {"https://h.in.local:443/", "https://guest.test/"},
    {"http://h.in.local:80/", "http://guest.test/"},
    {"https://h.in.local./x", "https://guest.test/x"},
    {"https://h.in.local.:443/", "https://guest.test/"},
    {"ends with h.in.local.", "ends with guest.test."},
    {"ends with h.in.local.\\nNext", "ends with guest.test.\\nNext"},
    {"ends with h.in.local.\\\"", "ends with guest.test.\\\""},
    {"https:\\/\\/h.in.local.\\/x", "https:\\/\\/guest.test\\/x"},
    {"h.in.local.\\u002fx", "guest.test\\u002fx"},
    {"h.in.local.\\u005c/x", "guest.test.\\u005c/x"},
    {"h.in.local: text", "guest.test: text"},
    {"h.in.local h.in.local", "guest.test guest.test"},
    {"sip:u@h.in.local", "sip:u@guest.test"},
    {"u@in.local", "u@out.test"},
    {"u%40in.local", "u%40out.test"},
    {"https://p.in.local:8443/", "https://guest.test/"},
    {"https://p.in.local/", "https://guest.test/"},
    {"https://p.in.local:443/", NULL},
    {"https://h.in.local:8443/", NULL},
    {"https://h.in.local:4430/", NULL},
    {"https://h.in.local:443x", NULL},
    {"https://h.in.local:123456/", NULL},
    {"\\x2f\\x2fh.in.local\\x2f", "\\x2f\\x2fguest.test\\x2f"},
    {"\\u002F\\U002fh.in.local\\u003a443", "\\u002F\\U002fguest.test"},
    {"u\\u0040in.local\\u0022", "u\\u0040out.test\\u0022"},
    {"\\nh.in.local\\n", "\\nguest.test\\n"},
    {"\\th.in.local\\r\\n", "\\tguest.test\\r\\n"},
    {"https://h.in.local:443.", "https://guest.test."},
    {"https://h.in.local:443. So", "https://guest.test. So"},
    {"https://h.in.local:/", "https://guest.test:/"},
    {"https://h.in.local:7443/", "https://guest.test/"},
    {"https://h.in.local%2E%2Fx", "https://guest.test%2Fx"},
    {"h.in.local%", "guest.test%"},
    {"h.in.local\\", "guest.test\\"},
    {"\\ah.in.local", NULL},
    {"https://h.in.local:443.x", NULL},
    {"h.in.local\\u002ex", NULL},
    {"\\x61h.in.local", NULL},
    {"in.local", NULL},
    {"https://in.local/", NULL},
    {"xh.in.local", NULL},
    {"x.h.in.local", NULL},
    {"x-h.in.local", NULL},
    {"h.in.local.example", NULL},
    {"h.in.local-2", NULL},
    {"h.in.local2", NULL},
    {"h.in.local_", NULL},
    {"h.in.local\xc3\xbc", NULL},
    {"\xc3\xbch.in.local", NULL},
    {"h.in.local%2Eexample", NULL},
    {"x%2Eh.in.local", NULL},
    {"h%2Ein.local", NULL},
    {"u@in.local.example", NULL},
    {"\xe2\x80\x9ch.in.local\xe2\x80\x9d",
     "\xe2\x80\x9cguest.test\xe2\x80\x9d"},
    {"see\xe2\x80\x9ch.in.local.\xe2\x80\x9d",
     "see\xe2\x80\x9cguest.test.\xe2\x80\x9d"},
    {"\xc2\xabh.in.local:443\xc2\xbb", "\xc2\xabguest.test\xc2\xbb"},
    {"\xef\xbb\xbfh.in.local\xc2\xa0", "\xef\xbb\xbfguest.test\xc2\xa0"},
    {"\xe3\x80\x82h.in.local\xe3\x80\x82",
     "\xe3\x80\x82guest.test\xe3\x80\x82"},
    {"\xef\xbc\x9ah.in.local\xef\xbc\x8c",
     "\xef\xbc\x9aguest.test\xef\xbc\x8c"},
    {"\\u201ch.in.local\\u201d", "\\u201cguest.test\\u201d"},
    {"\\u00abh.in.local\\u00bb", "\\u00abguest.test\\u00bb"},
    {"h.in.local\xc2\xb5", NULL},
    {"h.in.local\xe2", NULL},
    {"h.in.local\xe2\x80", NULL},
    {"h.in.local\xe2\x82\xac", NULL},
    {"\xe3\x80\x85h.in.local", NULL},
    {"\xef\xbc\x8eh.in.local", NULL},
    {"\x80\x9ch.in.local", NULL},
    {"\\u4e2dh.in.local", NULL},
    {"h.in.local\\u00b5", NULL},
    {"h.in.loca", NULL},
    {"", NULL},
};

static const rewrite_case_t port_cases[] = {
    {"https://h.in.local/x", "https://guest.test:9443/x"},
    {"https://h.in.local:443/x", "https://guest.test:9443/x"},
    {"https%3A%2F%2Fh.in.local%2Fx", "https%3A%2F%2Fguest.test%3A9443%2Fx"},
    {"h.in.local", "guest.test:9443"},
};

typedef struct {
    const char *cookie;
    const char *domain; /* NULL: none */
} cookie_case_t;

static const cookie_case_t cookie_cases[] = {
    {"a=b; Domain=h.in.local; Path=/", "h.in.local"},
    {"a=b;domain=.h.in.local", "h.in.local"},
    {"a=b; DOMAIN = h.in.local ;Secure", "h.in.local"},
    {"a=b; Domain=", ""},
    {"a=b; Path=/domain=x", NULL},
    {"domain=x; Path=/", NULL},
    {"a=b; Domainx=y", NULL},
    {"a=b; Domain", NULL},
    {"a=b", NULL},
    {"", NULL},
};

static cms_rewrite_set_t set;
static cms_rewrite_to_t guest;
static unsigned char guest_buffer[64];

static void
to(unsigned port)
{
    cms_rewrite_to_write(&guest, guest_buffer, HOST("guest.test"), port);
}

/* In pieces of n bytes; each is overwritten once it is taken. */
static size_t
in_pieces(const char *text, size_t n, unsigned char *out)
{
    size_t len = strlen(text), at = 0, piece_len, from, k;
    cms_rewrite_t rw;

    cms_rewrite_begin(&rw, &set, &guest, 7443);
    for (from = 0; from <= len; from += n) {
        unsigned char piece[128];
        const unsigned char *in = piece, *seen = piece, *p;

        k = len - from < n ? len - from : n;
        memcpy(piece, text + from, k);
        while (cms_rewrite_next(&rw, &in, piece + k, from + n > len, &p,
                                &piece_len) != CMS_REWRITE_MORE) {
            memcpy(out + at, p, piece_len);
            at += piece_len;
            memset(piece + (seen - piece), 'x', in - seen);
            seen = in;
        }
    }
    return at;
}

static int
same_in_all_pieces(const char *text, const char *want)
{
    unsigned char out[256];
    size_t n;

    for (n = 1; n <= strlen(text); n++) {
        size_t len = in_pieces(text, n, out);

        if (len != strlen(want) || memcmp(out, want, len) != 0) {
            printf("#   in pieces of %d: '%.*s'\n", (int)n, (int)len,
                   (char *)out);
            return 0;
        }
    }
    return 1;
}

/* Twenty times the text, in its own memory; what has no room: as it comes. */
static int
same_in_place(const char *text, const char *want)
{
    unsigned char buffer[2048], out[8192], *to = buffer, *start = buffer;
    const unsigned char *in = buffer, *p;
    size_t n = 0, at = 0, len, k;
    cms_rewrite_t rw;

    for (k = 0; k < 20; k++) {
        n += sprintf((char *)buffer + n, "\"%s\" and so on ", text);
    }
    cms_rewrite_begin(&rw, &set, &guest, 7443);
    while (cms_rewrite_move(&rw, &in, buffer + n, 1, &to, 100, &p, &len) !=
           CMS_REWRITE_MORE) {
        if (len <= (size_t)(in - to)) {
            memmove(to, p, len);
            to += len;
            continue;
        }
        memcpy(out + at, start, to - start);
        at += to - start;
        memcpy(out + at, p, len);
        at += len;
        start = to;
    }
    memcpy(out + at, start, to - start);
    at += to - start;
    for (k = 0, n = 0; k < 20 && n < at; k++) {
        len = sprintf((char *)buffer, "\"%s\" and so on ", want);
        if (len > at - n || memcmp(out + n, buffer, len) != 0) {
            return 0;
        }
        n += len;
    }
    return k == 20 && n == at;
}

static void
rewrite(const rewrite_case_t *c)
{
    const char *want = c->rewritten ? c->rewritten : c->text;
    size_t len = strlen(c->text), matches, out_len;
    unsigned char *in = malloc(len ? len : 1), *out;

    memcpy(in, c->text, len);
    out_len = cms_rewrite(&set, &guest, 7443, in, len, NULL, &matches);
    out = malloc(out_len ? out_len : 1);
    is_int(cms_rewrite(&set, &guest, 7443, in, len, out, &matches), out_len,
           "as long as was said");
    is_mem(out, out_len, want, *c->text ? c->text : "(empty)");
    ok(c->rewritten ? matches > 0 : matches == 0, "  counted");
    ok(same_in_all_pieces(c->text, want), "  and in pieces of any size");
    if (*c->text && !strpbrk(c->text + len - 1, ".%\\")) {
        ok(same_in_place(c->text, want), "  and in place, many times");
    }
    free(in);
    free(out);
}

static void
cookie(const cookie_case_t *c)
{
    size_t pos = 0, start, end;
    int found = cms_cookie_domain(U(c->cookie), strlen(c->cookie), &pos,
                                  &start, &end);

    is_int(found, c->domain != NULL, c->cookie);
    if (found && c->domain) {
        is_mem(c->cookie + start, end - start, c->domain, "  its Domain");
        is_int(cms_cookie_domain(U(c->cookie), strlen(c->cookie), &pos, &start,
                                 &end),
               0, "  and no other");
    }
}

int
main(void)
{
    size_t i;

    cms_rewrite_compile(&set, mappings, 3);
    to(0);
    for (i = 0; i < sizeof(plain_cases) / sizeof(*plain_cases); i++) {
        rewrite(&plain_cases[i]);
    }
    to(9443);
    for (i = 0; i < sizeof(port_cases) / sizeof(*port_cases); i++) {
        rewrite(&port_cases[i]);
    }
    for (i = 0; i < sizeof(cookie_cases) / sizeof(*cookie_cases); i++) {
        cookie(&cookie_cases[i]);
    }
    ok(cms_cookie_domain_covers(HOST("h.in.local"), HOST("h.in.local")),
       "a cookie of the host itself");
    ok(cms_cookie_domain_covers(HOST("IN.local"), HOST("h.in.local")),
       "a cookie of its parent");
    ok(!cms_cookie_domain_covers(HOST("local"), HOST("h.in.local")),
       "not of a single label");
    ok(!cms_cookie_domain_covers(HOST(".in.local"), HOST("xin.local")),
       "not of a name that only ends alike");
    ok(!cms_cookie_domain_covers(HOST("n.local"), HOST("h.in.local")),
       "not in the middle of a label");
    ok(!cms_cookie_domain_covers(HOST("x.h.in.local"), HOST("h.in.local")),
       "not of a child");
    return done_testing();
}
