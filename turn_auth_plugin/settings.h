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

struct settings {
    int64_t cache_size;
    int64_t fresh_ttl_ms;
    int64_t stale_ttl_ms;
    int64_t negative_ttl_ms;
    int64_t query_timeout_ms;
    int64_t poll_interval_ms;
};

void settings_defaults(struct settings *s);

/*
 * Reads the text of a settings file over *s, which holds the defaults. Returns
 * 0, or -1 with "FILE:LINE: what is wrong, what is expected" in error.
 */
int settings_parse(struct settings *s, const char *file, const char *text,
                   size_t len, char *error, size_t error_size);

#endif
