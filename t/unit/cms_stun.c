/* sources: ngx_cms_proxy_module/cms_stun.c */

/* Which first bytes are a STUN message. */

#include "cms_stun.h"
#include "tap.h"

#define COOKIE "\x21\x12\xa4\x42"
#define ID "0123456789ab"
#define MESSAGE(type, length) type length COOKIE ID, 20

typedef struct {
    const char *bytes;
    size_t len;
    cms_stun_t answer;
    const char *name;
} look_case_t;

static const look_case_t cases[] = {
    {MESSAGE("\x00\x01", "\x00\x00"), CMS_STUN_YES, "a Binding request"},
    {MESSAGE("\x00\x03", "\x00\x08"), CMS_STUN_YES,
     "an Allocate request whose attributes have not come"},
    {MESSAGE("\x00\x16", "\x00\x00"), CMS_STUN_YES, "a Send indication"},
    {MESSAGE("\x00\x11", "\x00\x00"), CMS_STUN_YES, "a Binding indication"},
    {MESSAGE("\x02\x01", "\x00\x00"), CMS_STUN_YES, "the method 0x81"},
    {MESSAGE("\x00\x01", "\xff\xfc"), CMS_STUN_YES, "the greatest length"},
    {"\x00\x01\x00\x00" COOKIE ID "behind it", 29, CMS_STUN_YES,
     "a request and what follows"},
    {MESSAGE("\x01\x01", "\x00\x00"), CMS_STUN_NO, "a success response"},
    {MESSAGE("\x01\x11", "\x00\x00"), CMS_STUN_NO, "an error response"},
    {MESSAGE("\x04\x01", "\x00\x00"), CMS_STUN_NO, "a reserved method"},
    {MESSAGE("\x16\x03", "\x00\x00"), CMS_STUN_NO, "what could be TLS"},
    {MESSAGE("\x40\x00", "\x00\x00"), CMS_STUN_NO, "ChannelData"},
    {MESSAGE("\x80\x01", "\x00\x00"), CMS_STUN_NO, "what could be SSLv2"},
    {MESSAGE("\x00\x01", "\x00\x01"), CMS_STUN_NO, "length 1"},
    {MESSAGE("\x00\x01", "\x00\x0e"), CMS_STUN_NO, "length 14"},
    {"\x00\x01\x00\x00\x21\x12\xa4\x43" ID, 20, CMS_STUN_NO,
     "no cookie, as in RFC 3489"},
    {"\x00\x00\x00\x00\x00\x00\x00\x00" ID, 20, CMS_STUN_NO, "zeroes"},
};

/* Each shorter one is MORE, up to the byte that cannot be. */
static void
prefixes(void)
{
    static const unsigned char request[] = "\x00\x01\x00\x08" COOKIE ID;
    static const unsigned char other[] = "\x00\x01\x00\x08\x21\x12\xa4\x41";
    size_t len, bad = 0;

    for (len = 0; len < 20; len++) {
        bad += cms_stun_look(request, len) != CMS_STUN_MORE;
    }
    is_int(bad, 0, "less than a header could be one");
    for (bad = 0, len = 0; len < 8; len++) {
        bad += cms_stun_look(other, len) != CMS_STUN_MORE;
    }
    is_int(bad, 0, "also with a wrong byte ahead");
    is_int(cms_stun_look(other, 8), CMS_STUN_NO, "which decides at once");
}

int
main(void)
{
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        const look_case_t *c = &cases[i];

        is_int(cms_stun_look((const unsigned char *)c->bytes, c->len),
               c->answer, c->name);
    }
    prefixes();
    return done_testing();
}
