/*
 * TAP for the C unit tests: ok(), is_int(), is_mem(), done_testing().
 */

#ifndef TAP_H
#define TAP_H

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int tap_count, tap_failed;

__attribute__((format(printf, 2, 3), unused)) static int
ok(int good, const char *fmt, ...)
{
    va_list ap;

    printf("%sok %d - ", good ? "" : "not ", ++tap_count);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
    tap_failed += !good;
    return good;
}

__attribute__((unused)) static int
is_int(long got, long want, const char *name)
{
    if (!ok(got == want, "%s", name)) {
        printf("#   got %ld, expected %ld\n", got, want);
        return 0;
    }
    return 1;
}

__attribute__((unused)) static int
is_mem(const void *got, size_t got_len, const char *want, const char *name)
{
    size_t want_len = strlen(want);

    if (!ok(got_len == want_len && memcmp(got, want, want_len) == 0, "%s",
            name)) {
        printf("#   got '%.*s'\n#   expected '%s'\n", (int)got_len,
               (const char *)got, want);
        return 0;
    }
    return 1;
}

__attribute__((unused)) static int
done_testing(void)
{
    printf("1..%d\n", tap_count);
    fflush(stdout);
    return tap_failed != 0;
}

#endif
