/*
 * The plugin's settings: /etc/cms-edge/turn-auth.conf, or the file that
 * $TURN_AUTH_CONF names, lines of `key = value`. What each key means, its
 * default and range stand in the table in settings.c. Read once, when
 * turnserver starts (settings_file.c); a wrong line stops it.
 */

#ifndef SETTINGS_H
#define SETTINGS_H

#include <stddef.h>
#include <stdint.h>

#define SETTING_TEXT 256     /* bytes of a text with its end */
#define SETTING_PASSWORD 512 /* bytes of a password with its end */
#define FIGURES_DIR "/run/cms-edge"

/*
 * What stands in a file of secrets, read by settings_file.c when turnserver
 * starts (it may drop its rights later): in secret memory, with a '\0' behind
 * it; NULL where no such file is set. Never given back.
 */
struct setting_secret {
    const char *text;
    size_t len;
    int line; /* of the setting that names the file; 0: not set */
};

/* Texts are empty where nothing is set, or none. */
struct settings {
    int64_t cache_size;
    int64_t fresh_ttl_ms;
    int64_t stale_ttl_ms;
    int64_t negative_ttl_ms;
    int64_t query_timeout_ms;
    int64_t poll_interval_ms;
    char redis[SETTING_TEXT]; /* unix:/path, or host:port, or [IPv6]:port */
    char redis_password_file[SETTING_TEXT];
    int64_t redis_database;
    char redis_prefix[SETTING_TEXT];
    int64_t redis_timeout_ms;
    char seal_key_file[SETTING_TEXT];
    char cli[SETTING_TEXT]; /* a loopback address: 127.x.x.x:port, [::1]:port */
    char cli_password_file[SETTING_TEXT];
    char figures_dir[SETTING_TEXT];
    struct setting_secret redis_password; /* the first line of its file */
    struct setting_secret seal_keys;      /* its whole file */
    struct setting_secret cli_password;   /* the first line of its file */
};

void settings_defaults(struct settings *s);

/*
 * Reads the text of a settings file over *s, which holds the defaults. Returns
 * 0, or -1 with "FILE:LINE: what is wrong, what is expected" in error.
 */
int settings_parse(struct settings *s, const char *file, const char *text,
                   size_t len, char *error, size_t error_size);

#endif
