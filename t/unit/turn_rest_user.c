/* sources: turn_auth_plugin/rest_user.c turn_auth_plugin/hmac_sha1.c */

#include "hmac_sha1.h"
#include "rest_user.h"
#include "tap.h"

#include <stdlib.h>

/* -1: not a time-limited name. Parses a copy of exactly that length. */
static long until(const char *name)
{
    size_t len = strlen(name);
    char *copy = malloc(len ? len : 1);
    int64_t seconds = -1;

    memcpy(copy, name, len);
    if (!rest_user_parse(copy, len, &seconds)) {
        seconds = -1;
    }
    free(copy);
    return (long)seconds;
}

static void names(void)
{
    is_int(until("1700000000:guest"), 1700000000, "expiry and ID");
    is_int(until("1700000000"), 1700000000, "an expiry alone");
    is_int(until("1700000000:"), 1700000000, "an empty ID");
    is_int(until("1700000000:a:b"), 1700000000, "a colon in the ID");
    is_int(until("0:x"), 0, "the beginning of time");
    is_int(until("4294967295:x"), 4294967295, "the last time coturn knows");
    is_int(until("4294967296:x"), -1, "one second later is no time");
    is_int(until("18446744073709551616000:x"), -1, "nor is a huge one");
    is_int(until("00000000000000000000001:x"), 1, "zeros in front");
    is_int(until("guest"), -1, "an ordinary name");
    is_int(until("guest:1700000000"), -1, "ID first");
    is_int(until(""), -1, "no name");
    is_int(until(":x"), -1, "no digits");
    is_int(until("-1:x"), -1, "negative");
    is_int(until(" 1:x"), -1, "a space in front");
    is_int(until("17x:x"), -1, "not a number");
    is_int(until("17.5:x"), -1, "not a whole number");
}

static void hex(char *out, const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        sprintf(out + 2 * i, "%02x", p[i]);
    }
}

/* RFC 2202, section 3. */
static void rfc2202(void)
{
    uint8_t mac[HMAC_SHA1_LEN], key[80], data[50];
    char text[41];

    memset(key, 0x0b, 20);
    hmac_sha1(mac, key, 20, "Hi There", 8);
    hex(text, mac, sizeof(mac));
    is_mem(text, 40, "b617318655057264e28bc0b6fb378c8ef146be00", "case 1");
    hmac_sha1(mac, "Jefe", 4, "what do ya want for nothing?", 28);
    hex(text, mac, sizeof(mac));
    is_mem(text, 40, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79", "case 2");
    memset(key, 0xaa, 80);
    memset(data, 0xdd, 50);
    hmac_sha1(mac, key, 20, data, 50);
    hex(text, mac, sizeof(mac));
    is_mem(text, 40, "125d7342b9ac11cd91a39af48aa17b4f63f175d3", "case 3");
    hmac_sha1(mac, key, 80,
              "Test Using Larger Than Block-Size Key - Hash Key First", 54);
    hex(text, mac, sizeof(mac));
    is_mem(text, 40, "aa4ae5e15272d00e95705637ce8a3b55ed402112", "case 6");
}

static void keys(void)
{
    uint8_t key[REST_USER_KEY_LEN];
    char text[33];

    /* openssl dgst -sha1 -hmac secret -binary | base64, and md5sum */
    ok(rest_user_key(key, "1700000000:guest", 16, "octavio.test", 12, "secret",
                     6),
       "a key");
    hex(text, key, sizeof(key));
    is_mem(text, 32, "dd6f3f00a068d54da8890ff452c668d1",
           "... is MD5 of name, realm and password");
    ok(!rest_user_key(key, "1700000000:guest", 16, "octavio.test", 12, "", 0),
       "an empty secret has none");
}

int main(void)
{
    names();
    rfc2202();
    keys();
    return done_testing();
}
