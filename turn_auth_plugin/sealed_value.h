/*
 * What Redis holds of a user, as bytes that only an edge can make or read:
 * AES-256-GCM with its place, redis_prefix, realm and name, as associated data.
 * Called by user_seals.c; time is passed in.
 *
 *     0  1  format (2)                          in clear, authenticated;
 *     1  4  version: epoch                      bytewise larger: later
 *     5  8  version: number
 *    13  8  as_of_ms
 *    21 16  salt (random)
 *    37 12  nonce (random)
 *    49  1  state: 1 valid, 2 absent            encrypted
 *    50 16  key (absent: zeros)
 *    66  8  valid_until_ms
 *    74  8  expires_ms
 *    82 16  tag
 *
 * Numbers are big-endian. What encrypts is a key of the value's own, made of
 * the seal key and the salt (HMAC-SHA256): 12 random bytes alone would do for
 * 2^32 values a seal key, which ten edges with 5,000 a second each seal in a
 * day. With the salt it is 2^32 for each of 2^128 keys: no need to change the
 * seal key for the number of values.
 */

#ifndef SEALED_VALUE_H
#define SEALED_VALUE_H

#include "seal_keys.h"
#include "user_cache.h"

#define SEALED_VALUE_LEN 98
#define SEALED_ORDER_LEN 21 /* so many bytes say which value is later */

/* All times are unix times of the database's clock, >= 0. */
struct sealed_state {
    enum user_state state; /* USER_VALID or USER_ABSENT */
    struct user_version version;
    int64_t as_of_ms;       /* when the database was known to say so */
    int64_t valid_until_ms; /* the user's end; USER_FOREVER: none */
    int64_t expires_ms;     /* the value's end */
    size_t opened_by;       /* which key opened it; 0: that which seals */
    uint8_t key[USER_KEY_LEN];
};

/* Seals with the first key. 0, or -1 (no memory, no randomness). */
int sealed_value_seal(uint8_t value[SEALED_VALUE_LEN],
                      const struct seal_keys *keys, const char *prefix,
                      const struct user_name *u, const struct sealed_state *s);

enum sealed_result {
    SEALED_OPENED,
    SEALED_EXPIRED, /* it opened; its time is over */
    SEALED_FORGED,  /* not made with one of these keys for this place */
    SEALED_NOT_NOW, /* no memory */
};

/*
 * Opens what was sealed with any of the keys. *s is filled when it opened or
 * expired, and wiped otherwise; the caller wipes it after use.
 */
enum sealed_result sealed_value_open(struct sealed_state *s,
                                     const struct seal_keys *keys,
                                     const char *prefix,
                                     const struct user_name *u,
                                     const void *value, size_t len,
                                     int64_t now_ms);

#endif
