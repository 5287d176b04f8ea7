/* sources: turn_auth_plugin/hmackey.c */

#include "hmackey.h"
#include "tap.h"

static uint8_t key[HMACKEY_LEN];

static int parse(const char *text)
{
    return hmackey_parse(key, text, strlen(text));
}

int main(void)
{
    char hex[HMACKEY_HEX + 1];

    is_int(parse("29010c2929b4e8233368220405ac74d9"), 0, "turnadmin -k's key");
    is_int(key[0], 0x29, "its first byte");
    is_int(key[15], 0xd9, "its last");
    hmackey_print(hex, key);
    is_mem(hex, strlen(hex), "29010c2929b4e8233368220405ac74d9", "and back");
    is_int(parse("29010C2929B4E8233368220405AC74D9    "), 0,
           "upper case, padded");
    is_int(parse("29010c2929b4e8233368220405ac74d9ffff"), 0, "longer");
    is_int(parse("29010c2929b4e8233368220405ac74d"), -1, "too short");
    is_int(parse("29010c2929b4e8233368220405ac74dg"), -1, "no hex digit");
    is_int(parse(""), -1, "nothing");
    return done_testing();
}
