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
    } else {
        check(sscanf(error, "F:%d: ", &line) == 1 && line > 0);
    }
    free(text);
    return 0;
}
