/*
 * Rows of view turn.user_record (sql/journal.sql) as libpq returns them. Called
 * by feed*.c, full_reading.c and user_questions.c.
 */

#ifndef USER_ROWS_H
#define USER_ROWS_H

#include "user_cache.h"

#include <libpq-fe.h>

/* The columns of a user's record, in this order: */
#define USER_RECORD_COLUMNS "version,hmackey,valid_from_ms,valid_until_ms"
#define USER_RECORD_WIDTH 4

/*
 * Reads the columns above, of which the first is number column. It has read_ms
 * and the epoch of its version from the caller.
 */
void user_rows_record(const PGresult *res, int row, int column, int64_t read_ms,
                      uint32_t epoch, struct user_record *r);
/* Realm and name, columns column and the next; valid as long as res. */
struct user_name user_rows_name(const PGresult *res, int row, int column);
/* A number; instead where it is null. */
int64_t user_rows_number(const PGresult *res, int row, int column,
                         int64_t instead);

#endif
