/*
 * Rows to secrets; see realm_secrets.h.
 */

#include "realm_secrets.h"

#define MOST 64 /* of a realm that are looked at */

/* Not a number: it has expired, to be on the safe side. */
static int64_t valid_until(const struct rows *rows, size_t row)
{
    struct rows_cell c = {0};
    int64_t ms = 0;

    if (rows_fields(rows) > SECRET_VALID_UNTIL_MS) {
        c = rows_cell(rows, row, SECRET_VALID_UNTIL_MS);
    }
    if (!c.p) {
        return INT64_MAX;
    }
    for (size_t i = 0; i < c.len; i++) {
        if (c.p[i] < '0' || c.p[i] > '9' || ms > INT64_MAX / 10 - 1) {
            return 0;
        }
        ms = 10 * ms + c.p[i] - '0';
    }
    return ms;
}

int realm_secrets_valid(const struct rows *rows, size_t row, const char *realm,
                        size_t realm_len, int64_t now_ms, int64_t *until_ms)
{
    if (!rows_cell_is(rows, row, SECRET_REALM, realm, realm_len) ||
        rows_cell(rows, row, SECRET_VALUE).len == 0) {
        return 0;
    }
    *until_ms = valid_until(rows, row);
    return *until_ms > now_ms;
}

size_t realm_secrets_pick(struct rows_cell *secrets, size_t max,
                          const struct rows *rows, const char *realm,
                          size_t realm_len, int64_t now_ms)
{
    int64_t ends[MOST], until_ms;
    size_t count = 0, kept = 0, i;

    max = max < MOST ? max : MOST;
    for (size_t row = 0; row < rows_count(rows); row++) {
        if (!realm_secrets_valid(rows, row, realm, realm_len, now_ms,
                                 &until_ms)) {
            continue;
        }
        count++;
        for (i = kept; i > 0 && ends[i - 1] < until_ms; i--) {
            if (i < max) {
                ends[i] = ends[i - 1];
                secrets[i] = secrets[i - 1];
            }
        }
        if (i < max) {
            ends[i] = until_ms;
            secrets[i] = rows_cell(rows, row, SECRET_VALUE);
            kept += kept < max;
        }
    }
    return count;
}
