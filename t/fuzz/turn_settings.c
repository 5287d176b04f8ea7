/* sources: turn_auth_plugin/settings.c */

/*
 * Any text as a settings file: it is taken, with every value in its range, or
 * refused with a message that begins with file and line.
 */

#include "settings.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(int good)
{
    if (!good) {
        abort();
    }
}

static void check_ranges(const struct settings *s)
{
    check(s->cache_size >= 100 && s->cache_size <= 100000000);
    check(s->fresh_ttl_ms >= 100 && s->fresh_ttl_ms <= 86400000);
    check(s->stale_ttl_ms == 0 || s->stale_ttl_ms >= s->fresh_ttl_ms);
    check(s->stale_ttl_ms <= 2592000000);
    check(s->negative_ttl_ms >= 0 && s->negative_ttl_ms <= 3600000);
    check(s->query_timeout_ms >= 10 && s->query_timeout_ms <= 10000);
    check(s->poll_interval_ms >= 100 && s->poll_interval_ms <= 3600000);
    check(s->redis_timeout_ms >= 1 && s->redis_timeout_ms <= 10000);
    check(s->redis_database >= 0 && s->redis_database <= 1023);
}

static void check_texts(const struct settings *s)
{
    const char *const paths[] = {s->redis_password_file, s->seal_key_file,
                                 s->cli_password_file, s->figures_dir};

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        check(strlen(paths[i]) < SETTING_TEXT);
        check(!paths[i][0] || paths[i][0] == '/');
    }
    check(s->redis_prefix[0] && strlen(s->redis_prefix) <= 64);
    check(!s->redis[0] || s->seal_key_file[0]);
    check(!s->cli[0] || s->cli_password_file[0]);
    check(!s->cli[0] || strncmp(s->cli, "127.", 4) == 0 ||
          (s->cli[0] == '[' && strchr(s->cli, ']')));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct settings s;
    char error[200] = "";
    char *text = malloc(size ? size : 1);
    int line = 0;

    memcpy(text, data, size);
    settings_defaults(&s);
    if (settings_parse(&s, "F", text, size, error, sizeof(error)) == 0) {
        check_ranges(&s);
        check_texts(&s);
    } else {
        check(sscanf(error, "F:%d: ", &line) == 1 && line > 0);
    }
    free(text);
    return 0;
}
