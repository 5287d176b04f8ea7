/*
 * Lines of hexadecimal digits; see seal_keys.h.
 */

#include "seal_keys.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

static int digit_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* The line without its comment and the space around it. */
static void trim(const char **p, size_t *n)
{
    const char *comment = memchr(*p, '#', *n);

    if (comment) {
        *n = (size_t)(comment - *p);
    }
    while (*n && is_space(**p)) {
        (*p)++;
        (*n)--;
    }
    while (*n && is_space((*p)[*n - 1])) {
        (*n)--;
    }
}

static int read_key(uint8_t *key, const char *p, size_t n)
{
    if (n != 2 * SEAL_KEY_LEN) {
        return -1;
    }
    for (size_t i = 0; i < SEAL_KEY_LEN; i++) {
        int high = digit_value(p[2 * i]), low = digit_value(p[2 * i + 1]);

        if (high < 0 || low < 0) {
            return -1;
        }
        key[i] = (uint8_t)(high << 4 | low);
    }
    return 0;
}

/* What is wrong with a line; NULL: nothing. */
static const char *add_line(struct seal_keys *k, const char *p, size_t n)
{
    trim(&p, &n);
    if (n == 0) {
        return NULL;
    }
    if (k->count == SEAL_KEYS_MAX) {
        return "one key too many, expected 16 at most";
    }
    if (read_key(k->key[k->count], p, n) != 0) {
        return "this is no key, expected 64 hexadecimal digits "
               "(openssl rand -hex 32)";
    }
    k->count++;
    return NULL;
}

int seal_keys_parse(struct seal_keys *k, const char *text, size_t len,
                    char *error, size_t error_size)
{
    const char *end = text + len, *wrong = NULL;
    int line = 0;

    memset(k, 0, sizeof(*k));
    while (text < end && !wrong) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));

        if (!newline) {
            newline = end;
        }
        line++;
        wrong = add_line(k, text, (size_t)(newline - text));
        text = newline + (newline < end);
    }
    if (!wrong && k->count > 0) {
        return 0;
    }
    explicit_bzero(k, sizeof(*k));
    snprintf(error, error_size, "line %d: %s", line ? line : 1,
             wrong ? wrong
                   : "there is no key, expected one a line "
                     "(openssl rand -hex 32)");
    return -1;
}

void seal_keys_name(const struct seal_keys *k, char name[SEAL_KEY_NAME])
{
    uint8_t hash[SHA256_DIGEST_LENGTH];

    SHA256(k->key[0], SEAL_KEY_LEN, hash);
    snprintf(name, SEAL_KEY_NAME, "%02x%02x%02x%02x", hash[0], hash[1], hash[2],
             hash[3]);
}
