/*
 * Time-limited users, as the TURN REST scheme has them: the name says until
 * when (`<unix time>:<anything>`, or the time alone), the password is
 * base64(HMAC-SHA1(secret, name)). Called by user_keys.c; pure.
 */

#ifndef REST_USER_H
#define REST_USER_H

#include <stddef.h>
#include <stdint.h>

#define REST_USER_KEY_LEN 16

/*
 * 1 when the name begins with digits and then ends or has a colon: *until is
 * the unix time in seconds up to which it is good. 0 for all other names, and
 * where the time is beyond 2^32-1, which coturn would take modulo 2^32.
 */
int rest_user_parse(const char *name, size_t len, int64_t *until);

/*
 * The long-term key MD5(name:realm:password) of such a user (RFC 8489, 9.2.2).
 * 1, or 0: the secret is empty, or there is no memory.
 */
int rest_user_key(uint8_t key[REST_USER_KEY_LEN], const char *name,
                  size_t name_len, const char *realm, size_t realm_len,
                  const char *secret, size_t secret_len);

#endif
