/*
 * Text format only; see user_rows.h.
 */

#include "user_rows.h"

#include "hmackey.h"

#include <stdlib.h>

int64_t user_rows_number(const PGresult *res, int row, int column,
                         int64_t instead)
{
    return PQgetisnull(res, row, column)
               ? instead
               : strtoll(PQgetvalue(res, row, column), NULL, 10);
}

struct user_name user_rows_name(const PGresult *res, int row, int column)
{
    return (struct user_name){PQgetvalue(res, row, column),
                              (size_t)PQgetlength(res, row, column),
                              PQgetvalue(res, row, column + 1),
                              (size_t)PQgetlength(res, row, column + 1)};
}

void user_rows_record(const PGresult *res, int row, int column, int64_t read_ms,
                      uint32_t epoch, struct user_record *r)
{
    int key = column + 1, from = column + 2, until = column + 3;

    *r = (struct user_record){.state = USER_ABSENT, .read_ms = read_ms};
    if (epoch && !PQgetisnull(res, row, column)) {
        r->version.epoch = epoch;
        r->version.number = (uint64_t)user_rows_number(res, row, column, 0);
    }
    if (!PQgetisnull(res, row, key) &&
        hmackey_parse(r->key, PQgetvalue(res, row, key),
                      (size_t)PQgetlength(res, row, key)) == 0) {
        r->state = USER_VALID;
        r->valid_until_ms = user_rows_number(res, row, until, USER_FOREVER);
    } else {
        r->valid_until_ms = user_rows_number(res, row, from, 0);
    }
}
