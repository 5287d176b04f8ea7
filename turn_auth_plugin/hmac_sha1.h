/*
 * HMAC-SHA1 (RFC 2104) without the allocations of OpenSSL's HMAC(), which
 * looks its algorithm up anew each time: a fifth of its time. Called by
 * message_integrity.c for each message with credentials, and by rest_user.c.
 */

#ifndef HMAC_SHA1_H
#define HMAC_SHA1_H

#include <stddef.h>
#include <stdint.h>

#define HMAC_SHA1_LEN 20

/* 1; 0 when OpenSSL has no SHA-1 (or no memory) for this thread. */
int hmac_sha1(uint8_t mac[HMAC_SHA1_LEN], const void *key, size_t key_len,
              const void *data, size_t len);

#endif
