/*
 * The column hmackey of turnusers_lt: MD5(user:realm:password) as hex digits,
 * in a char(128) that is padded with spaces. Called by store.c and answer.c.
 */

#ifndef HMACKEY_H
#define HMACKEY_H

#include <stddef.h>
#include <stdint.h>

#define HMACKEY_LEN 16
#define HMACKEY_HEX (2 * HMACKEY_LEN)

/*
 * Like coturn, takes the first 32 characters and ignores the others. 0, or -1
 * when they are no hex digits.
 */
int hmackey_parse(uint8_t key[HMACKEY_LEN], const char *p, size_t len);
/* Lower case, with a zero byte at the end. */
void hmackey_print(char hex[HMACKEY_HEX + 1], const uint8_t key[HMACKEY_LEN]);

#endif
