/* sources: turn_auth_plugin/sealed_value.c turn_auth_plugin/seal_keys.c */

#include "sealed_value.h"
#include "tap.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#define NOW 1800000000000

static const struct user_name user = {"octavio.test", 12, "guest", 5};
static const char *prefix = "a:";
static struct seal_keys keys = {1, {{1, 2, 3}}};
static uint8_t value[SEALED_VALUE_LEN + 1];

static const struct sealed_state valid = {
    .state = USER_VALID,
    .version = {1700000000, 0x1122334455667788},
    .as_of_ms = NOW - 1000,
    .valid_until_ms = USER_FOREVER,
    .expires_ms = NOW + 1000,
    .key = "0123456789abcde",
};

static enum sealed_result open_as(const struct user_name *u, size_t len)
{
    struct sealed_state s;

    return sealed_value_open(&s, &keys, prefix, u, value, len, NOW);
}

static void seal(const struct sealed_state *s)
{
    is_int(sealed_value_seal(value, &keys, prefix, &user, s), 0,
           "a value is sealed");
}

static int holds(const void *what, size_t len)
{
    for (size_t i = 0; i + len <= SEALED_VALUE_LEN; i++) {
        if (memcmp(value + i, what, len) == 0) {
            return 1;
        }
    }
    return 0;
}

static void test_round(void)
{
    struct sealed_state s;
    uint8_t before[SEALED_VALUE_LEN];

    seal(&valid);
    is_int(sealed_value_open(&s, &keys, prefix, &user, value, SEALED_VALUE_LEN,
                             NOW),
           SEALED_OPENED, "... and opens");
    is_int(s.state, USER_VALID, "... with its state");
    is_int(s.version.epoch, valid.version.epoch, "... epoch");
    ok(s.version.number == valid.version.number, "... number");
    ok(s.as_of_ms == valid.as_of_ms, "... time");
    ok(s.valid_until_ms == USER_FOREVER, "... end of the user");
    ok(s.expires_ms == valid.expires_ms, "... its own end");
    ok(memcmp(s.key, valid.key, USER_KEY_LEN) == 0, "... and key");
    ok(!holds(valid.key, 4), "the key is not seen in it");
    memcpy(before, value, sizeof(before));
    seal(&valid);
    ok(memcmp(before + 21, value + 21, 16) != 0, "... with another salt");
    ok(memcmp(before + 37, value + 37, 12) != 0, "... another nonce");
    ok(memcmp(before + 49, value + 49, 49) != 0, "... and looks different");
}

/* As openssl would do it, by hand: what stands in sealed_value.h. */
static void test_layout(void)
{
    uint8_t info[41], derived[32], body[33];
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n;

    seal(&valid);
    memcpy(info, "cms-edge: a user's state", 24);
    memcpy(info + 24, value + 21, 16);
    info[40] = 1;
    HMAC(EVP_sha256(), keys.key[0], 32, info, 41, derived, NULL);
    EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, derived, value + 37);
    EVP_DecryptUpdate(ctx, body, &n, value + 49, 33);
    EVP_CIPHER_CTX_free(ctx);
    ok(memcmp(body + 1, valid.key, USER_KEY_LEN) == 0,
       "each value has a key of its own, made with its salt");
}

static void test_absent(void)
{
    struct sealed_state s = valid;

    s.state = USER_ABSENT;
    seal(&s);
    is_int(sealed_value_open(&s, &keys, prefix, &user, value, SEALED_VALUE_LEN,
                             NOW),
           SEALED_OPENED, "a tombstone opens");
    is_int(s.state, USER_ABSENT, "... as one");
    ok(memcmp(s.key, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16) == 0,
       "... without a key");
}

static void test_others(void)
{
    static const struct user_name others[] = {
        {"octavio.test", 12, "guesT", 5},  {"octavio.tesT", 12, "guest", 5},
        {"octavio.test", 12, "guest2", 6}, {"octavio.testg", 13, "uest", 4},
        {"octavio.tes", 11, "tguest", 6},
    };

    seal(&valid);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        is_int(open_as(&others[i], SEALED_VALUE_LEN), SEALED_FORGED,
               "it does not open as another user's");
    }
}

static void test_other_places(void)
{
    static const struct user_name shorter = {"ctavio.test", 11, "guest", 5};
    static const char *const others[] = {"b:", "a", "a::", ""};

    seal(&valid);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        prefix = others[i];
        is_int(open_as(&user, SEALED_VALUE_LEN), SEALED_FORGED,
               "it does not open below another prefix");
    }
    prefix = "a:o";
    is_int(open_as(&shorter, SEALED_VALUE_LEN), SEALED_FORGED,
           "... which is kept apart from the realm");
    prefix = "a:";
    is_int(open_as(&user, SEALED_VALUE_LEN), SEALED_OPENED,
           "... but below its own");
}

static void test_forged(void)
{
    int opened = 0;

    seal(&valid);
    for (size_t bit = 0; bit < 8 * SEALED_VALUE_LEN; bit++) {
        value[bit / 8] ^= (uint8_t)(1 << bit % 8);
        opened += open_as(&user, SEALED_VALUE_LEN) != SEALED_FORGED;
        value[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    is_int(opened, 0, "no bit of it may be another");
    for (size_t len = 0; len < SEALED_VALUE_LEN; len++) {
        opened += open_as(&user, len) != SEALED_FORGED;
    }
    is_int(opened, 0, "nor may it be shorter");
    is_int(open_as(&user, SEALED_VALUE_LEN + 1), SEALED_FORGED, "nor longer");
    is_int(open_as(&user, SEALED_VALUE_LEN), SEALED_OPENED,
           "as it was, it opens");
}

static void test_time(void)
{
    struct sealed_state s;

    seal(&valid);
    is_int(sealed_value_open(&s, &keys, prefix, &user, value, SEALED_VALUE_LEN,
                             NOW + 999),
           SEALED_OPENED, "it opens to its last moment");
    is_int(sealed_value_open(&s, &keys, prefix, &user, value, SEALED_VALUE_LEN,
                             NOW + 1000),
           SEALED_EXPIRED, "... and not after");
}

static void test_keys(void)
{
    struct sealed_state s;

    seal(&valid);
    keys = (struct seal_keys){2, {{9}, {1, 2, 3}}};
    is_int(open_as(&user, SEALED_VALUE_LEN), SEALED_OPENED,
           "a key further down opens");
    sealed_value_open(&s, &keys, prefix, &user, value, SEALED_VALUE_LEN, NOW);
    is_int((long)s.opened_by, 1, "... which is said");
    seal(&valid);
    keys = (struct seal_keys){1, {{9}}};
    is_int(open_as(&user, SEALED_VALUE_LEN), SEALED_OPENED,
           "the first one seals");
    keys = (struct seal_keys){1, {{1, 2, 3}}};
    is_int(open_as(&user, SEALED_VALUE_LEN), SEALED_FORGED,
           "a key that is gone opens nothing");
}

static int comes_before(struct sealed_state a, struct sealed_state b)
{
    uint8_t first[SEALED_VALUE_LEN];

    sealed_value_seal(first, &keys, prefix, &user, &a);
    sealed_value_seal(value, &keys, prefix, &user, &b);
    return memcmp(first, value, SEALED_ORDER_LEN) < 0;
}

static void test_order(void)
{
    struct sealed_state later = valid;

    later.as_of_ms += 256;
    ok(comes_before(valid, later), "of one version, the later time is larger");
    later.version.number++;
    later.as_of_ms = 0;
    ok(comes_before(valid, later), "a later version is larger at any time");
    later.version = (struct user_version){valid.version.epoch + 1, 0};
    ok(comes_before(valid, later), "a later epoch is larger with any number");
}

int main(void)
{
    test_round();
    test_layout();
    test_absent();
    test_others();
    test_other_places();
    test_forged();
    test_time();
    test_keys();
    test_order();
    return done_testing();
}
