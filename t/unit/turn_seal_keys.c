/* sources: turn_auth_plugin/seal_keys.c */

#include "seal_keys.h"
#include "tap.h"

#define A "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"
#define B "0f0e0d0c0b0a090807060504030201000f0e0d0c0b0a09080706050403020100"

static struct seal_keys keys;
static char error[256];

static int parse(const char *text)
{
    error[0] = '\0';
    return seal_keys_parse(&keys, text, strlen(text), error, sizeof(error));
}

static void refused(const char *text, const char *says, const char *name)
{
    struct seal_keys none = {0};

    is_int(parse(text), -1, name);
    ok(strstr(error, says) != NULL, "... which it says: %s", error);
    ok(memcmp(&keys, &none, sizeof(none)) == 0, "... and keeps none");
}

int main(void)
{
    char many[17 * 65 + 1] = "", name[SEAL_KEY_NAME];

    is_int(parse(A "\n"), 0, "one key");
    is_int((long)keys.count, 1, "... is one");
    is_int(keys.key[0][31], 0xff, "... in either letter case");
    is_int(parse("# the new one\n" B "\n\n  " A "\t# since May\r\n"), 0,
           "comments, empty lines and space do not count");
    is_int((long)keys.count, 2, "... two keys");
    is_int(keys.key[0][0], 0x0f, "... in their order");
    is_int(parse("00000000000000000000000000000000"
                 "00000000000000000000000000000000\n" A),
           0, "a key of which sha256sum says 66687aad...");
    seal_keys_name(&keys, name);
    is_mem(name, strlen(name), "66687aad", "... is called so");
    is_int(parse(A "\n" B), 0, "the last line needs no end");
    refused("", "line 1: there is no key", "an empty file is refused");
    refused("# nothing\n\n", "line 2: there is no key", "comments alone, too");
    refused(A "\n" A "0\n", "line 2: this is no key", "65 digits");
    refused("0011\n", "line 1: this is no key", "4 digits");
    refused("g" B "\n", "line 1: this is no key", "other letters");
    ok(strstr(error, "0f0e") == NULL, "what is wrong does not show the key");
    for (int i = 0; i < 16; i++) {
        strcat(many, A "\n");
    }
    is_int(parse(many), 0, "16 keys");
    strcat(many, B "\n");
    refused(many, "line 17: one key too many", "17 keys are too many");
    return done_testing();
}
