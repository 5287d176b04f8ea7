/*
 * The rows of a small table, as last read from the database: immutable, shared
 * by counting who holds them, in memory that no core file holds (they may be
 * secrets). Made by store.c, kept by last_known.c, read by answer.c.
 */

#ifndef ROWS_H
#define ROWS_H

#include <stddef.h>

struct rows;

/* p is NULL for an SQL null, else len bytes and a zero byte after them. */
struct rows_cell {
    const char *p;
    size_t len;
};

/* Says what stands in a cell of the table that is copied. */
typedef struct rows_cell rows_source(const void *source, size_t row,
                                     unsigned field);

/* Copies a table; held once by the caller. NULL when there is no memory. */
struct rows *rows_copy(size_t count, unsigned fields, rows_source *from,
                       const void *source);

size_t rows_count(const struct rows *r);
unsigned rows_fields(const struct rows *r);
struct rows_cell rows_cell(const struct rows *r, size_t row, unsigned field);
/* Is this cell exactly these bytes? */
int rows_cell_is(const struct rows *r, size_t row, unsigned field,
                 const char *p, size_t len);

void rows_hold(struct rows *r);
/* Wipes and frees when nobody else holds them; r may be NULL. */
void rows_release(struct rows *r);

#endif
