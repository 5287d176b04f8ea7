/* sources: ngx_cms_proxy_module/cms_rewrite.c */
/* sources: ngx_cms_proxy_module/cms_authority.c */

/* Where an inside name is found, what replaces it, and what stays. */

#include "cms_rewrite.h"
#include "tap.h"

#include <stdlib.h>

#define U(s) ((const unsigned char *)(s))
#define HOST(s) U(s), sizeof(s) - 1

static const cms_rewrite_mapping_t plain[] = {
    {CMS_REWRITE_DOMAIN, HOST("in.local"), 0, HOST("out.test"), 0},
    {CMS_REWRITE_AUTHORITY, HOST("h.in.local"), 0, HOST("guest.test"), 0},
    {CMS_REWRITE_AUTHORITY, HOST("p.in.local"), 8443, HOST("guest.test"), 0},
};

static const cms_rewrite_mapping_t with_port[] = {
    {CMS_REWRITE_AUTHORITY, HOST("h.in.local"), 0, HOST("guest.test"), 9443},
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

static void
rewrite(const rewrite_case_t *c, const cms_rewrite_mapping_t *m, size_t n)
{
    const char *want = c->rewritten ? c->rewritten : c->text;
    size_t len = strlen(c->text), matches, out_len;
    unsigned char *in = malloc(len ? len : 1), *out;

    memcpy(in, c->text, len);
    out_len = cms_rewrite(in, len, m, n, NULL, &matches);
    out = malloc(out_len ? out_len : 1);
    is_int(cms_rewrite(in, len, m, n, out, &matches), out_len,
           "as long as was said");
    is_mem(out, out_len, want, *c->text ? c->text : "(empty)");
    ok(c->rewritten ? matches > 0 : matches == 0, "  counted");
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

    for (i = 0; i < sizeof(plain_cases) / sizeof(*plain_cases); i++) {
        rewrite(&plain_cases[i], plain, 3);
    }
    for (i = 0; i < sizeof(port_cases) / sizeof(*port_cases); i++) {
        rewrite(&port_cases[i], with_port, 1);
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
