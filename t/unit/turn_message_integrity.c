/* sources: turn_auth_plugin/message_integrity.c */
/* sources: turn_auth_plugin/key_handles.c turn_auth_plugin/hmac_sha1.c */
/* sources: turn_auth_plugin/secret_memory.c */

/* This program's HMAC() is the plugin's, as turnserver's is. */

#include "message_integrity.h"
#include "tap.h"

#include <openssl/hmac.h>
#include <stdlib.h>

#define BODY 40

static const key_handle_key keys[] = {"first key 123456", "other key 123456"};
static struct key_handles *handles;

static void hmac(const void *key, int key_len, const uint8_t *data, size_t len,
                 uint8_t mac[20])
{
    unsigned mac_len = 0;

    if (!HMAC(EVP_sha1(), key, key_len, data, len, mac, &mac_len) ||
        mac_len != 20) {
        memset(mac, 0, 20);
    }
}

/* What OpenSSL says: its own function is used for keys of other lengths. */
static void reference(const key_handle_key key, const uint8_t *data, size_t len,
                      uint8_t mac[20])
{
    uint8_t padded[17] = {0};

    memcpy(padded, key, 16);
    hmac(padded, 17, data, len, mac);
}

/* A message with MESSAGE-INTEGRITY at its end; of exactly that size. */
static uint8_t *message(const key_handle_key key)
{
    uint8_t *m = calloc(1, BODY + 24);

    m[1] = 3;
    m[3] = BODY + 24 - 20;
    memset(m + 20, 'x', BODY - 20);
    memcpy(m + BODY, "\0\10\0\24", 4);
    if (key) {
        reference(key, m, BODY, m + BODY + 4);
    }
    return m;
}

/* Is this message one of that key, as coturn finds out? */
static int verifies(const key_handle_key key, const key_handle_key signed_with)
{
    uint8_t *m = message(signed_with), mac[20];
    int same;

    hmac(key, 16, m, BODY, mac);
    same = memcmp(mac, m + BODY + 4, 20) == 0;
    free(m);
    return same;
}

static void no_handles(void)
{
    ok(verifies(keys[0], keys[0]), "a key verifies its messages");
    ok(!verifies(keys[0], keys[1]), "... and no other's");
}

static void with_handles(void)
{
    key_handle_key handle, third = "third key 123456";

    key_handles_make(handles, handle, keys, 2);
    ok(verifies(handle, keys[1]), "a handle verifies what one key signed");
    ok(!verifies(handle, keys[0]), "... and from then on nothing else");
    ok(verifies(handle, keys[1]), "... but that");
    key_handles_make(handles, handle, keys, 2);
    ok(!verifies(handle, third), "a handle does not verify a wrong signature");
    ok(!verifies(handle, keys[0]), "... and then it is good for nothing");
    no_handles();
}

static int rights, wrongs;
static key_handle_key checked_with;

static void count(const key_handle_key key, const uint8_t *m, size_t len,
                  int right)
{
    ok(m && len == BODY, "a check is told of");
    memcpy(checked_with, key, sizeof(checked_with));
    rights += right;
    wrongs += !right;
}

/* coturn signs a message in its place. */
static void sign(const key_handle_key key)
{
    uint8_t *m = message(NULL);

    hmac(key, 16, m, BODY, m + BODY + 4);
    free(m);
}

static void checks(void)
{
    key_handle_key handle;
    uint8_t mac[20];

    message_integrity_begin(handles, count);
    verifies(keys[0], keys[0]);
    ok(rights == 1 && wrongs == 0, "a right one");
    verifies(keys[0], keys[1]);
    ok(rights == 1 && wrongs == 1, "a wrong one");
    key_handles_make(handles, handle, keys, 2);
    verifies(handle, keys[1]);
    ok(rights == 2 && wrongs == 1, "one with a handle");
    ok(memcmp(checked_with, handle, sizeof(handle)) == 0,
       "is told with the handle");
    sign(keys[0]);
    hmac(keys[0], 16, (const uint8_t *)"what is no message", 18, mac);
    ok(rights == 2 && wrongs == 1, "what coturn signs is no check");
    message_integrity_tries();
    verifies(keys[0], keys[1]);
    ok(rights == 2 && wrongs == 1, "nor what it tries with many secrets");
}

/* Bytes behind a message are read only where its header says there are any. */
static void odd_messages(void)
{
    key_handle_key handle;
    uint8_t mac[20], *exact;

    for (size_t len = 0; len < 64; len++) {
        key_handles_make(handles, handle, keys, 2);
        exact = malloc(len ? len : 1);
        memset(exact, 0, len);
        hmac(handle, 16, exact, len, mac);
        free(exact);
    }
    ok(1, "no byte behind an odd message is read");
}

static void others(void)
{
    uint8_t mac[64], want[32];
    unsigned len = 0;

    HMAC(EVP_sha256(), keys[0], 16, (const uint8_t *)"x", 1, mac, &len);
    is_int(len, 32, "SHA-256 is OpenSSL's");
    ok(HMAC(EVP_sha1(), keys[0], 16, (const uint8_t *)"x", 1, NULL, &len) &&
           len == 20,
       "no place for the result: OpenSSL's");
    ok(HMAC(EVP_sha1(), "", 0, (const uint8_t *)"", 0, want, NULL) == want,
       "no length wanted");
}

int main(void)
{
    others();
    no_handles();
    handles = key_handles_create(64, 64);
    message_integrity_begin(handles, NULL);
    others();
    no_handles();
    with_handles();
    odd_messages();
    checks();
    return done_testing();
}
