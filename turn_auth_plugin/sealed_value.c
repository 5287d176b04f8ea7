/*
 * OpenSSL's AES-256-GCM around a fixed layout; see sealed_value.h.
 */

#include "sealed_value.h"

#include <endian.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <string.h>

#define FORMAT 2
#define SALT_LEN 16
#define NONCE_LEN 12
#define BODY_LEN 33
#define TAG_LEN 16

#define AT_SALT SEALED_ORDER_LEN
#define AT_NONCE (AT_SALT + SALT_LEN)
#define AT_BODY (AT_NONCE + NONCE_LEN)
#define AT_TAG (AT_BODY + BODY_LEN)

_Static_assert(AT_TAG + TAG_LEN == SEALED_VALUE_LEN, "the layout adds up");

/* Where a value stands: there alone it opens. */
struct place {
    const char *prefix;
    const struct user_name *user;
};

static void put_64(uint8_t *p, uint64_t v)
{
    v = htobe64(v);
    memcpy(p, &v, sizeof(v));
}

static void put_32(uint8_t *p, uint32_t v)
{
    v = htobe32(v);
    memcpy(p, &v, sizeof(v));
}

static uint64_t get_64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return be64toh(v);
}

static uint32_t get_32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return be32toh(v);
}

static void write_order(uint8_t *p, const struct sealed_state *s)
{
    p[0] = FORMAT;
    put_32(p + 1, s->version.epoch);
    put_64(p + 5, s->version.number);
    put_64(p + 13, (uint64_t)s->as_of_ms);
}

static void write_body(uint8_t *p, const struct sealed_state *s)
{
    p[0] = s->state == USER_VALID ? 1 : 2;
    memset(p + 1, 0, USER_KEY_LEN);
    if (s->state == USER_VALID) {
        memcpy(p + 1, s->key, USER_KEY_LEN);
    }
    put_64(p + 17, (uint64_t)s->valid_until_ms);
    put_64(p + 25, (uint64_t)s->expires_ms);
}

/* Sealed by an edge, yet checked: another version of us may have done it. */
static int read_state(struct sealed_state *s, const uint8_t *order,
                      const uint8_t *body)
{
    s->version.epoch = get_32(order + 1);
    s->version.number = get_64(order + 5);
    s->as_of_ms = (int64_t)get_64(order + 13);
    s->state = body[0] == 1 ? USER_VALID : USER_ABSENT;
    memcpy(s->key, body + 1, USER_KEY_LEN);
    s->valid_until_ms = (int64_t)get_64(body + 17);
    s->expires_ms = (int64_t)get_64(body + 25);
    return (body[0] == 1 || body[0] == 2) && s->as_of_ms >= 0 &&
                   s->expires_ms >= 0
               ? 0
               : -1;
}

/* The lengths keep "a b" + "c" and "a" + "b c" apart. */
static int add_associated(EVP_CIPHER_CTX *ctx, const uint8_t *order,
                          const struct place *at)
{
    const struct user_name *u = at->user;
    size_t prefix_len = strlen(at->prefix);
    uint8_t lengths[8];
    int n;

    put_32(lengths, (uint32_t)prefix_len);
    put_32(lengths + 4, (uint32_t)u->realm_len);
    return EVP_CipherUpdate(ctx, NULL, &n, order, SEALED_ORDER_LEN) &&
           EVP_CipherUpdate(ctx, NULL, &n, lengths, sizeof(lengths)) &&
           EVP_CipherUpdate(ctx, NULL, &n, (const uint8_t *)at->prefix,
                            (int)prefix_len) &&
           EVP_CipherUpdate(ctx, NULL, &n, (const uint8_t *)u->realm,
                            (int)u->realm_len) &&
           EVP_CipherUpdate(ctx, NULL, &n, (const uint8_t *)u->name,
                            (int)u->name_len);
}

/* HKDF's second half (RFC 5869); a random key needs no first. */
static int derive_key(uint8_t derived[SEAL_KEY_LEN], const uint8_t *key,
                      const uint8_t *value)
{
    static const char purpose[] = "cms-edge: a user's state";
    uint8_t info[sizeof(purpose) + SALT_LEN];
    unsigned n = 0;

    memcpy(info, purpose, sizeof(purpose) - 1);
    memcpy(info + sizeof(purpose) - 1, value + AT_SALT, SALT_LEN);
    info[sizeof(info) - 1] = 1;
    return HMAC(EVP_sha256(), key, SEAL_KEY_LEN, info, sizeof(info), derived,
                &n) != NULL &&
           n == SEAL_KEY_LEN;
}

static int encrypt(EVP_CIPHER_CTX *ctx, uint8_t *value, const uint8_t *key,
                   const struct place *at, const uint8_t *body)
{
    int n;

    return EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, key,
                             value + AT_NONCE, 1) &&
           add_associated(ctx, value, at) &&
           EVP_CipherUpdate(ctx, value + AT_BODY, &n, body, BODY_LEN) &&
           EVP_CipherFinal_ex(ctx, value + AT_TAG, &n) &&
           EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG_LEN,
                               value + AT_TAG);
}

int sealed_value_seal(uint8_t value[SEALED_VALUE_LEN],
                      const struct seal_keys *keys, const char *prefix,
                      const struct user_name *u, const struct sealed_state *s)
{
    const struct place at = {prefix, u};
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t body[BODY_LEN], key[SEAL_KEY_LEN];
    int done;

    write_order(value, s);
    write_body(body, s);
    done = ctx && RAND_bytes(value + AT_SALT, SALT_LEN + NONCE_LEN) == 1 &&
           derive_key(key, keys->key[0], value) &&
           encrypt(ctx, value, key, &at, body);
    explicit_bzero(key, sizeof(key));
    explicit_bzero(body, sizeof(body));
    EVP_CIPHER_CTX_free(ctx);
    return done ? 0 : -1;
}

static int decrypt(EVP_CIPHER_CTX *ctx, uint8_t *body, const uint8_t *key,
                   const struct place *at, const uint8_t *value)
{
    uint8_t tag[TAG_LEN], end[TAG_LEN];
    int n;

    memcpy(tag, value + AT_TAG, TAG_LEN);
    return EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, key,
                             value + AT_NONCE, 0) &&
           add_associated(ctx, value, at) &&
           EVP_CipherUpdate(ctx, body, &n, value + AT_BODY, BODY_LEN) &&
           EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG_LEN, tag) &&
           EVP_CipherFinal_ex(ctx, end, &n) > 0;
}

static enum sealed_result open_value(struct sealed_state *s,
                                     const struct seal_keys *keys,
                                     const struct place *at,
                                     const uint8_t *value, int64_t now_ms)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    enum sealed_result result = ctx ? SEALED_FORGED : SEALED_NOT_NOW;
    uint8_t body[BODY_LEN], key[SEAL_KEY_LEN];

    for (size_t i = 0; ctx && i < keys->count; i++) {
        if (derive_key(key, keys->key[i], value) &&
            decrypt(ctx, body, key, at, value)) {
            s->opened_by = i;
            if (read_state(s, value, body) == 0) {
                result =
                    now_ms < s->expires_ms ? SEALED_OPENED : SEALED_EXPIRED;
            }
            break;
        }
    }
    explicit_bzero(key, sizeof(key));
    explicit_bzero(body, sizeof(body));
    EVP_CIPHER_CTX_free(ctx);
    return result;
}

enum sealed_result sealed_value_open(struct sealed_state *s,
                                     const struct seal_keys *keys,
                                     const char *prefix,
                                     const struct user_name *u,
                                     const void *value, size_t len,
                                     int64_t now_ms)
{
    const struct place at = {prefix, u};
    const uint8_t *p = value;
    enum sealed_result result = SEALED_FORGED;

    memset(s, 0, sizeof(*s));
    if (len == SEALED_VALUE_LEN && p[0] == FORMAT) {
        result = open_value(s, keys, &at, p, now_ms);
    }
    if (result != SEALED_OPENED && result != SEALED_EXPIRED) {
        explicit_bzero(s, sizeof(*s));
    }
    return result;
}
