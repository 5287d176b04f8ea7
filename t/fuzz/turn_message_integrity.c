/* sources: turn_auth_plugin/message_integrity.c */
/* sources: turn_auth_plugin/key_handles.c turn_auth_plugin/hmac_sha1.c */
/* sources: turn_auth_plugin/secret_memory.c */

/*
 * Any key and any message: the plugin's HMAC says what OpenSSL's says; through
 * a handle, it says what one of its keys says where that one signed the
 * message, and nothing is read behind a message that does not say so.
 */

#include "hmac_sha1.h"
#include "message_integrity.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

static struct key_handles *handles;

static void check(int good)
{
    if (!good) {
        abort();
    }
}

/* OpenSSL by another way. */
static void reference(uint8_t mac[HMAC_SHA1_LEN], const uint8_t *key,
                      size_t key_len, const uint8_t *data, size_t len)
{
    static const uint8_t none[1];
    size_t mac_len = 0;

    check(EVP_Q_mac(NULL, "HMAC", NULL, "SHA1", NULL, key_len ? key : none,
                    key_len, data, len, mac, HMAC_SHA1_LEN, &mac_len) != NULL);
    check(mac_len == HMAC_SHA1_LEN);
}

static void any_key(const uint8_t *data, size_t size)
{
    uint8_t mac[HMAC_SHA1_LEN], want[HMAC_SHA1_LEN];
    size_t key_len = size ? data[0] % size : 0;

    check(hmac_sha1(mac, data, key_len, data + key_len, size - key_len));
    reference(want, data, key_len, data + key_len, size - key_len);
    check(memcmp(mac, want, sizeof(mac)) == 0);
}

static void through_handle(const uint8_t *data, size_t size, size_t is_signed)
{
    key_handle_key keys[2] = {"first key 123456"}, handle;
    uint8_t *copy = malloc(size + 24 * is_signed), mac[HMAC_SHA1_LEN];
    unsigned len = 0;

    memcpy(keys[1], data, sizeof(keys[1]));
    memcpy(copy, data, size);
    if (is_signed) {
        copy[2] = (uint8_t)((size + 4) >> 8);
        copy[3] = (uint8_t)(size + 4);
        memcpy(copy + size, "\0\10\0\24", 4);
        reference(copy + size + 4, keys[1], 16, copy, size);
    } else if (size > 3 && (copy[2] << 8 | copy[3]) + 20 == (int)size + 24) {
        copy[3] ^= 1; /* it would say that there is more */
    }
    check(key_handles_make(handles, handle, (const key_handle_key *)keys, 2));
    check(HMAC(EVP_sha1(), handle, 16, copy, size, mac, &len) == mac);
    check(!is_signed || memcmp(mac, copy + size + 4, HMAC_SHA1_LEN) == 0);
    check(len == HMAC_SHA1_LEN);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!handles) {
        handles = key_handles_create(64, 64);
        message_integrity_begin(handles, NULL);
    }
    any_key(data, size);
    if (size >= 20) {
        through_handle(data, size, 0);
        through_handle(data, size, 1);
    }
    return 0;
}
