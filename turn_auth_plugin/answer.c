/*
 * PGresult from rows; see answer.h.
 */

#include "answer.h"

#include "realm_secrets.h"

#include <string.h>

#define MAX_COLUMNS 8
#define TYPE_TEXT 25

PGresult *answer_nothing(unsigned columns, const char *const *names)
{
    PGresAttDesc attributes[MAX_COLUMNS] = {0};
    PGresult *res = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);

    for (unsigned i = 0; i < columns; i++) {
        attributes[i].name = (char *)names[i];
        attributes[i].typid = TYPE_TEXT;
        attributes[i].typlen = -1;
        attributes[i].atttypmod = -1;
    }
    if (res && !PQsetResultAttrs(res, (int)columns, attributes)) {
        PQclear(res);
        return NULL;
    }
    return res;
}

/* p NULL: an SQL null. */
static int set(PGresult *res, int row, unsigned column, const char *p,
               size_t len)
{
    return PQsetvalue(res, row, (int)column, (char *)p, p ? (int)len : -1);
}

PGresult *answer_key(const uint8_t key[HMACKEY_LEN])
{
    static const char *const names[] = {"hmackey"};
    PGresult *res = answer_nothing(1, names);
    char hex[HMACKEY_HEX + 1];

    hmackey_print(hex, key);
    if (res && !set(res, 0, 0, hex, HMACKEY_HEX)) {
        PQclear(res);
        res = NULL;
    }
    explicit_bzero(hex, sizeof(hex));
    return res;
}

static int add_row(PGresult *res, unsigned columns, const struct rows *rows,
                   size_t from)
{
    int to = PQntuples(res);

    for (unsigned i = 0; i < columns; i++) {
        struct rows_cell c = rows_cell(rows, from, i);

        if (!set(res, to, i, c.p, c.len)) {
            return 0;
        }
    }
    return 1;
}

PGresult *answer_rows(unsigned columns, const char *const *names,
                      const struct rows *rows, unsigned filter_column,
                      const char *filter, size_t filter_len)
{
    PGresult *res = answer_nothing(columns, names);

    for (size_t i = 0; res && i < rows_count(rows); i++) {
        if ((!filter ||
             rows_cell_is(rows, i, filter_column, filter, filter_len)) &&
            !add_row(res, columns, rows, i)) {
            PQclear(res);
            return NULL;
        }
    }
    return res;
}

PGresult *answer_secrets(const struct rows *rows, const char *realm,
                         size_t realm_len, int64_t now_ms)
{
    static const char *const names[] = {"value"};
    PGresult *res = answer_nothing(1, names);
    int64_t until_ms;

    for (size_t i = 0; res && i < rows_count(rows); i++) {
        if (realm_secrets_valid(rows, i, realm, realm_len, now_ms, &until_ms) &&
            !add_row(res, 1, rows, i)) {
            PQclear(res);
            return NULL;
        }
    }
    return res;
}

PGresult *answer_every_peer(void)
{
    static const char *const names[] = {"ip_range", "realm"};
    static const char *const ranges[] = {
        "0.0.0.0-255.255.255.255",
        "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    };
    PGresult *res = answer_nothing(2, names);

    for (int i = 0; res && i < 2; i++) {
        if (!set(res, i, 0, ranges[i], strlen(ranges[i])) ||
            !set(res, i, 1, "", 0)) {
            PQclear(res);
            return NULL;
        }
    }
    return res;
}

static int holds_keys(const PGresult *res)
{
    const char *name = PQnfields(res) == 1 ? PQfname(res, 0) : NULL;

    return name && (strcmp(name, "hmackey") == 0 || strcmp(name, "value") == 0);
}

void answer_wipe(PGresult *res)
{
    if (!res || !holds_keys(res)) {
        return;
    }
    for (int i = 0; i < PQntuples(res); i++) {
        explicit_bzero(PQgetvalue(res, i, 0), (size_t)PQgetlength(res, i, 0));
    }
}
