/* sources: turn_auth_plugin/realm_secrets.c turn_auth_plugin/rows.c */
/* sources: turn_auth_plugin/secret_memory.c */

/*
 * Any table of secrets: those that are picked are the realm's, are not empty,
 * last beyond now, and come in the order of how long.
 */

#include "realm_secrets.h"

#include <stdlib.h>
#include <string.h>

#define MAX 5
#define NOW_MS 1000

struct table {
    const uint8_t *p;
    size_t size;
};

static void check(int good)
{
    if (!good) {
        abort();
    }
}

/* A cell is the bytes between two newlines; "-" is null. */
static struct rows_cell cell(const void *source, size_t row, unsigned field)
{
    const struct table *t = source;
    const uint8_t *p = t->p, *end = t->p + t->size, *stop;
    size_t skip = 3 * row + field;

    for (; skip > 0 && p; skip--) {
        p = memchr(p, '\n', (size_t)(end - p));
        p = p ? p + 1 : NULL;
    }
    if (!p) {
        return (struct rows_cell){NULL, 0};
    }
    stop = memchr(p, '\n', (size_t)(end - p));
    if (stop == p + 1 && *p == '-') {
        return (struct rows_cell){NULL, 0};
    }
    return (struct rows_cell){(const char *)p,
                              (size_t)((stop ? stop : end) - p)};
}

static void check_picked(const struct rows *rows,
                         const struct rows_cell *secrets, size_t n)
{
    int64_t before_ms = INT64_MAX, until_ms = 0;
    size_t row;

    for (size_t i = 0; i < n; i++) {
        for (row = 0; rows_cell(rows, row, SECRET_VALUE).p != secrets[i].p;
             row++) {
        }
        check(realm_secrets_valid(rows, row, "r", 1, NOW_MS, &until_ms));
        check(secrets[i].len > 0 && until_ms > NOW_MS && until_ms <= before_ms);
        before_ms = until_ms;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct table t = {data, size};
    struct rows_cell secrets[MAX];
    size_t lines = 1, count;
    struct rows *rows;

    for (size_t i = 0; i < size; i++) {
        lines += data[i] == '\n';
    }
    if (size == 0 || lines > 300) {
        return 0;
    }
    rows = rows_copy((lines + 2) / 3, 3, cell, &t);
    check(rows != NULL);
    count = realm_secrets_pick(secrets, MAX, rows, "r", 1, NOW_MS);
    check_picked(rows, secrets, count < MAX ? count : MAX);
    rows_release(rows);
    return 0;
}
