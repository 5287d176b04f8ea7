/*
 * HMAC(), see message_integrity.h. coturn hashes a message up to its
 * MESSAGE-INTEGRITY attribute, which stands right behind the bytes that it
 * hashes, when it checks a message and when it adds the attribute to one.
 */

#define _GNU_SOURCE
#include "message_integrity.h"

#include "hmac_sha1.h"

#include <dlfcn.h>
#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

#define STUN_HEADER 20
#define ATTRIBUTE (4 + HMAC_SHA1_LEN)

typedef uint8_t *hmac_function(const EVP_MD *, const void *, int,
                               const uint8_t *, size_t, uint8_t *, unsigned *);

static struct key_handles *_Atomic handles;
static message_integrity_checked *tell_checked; /* set before handles is */
static hmac_function *_Atomic openssl_hmac;
static _Thread_local int only_tries;

void message_integrity_begin(struct key_handles *k,
                             message_integrity_checked *checked)
{
    tell_checked = checked;
    atomic_store(&handles, k);
}

void message_integrity_tries(void)
{
    only_tries = 1;
}

static hmac_function *openssl(void)
{
    hmac_function *f =
        atomic_load_explicit(&openssl_hmac, memory_order_relaxed);

    if (!f) {
        *(void **)&f = dlsym(RTLD_NEXT, "HMAC");
        atomic_store(&openssl_hmac, f);
    }
    return f;
}

/*
 * The attribute behind the bytes of a STUN message, or NULL when the header
 * says that the message does not end with one (and there is nothing to read).
 */
static const uint8_t *attribute_behind(const uint8_t *message, size_t len)
{
    static const uint8_t head[] = {0x00, 0x08, 0x00, HMAC_SHA1_LEN};
    size_t whole;

    if (len < STUN_HEADER) {
        return NULL;
    }
    whole = STUN_HEADER + ((size_t)message[2] << 8 | message[3]);
    if (whole != len + ATTRIBUTE ||
        memcmp(message + len, head, sizeof(head)) != 0) {
        return NULL;
    }
    return message + len + sizeof(head);
}

static int verifies(const key_handle_key key, const uint8_t *message,
                    size_t len, const uint8_t *attribute)
{
    uint8_t mac[HMAC_SHA1_LEN];

    return hmac_sha1(mac, key, KEY_HANDLE_LEN, message, len) &&
           CRYPTO_memcmp(mac, attribute, sizeof(mac)) == 0;
}

/* Which of the keys verifies the message? Else the handle stays a key. */
static void decide(struct key_handles *k, key_handle_key key,
                   const key_handle_key *keys, unsigned count,
                   const uint8_t *message, size_t len)
{
    const uint8_t *attribute = attribute_behind(message, len);

    for (unsigned i = 0; attribute && i < count; i++) {
        if (verifies(keys[i], message, len, attribute)) {
            key_handles_decide(k, key, keys[i]);
            memcpy(key, keys[i], KEY_HANDLE_LEN);
            return;
        }
    }
    key_handles_drop(k, key);
}

/* key: in, what coturn has; out, what it stands for. */
static void resolve(struct key_handles *k, key_handle_key key,
                    const uint8_t *message, size_t len)
{
    key_handle_key keys[KEY_HANDLE_KEYS];
    int is_decided;
    unsigned count = key_handles_find(k, key, keys, &is_decided);

    if (count && is_decided) {
        memcpy(key, keys[0], KEY_HANDLE_LEN);
    } else if (count) {
        decide(k, key, (const key_handle_key *)keys, count, message, len);
    }
    explicit_bzero(keys, count * sizeof(keys[0]));
}

/*
 * Was that a check? coturn signs answers only, and writes the signature into
 * the message itself; what it compares with a request's lies elsewhere.
 */
static void tell(const void *key, const uint8_t *message, size_t len,
                 const uint8_t *mac)
{
    const uint8_t *attribute;

    if (!tell_checked || only_tries) {
        return;
    }
    attribute = attribute_behind(message, len);
    if (attribute && attribute != mac) {
        tell_checked(key, message, len,
                     CRYPTO_memcmp(mac, attribute, HMAC_SHA1_LEN) == 0);
    }
}

static int hmac_of_key(struct key_handles *k, const void *from,
                       const uint8_t *message, size_t len, uint8_t *mac)
{
    key_handle_key key;
    int done;

    if (!key_handles_any(k)) {
        return hmac_sha1(mac, from, KEY_HANDLE_LEN, message, len);
    }
    memcpy(key, from, KEY_HANDLE_LEN);
    resolve(k, key, message, len);
    done = hmac_sha1(mac, key, KEY_HANDLE_LEN, message, len);
    explicit_bzero(key, sizeof(key));
    return done;
}

EXPORT uint8_t *HMAC(const EVP_MD *md, const void *key, int key_len,
                     const uint8_t *data, size_t len, uint8_t *mac,
                     unsigned *mac_len)
{
    struct key_handles *k =
        atomic_load_explicit(&handles, memory_order_acquire);

    if (k && key && key_len == KEY_HANDLE_LEN && data && mac &&
        md == EVP_sha1() && hmac_of_key(k, key, data, len, mac)) {
        tell(key, data, len, mac);
        if (mac_len) {
            *mac_len = HMAC_SHA1_LEN;
        }
        return mac;
    }
    return openssl()(md, key, key_len, data, len, mac, mac_len);
}
