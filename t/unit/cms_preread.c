/* sources: ngx_cms_proxy_module/cms_preread.c */
/* sources: ngx_cms_proxy_module/cms_stun.c */
/* sources: ngx_cms_proxy_module/cms_client_hello.c */

/* What the first bytes are, and which side they go to. */

#include "cms_preread.h"
#include "tap.h"

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

/* ---- what it is ---- */

#define STUN                                                                   \
    "\x00\x03\x00\x00\x21\x12\xa4\x42"                                         \
    "0123456789ab"
#define HELLO                                                                  \
    "\x16\x03\x01\x00\x2d\x01\x00\x00\x29\x03\x03"                             \
    "random, random, random, random, "                                         \
    "\x00\x00\x02\x13\x01\x01\x00"

typedef struct {
    const char *bytes;
    size_t len;
    cms_preread_t found;
    const char *name;
} look_case_t;

#define BYTES(s) s, sizeof(s) - 1

static const look_case_t look_cases[] = {
    {BYTES(""), CMS_PREREAD_MORE, "nothing"},
    {BYTES("\x00"), CMS_PREREAD_MORE, "a byte of STUN"},
    {BYTES(STUN), CMS_PREREAD_STUN, "an Allocate request"},
    {BYTES("\x00\x03\x00\x00\x21\x12\xa4\x43"), CMS_PREREAD_OTHER,
     "nearly one"},
    {BYTES("\x01"), CMS_PREREAD_OTHER, "a STUN answer"},
    {BYTES("\x04"), CMS_PREREAD_OTHER, "a reserved STUN method"},
    {BYTES("\x16"), CMS_PREREAD_MORE, "a byte of TLS"},
    {BYTES("\x16\x03"), CMS_PREREAD_MORE, "two bytes of TLS"},
    {BYTES("\x16\x04"), CMS_PREREAD_OTHER, "no TLS"},
    {BYTES("\x16\x03\x01\x00\x04\x02"), CMS_PREREAD_TLS,
     "TLS that is no ClientHello"},
    {BYTES(HELLO), CMS_PREREAD_TLS, "a ClientHello"},
    {BYTES("\x15\x03\x01\x00\x02\x01\x00"), CMS_PREREAD_OTHER, "an alert"},
    {BYTES("\x80\x2e\x01\x03\x01"), CMS_PREREAD_OTHER, "a hello of SSLv2"},
    {BYTES("G"), CMS_PREREAD_HTTP, "a letter of HTTP"},
    {BYTES("A"), CMS_PREREAD_HTTP, "the first letter"},
    {BYTES("Z"), CMS_PREREAD_HTTP, "the last letter"},
    {BYTES("@"), CMS_PREREAD_OTHER, "what is before letters"},
    {BYTES("["), CMS_PREREAD_OTHER, "what is behind letters"},
    {BYTES("GET / HTTP/1.1\r\n"), CMS_PREREAD_HTTP, "a request"},
    {BYTES("PRI * HTTP/2.0\r\n"), CMS_PREREAD_HTTP, "HTTP/2"},
    {BYTES("PROXY TCP4 "), CMS_PREREAD_HTTP, "a PROXY header is taken for it"},
    {BYTES("get /"), CMS_PREREAD_OTHER, "a small letter"},
    {BYTES("\r\n\r\n\x00\r\nQUIT\n"), CMS_PREREAD_OTHER,
     "a PROXY header of version 2"},
    {BYTES("\x40\x00\x00\x04"), CMS_PREREAD_OTHER, "ChannelData"},
    {BYTES("\xff"), CMS_PREREAD_OTHER, "anything else"},
};

static void
look(const look_case_t *c)
{
    cms_client_hello_t h;
    const unsigned char *p = (const unsigned char *)c->bytes;
    cms_preread_t found = cms_preread_look(p, c->len, &h);

    is_int(found, c->found, c->name);
    if (found == CMS_PREREAD_MORE) {
        ok(h.need > c->len, "  needs more");
    }
}

/* A first byte of two of them would leave it to chance. */
static void
first_bytes(void)
{
    cms_client_hello_t h;
    int count[CMS_PREREAD_OTHER + 1] = {0};
    unsigned i;

    for (i = 0; i < 256; i++) {
        unsigned char c = i;

        count[cms_preread_look(&c, 1, &h)]++;
    }
    is_int(count[CMS_PREREAD_MORE], 3, "three first bytes need another");
    is_int(count[CMS_PREREAD_HTTP], 26, "each capital letter is HTTP");
    is_int(count[CMS_PREREAD_OTHER], 227, "no other is anything");
}

/* ---- where it goes ---- */

#define NONE CMS_PREREAD_TO_NONE
#define MISSING CMS_PREREAD_TO_MISSING
#define HTTPS CMS_PREREAD_TO_HTTPS
#define TURNS CMS_PREREAD_TO_TURNS
#define HTTP CMS_PREREAD_TO_HTTP
#define TURN CMS_PREREAD_TO_TURN
#define ALL (HTTPS | TURNS | HTTP | TURN)

enum { NO_ALPN, WEB, ODD, STUN_ALPN, BOTH, BROKEN };

static const char *const hello_names[] = {
    "without ALPN",
    "with h2",
    "with an unknown protocol",
    "with stun.turn",
    "with h2 and stun.turn",
    "that is broken",
};

static const cms_client_hello_t hellos[] = {
    [NO_ALPN] = {.alpn_present = 0},
    [WEB] = {.alpn_present = 1, .alpn_http = 1},
    [ODD] = {.alpn_present = 1},
    [STUN_ALPN] = {.alpn_present = 1, .alpn_stun = 1},
    [BOTH] = {.alpn_present = 1, .alpn_stun = 1, .alpn_http = 1},
    [BROKEN] = {.broken = 1},
};

typedef struct {
    int hello;
    unsigned targets;
    cms_preread_to_t to;
} tls_case_t;

static const tls_case_t tls_cases[] = {
    {NO_ALPN, ALL, TURNS},
    {NO_ALPN, ALL & ~TURNS, HTTPS},
    {WEB, ALL, HTTPS},
    {WEB, ALL & ~HTTPS, TURNS},
    {ODD, ALL, HTTPS},
    {ODD, ALL & ~HTTPS, TURNS},
    {STUN_ALPN, ALL, TURNS},
    {STUN_ALPN, ALL & ~TURNS, HTTPS},
    {BOTH, ALL, TURNS},
    {BROKEN, ALL, HTTPS},
    {BROKEN, ALL & ~HTTPS, TURNS},
    {NO_ALPN, HTTP | TURN, MISSING},
    {WEB, HTTP | TURN, MISSING},
};

typedef struct {
    const char *name;
    cms_preread_t found;
    int opened;
    unsigned targets;
    cms_preread_to_t to;
} side_case_t;

static const side_case_t side_cases[] = {
    {"STUN", CMS_PREREAD_STUN, 0, ALL, TURN},
    {"STUN without turn=", CMS_PREREAD_STUN, 0, ALL & ~TURN, MISSING},
    {"STUN in TLS", CMS_PREREAD_STUN, 1, ALL, TURN},
    {"STUN in TLS without turn=", CMS_PREREAD_STUN, 1, ALL & ~TURN, MISSING},
    {"HTTP", CMS_PREREAD_HTTP, 0, ALL, HTTPS},
    {"HTTP without https=", CMS_PREREAD_HTTP, 0, ALL & ~HTTPS, HTTP},
    {"HTTP with neither", CMS_PREREAD_HTTP, 0, TURNS | TURN, MISSING},
    {"HTTP in TLS", CMS_PREREAD_HTTP, 1, ALL, HTTP},
    {"HTTP in TLS without http=", CMS_PREREAD_HTTP, 1, ALL & ~HTTP, MISSING},
    {"TLS in TLS", CMS_PREREAD_TLS, 1, ALL, NONE},
    {"anything else", CMS_PREREAD_OTHER, 0, ALL, NONE},
    {"anything else in TLS", CMS_PREREAD_OTHER, 1, ALL, NONE},
};

int
main(void)
{
    size_t i;

    for (i = 0; i < COUNT(look_cases); i++) {
        look(&look_cases[i]);
    }
    first_bytes();
    for (i = 0; i < COUNT(tls_cases); i++) {
        const tls_case_t *c = &tls_cases[i];

        ok(cms_preread_side(CMS_PREREAD_TLS, &hellos[c->hello], 0,
                            c->targets) == c->to,
           "a hello %s, targets %02x", hello_names[c->hello], c->targets);
    }
    for (i = 0; i < COUNT(side_cases); i++) {
        const side_case_t *c = &side_cases[i];

        is_int(
            cms_preread_side(c->found, &hellos[NO_ALPN], c->opened, c->targets),
            c->to, c->name);
    }
    is_mem("tls", 3, cms_preread_name(CMS_PREREAD_TLS), "TLS has a name");
    ok(cms_preread_name(CMS_PREREAD_OTHER) == NULL, "anything else has none");
    return done_testing();
}
