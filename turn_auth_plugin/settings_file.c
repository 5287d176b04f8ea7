/*
 * File to text to settings; see settings_file.h.
 */

#define _GNU_SOURCE
#include "settings_file.h"

#include "seal_keys.h"
#include "secret_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BYTES 65536

static int parse_stream(struct settings *s, FILE *f, const char *file,
                        char *error, size_t error_size)
{
    char *text = malloc(MAX_BYTES);
    size_t n = text ? fread(text, 1, MAX_BYTES, f) : 0;
    int result = -1;

    if (!text || ferror(f)) {
        snprintf(error, error_size, "%s: cannot be read: %s", file,
                 strerror(errno));
    } else if (n == MAX_BYTES) {
        snprintf(error, error_size, "%s: too long, expected less than %d bytes",
                 file, MAX_BYTES);
    } else {
        result = settings_parse(s, file, text, n, error, error_size);
    }
    free(text);
    return result;
}

/* A password is the first line of its file. */
static int read_secret(struct setting_secret *secret, const char *key,
                       const char *path, int whole, const char *file,
                       char *error, size_t error_size)
{
    char what[256 + SETTING_TEXT];
    char *text;

    if (!path[0]) {
        return 0;
    }
    text = secret_file_read(path, &secret->len, what, sizeof(what));
    if (text && !whole) {
        secret->len = strcspn(text, "\r\n");
        explicit_bzero(text + secret->len, SECRET_FILE_SIZE - secret->len);
        snprintf(what, sizeof(what),
                 "has %zu bytes in its first line, expected a password of 1 to "
                 "%d bytes there",
                 secret->len, SETTING_PASSWORD - 1);
    }
    if (!text || secret->len == 0 ||
        (!whole && secret->len >= SETTING_PASSWORD)) {
        snprintf(error, error_size, "%s:%d: %s %s %s", file, secret->line, key,
                 path, what);
        return -1;
    }
    secret->text = text;
    return 0;
}

static int check_seal_keys(const struct settings *s, const char *file,
                           char *error, size_t error_size)
{
    struct seal_keys keys;
    char what[160];
    int result;

    if (!s->seal_keys.text) {
        return 0;
    }
    result = seal_keys_parse(&keys, s->seal_keys.text, s->seal_keys.len, what,
                             sizeof(what));
    explicit_bzero(&keys, sizeof(keys));
    if (result != 0) {
        snprintf(error, error_size, "%s:%d: seal_key_file %s %s", file,
                 s->seal_keys.line, s->seal_key_file, what);
    }
    return result;
}

static int read_secrets(struct settings *s, const char *file, char *error,
                        size_t size)
{
    return read_secret(&s->redis_password, "redis_password_file",
                       s->redis_password_file, 0, file, error, size) ||
                   read_secret(&s->seal_keys, "seal_key_file", s->seal_key_file,
                               1, file, error, size) ||
                   check_seal_keys(s, file, error, size) ||
                   read_secret(&s->cli_password, "cli_password_file",
                               s->cli_password_file, 0, file, error, size)
               ? -1
               : 0;
}

/* NULL: $TURN_AUTH_CONF names none. */
static const char *named_file(void)
{
    const char *named = secure_getenv("TURN_AUTH_CONF");

    return named && named[0] ? named : NULL;
}

const char *settings_file_name(void)
{
    return named_file() ? named_file() : SETTINGS_FILE;
}

int settings_file_read(struct settings *s, int *is_there, char *error,
                       size_t error_size)
{
    const char *file = settings_file_name();
    FILE *f;
    int result;

    settings_defaults(s);
    f = fopen(file, "re");
    *is_there = f != NULL;
    if (!f) {
        if (errno == ENOENT && !named_file()) {
            return 0;
        }
        snprintf(error, error_size,
                 "%s: %s, expected a file of settings (key = value)", file,
                 strerror(errno));
        return -1;
    }
    result = parse_stream(s, f, file, error, error_size);
    fclose(f);
    return result == 0 ? read_secrets(s, file, error, error_size) : -1;
}
