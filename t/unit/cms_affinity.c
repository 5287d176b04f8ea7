/* sources: ngx_cms_proxy_module/cms_affinity.c */

/* The affinity cookie: its name, its ID, finding and setting it. */

#include "cms_affinity.h"
#include "tap.h"

#define U(s) ((const unsigned char *)(s))
#define ID "0123456789abcdef"

typedef struct {
    const char *cookie;
    int found; /* how many */
    const char *why;
} find_case_t;

static const find_case_t find_cases[] = {
    {"cms_affinity=" ID, 1, "alone"},
    {"session=1; cms_affinity=" ID, 1, "behind another"},
    {"cms_affinity=" ID "; session=1", 1, "before another"},
    {"a=b;cms_affinity=" ID ";c=d", 1, "without spaces"},
    {" \t cms_affinity=" ID " \t", 1, "with white space around"},
    {"cms_affinity=" ID "; cms_affinity=fedcba9876543210", 2, "twice"},
    {"cms_affinity=x; cms_affinity=" ID, 1, "behind one that is garbage"},
    {"cms_affinity=; cms_affinity; =; ;;; cms_affinity=" ID, 1,
     "behind odd pairs"},
    {"", 0, "an empty header"},
    {"cms_affinity", 0, "a name alone"},
    {"cms_affinity=", 0, "an empty value"},
    {"cms_affinity=" ID "0", 0, "an ID too long"},
    {"cms_affinity=0123456789abcde", 0, "an ID too short"},
    {"cms_affinity=0123456789ABCDEF", 0, "an ID in upper case"},
    {"cms_affinity=0123456789abcdeg", 0, "an ID that is not hex"},
    {"cms_affinity=\"" ID "\"", 0, "an ID in quotes"},
    {"cms_affinity =" ID, 0, "a space before the ="},
    {"xcms_affinity=" ID, 0, "a longer name"},
    {"cms_affinity_443=" ID, 0, "the name of another port"},
    {"CMS_AFFINITY=" ID, 0, "the name in upper case"},
    {"a=cms_affinity=" ID, 0, "the value of another cookie"},
};

static int
count(const char *cookie)
{
    unsigned char name[CMS_AFFINITY_NAME_MAX];
    const unsigned char *id;
    size_t name_len, pos = 0;
    int n = 0;

    name_len = cms_affinity_name(name, 0);
    while (cms_affinity_find(U(cookie), strlen(cookie), name, name_len, &pos,
                             &id)) {
        n++;
    }
    return n;
}

static void
test_find(void)
{
    size_t i;

    for (i = 0; i < sizeof(find_cases) / sizeof(*find_cases); i++) {
        is_int(count(find_cases[i].cookie), find_cases[i].found,
               find_cases[i].why);
    }
}

static void
test_id(void)
{
    unsigned char key[CMS_AFFINITY_KEY_LEN] = {0}, other[sizeof(key)] = {1};
    unsigned char a[CMS_AFFINITY_ID_LEN], b[CMS_AFFINITY_ID_LEN];
    static unsigned char longest[5000];

    ok(cms_affinity_id(key, U("cmsweb"), 6, U("192.0.2.1:443"), 13, a),
       "an address has an ID");
    /* printf 'cmsweb\000192.0.2.1:443' | openssl dgst -sha256 -mac HMAC
       -macopt hexkey:000... */
    is_mem(a, sizeof(a), "fbed1579ace65fa1", "which is HMAC-SHA256");
    cms_affinity_id(key, U("cmsweb"), 6, U("192.0.2.1:444"), 13, b);
    ok(memcmp(a, b, sizeof(a)) != 0, "another address has another");
    cms_affinity_id(key, U("cmsweb2"), 7, U("192.0.2.1:443"), 13, b);
    ok(memcmp(a, b, sizeof(a)) != 0, "so has another web bridge");
    cms_affinity_id(key, U("cmsweb1"), 7, U("92.0.2.1:443"), 12, b);
    ok(memcmp(a, b, sizeof(a)) != 0, "names do not run into addresses");
    cms_affinity_id(other, U("cmsweb"), 6, U("192.0.2.1:443"), 13, b);
    ok(memcmp(a, b, sizeof(a)) != 0, "another key gives another");
    memset(longest, 'x', sizeof(longest));
    ok(cms_affinity_id(key, longest, sizeof(longest), longest,
                       sizeof(longest), b),
       "texts of any length have one");
}

static void
test_set_cookie(void)
{
    unsigned char name[CMS_AFFINITY_NAME_MAX];
    unsigned char buf[CMS_AFFINITY_COOKIE_MAX];
    size_t n, len;

    n = cms_affinity_name(name, 0);
    is_mem(name, n, "cms_affinity", "the name");
    len = cms_affinity_set_cookie(buf, name, n, U(ID), 0);
    is_mem(buf, len, "cms_affinity=" ID "; Path=/; HttpOnly; SameSite=Lax",
           "a session cookie for no script and no other site");
    n = cms_affinity_name(name, 65535);
    is_mem(name, n, "cms_affinity_65535", "the name with a port");
    len = cms_affinity_set_cookie(buf, name, n, U(ID), 1);
    is_mem(buf, len,
           "cms_affinity_65535=" ID
           "; Path=/; HttpOnly; SameSite=Lax; Secure",
           "under TLS it stays there");
}

#define HEX32 "000102030405060708090a0b0c0d0e0f"

static void
test_key(void)
{
    unsigned char key[CMS_AFFINITY_KEY_LEN];
    const char *good = "\n " HEX32 HEX32 "\r\n";
    const char *upper = HEX32 "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF";
    static const char *bad[] = {"", "\n", HEX32, HEX32 HEX32 "0",
                                HEX32 "xx0102030405060708090a0b0c0d0e",
                                HEX32 " " HEX32};
    size_t i;

    ok(cms_affinity_key(U(good), strlen(good), key) && key[17] == 1,
       "64 hex digits are a key, with a line end or without");
    ok(cms_affinity_key(U(upper), strlen(upper), key) && key[31] == 0xff,
       "in upper case too");
    for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        ok(!cms_affinity_key(U(bad[i]), strlen(bad[i]), key),
           "no key: '%s'", i == 1 ? "" : bad[i]);
    }
}

int
main(void)
{
    test_find();
    test_id();
    test_set_cookie();
    test_key();
    return done_testing();
}
