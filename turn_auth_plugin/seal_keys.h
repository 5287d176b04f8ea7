/*
 * The keys that seal what goes to Redis, as text: one key a line. Called by
 * seal_key_file.c; reads no file itself.
 */

#ifndef SEAL_KEYS_H
#define SEAL_KEYS_H

#include <stddef.h>
#include <stdint.h>

#define SEAL_KEY_LEN 32
#define SEAL_KEYS_MAX 16

/* The first seals, all open. Belongs into secret memory. */
struct seal_keys {
    size_t count;
    uint8_t key[SEAL_KEYS_MAX][SEAL_KEY_LEN];
};

/*
 * Reads lines of 64 hexadecimal digits; empty lines and what follows a # do
 * not count. 0, or -1 with "line N: what is wrong, what is expected" in error,
 * which never holds a part of a key; *k is then wiped.
 */
int seal_keys_parse(struct seal_keys *k, const char *text, size_t len,
                    char *error, size_t error_size);

#define SEAL_KEY_NAME 9 /* 8 digits and '\0' */

/*
 * What a log may say of the key that seals, so that edges can be compared: the
 * first 8 hexadecimal digits of the SHA-256 of its 32 bytes.
 */
void seal_keys_name(const struct seal_keys *k, char name[SEAL_KEY_NAME]);

#endif
