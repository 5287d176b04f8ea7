/*
 * One block of memory holds the head, where each cell is, and all bytes; see
 * rows.h.
 */

#include "rows.h"

#include "secret_memory.h"

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

struct place {
    uint64_t at; /* offset in the block; 0: null */
    uint64_t len;
};

struct rows {
    atomic_int holders;
    unsigned fields;
    size_t count;
    size_t size;
    struct place places[];
};

static size_t size_of(size_t count, unsigned fields, rows_source *from,
                      const void *source)
{
    size_t n = sizeof(struct rows) + count * fields * sizeof(struct place);

    for (size_t i = 0; i < count; i++) {
        for (unsigned j = 0; j < fields; j++) {
            n += from(source, i, j).len + 1;
        }
    }
    return n;
}

static void fill(struct rows *r, rows_source *from, const void *source)
{
    struct place *place = r->places;
    uint64_t at = sizeof(*r) + r->count * r->fields * sizeof(struct place);

    for (size_t i = 0; i < r->count; i++) {
        for (unsigned j = 0; j < r->fields; j++, place++) {
            struct rows_cell c = from(source, i, j);

            if (c.p) {
                memcpy((char *)r + at, c.p, c.len);
                *place = (struct place){at, c.len};
                at += c.len + 1;
            }
        }
    }
}

struct rows *rows_copy(size_t count, unsigned fields, rows_source *from,
                       const void *source)
{
    size_t size = size_of(count, fields, from, source);
    struct rows *r = secret_memory_get(size);

    if (!r) {
        return NULL;
    }
    atomic_init(&r->holders, 1);
    r->fields = fields;
    r->count = count;
    r->size = size;
    fill(r, from, source);
    return r;
}

size_t rows_count(const struct rows *r)
{
    return r->count;
}

unsigned rows_fields(const struct rows *r)
{
    return r->fields;
}

struct rows_cell rows_cell(const struct rows *r, size_t row, unsigned field)
{
    const struct place *p = &r->places[row * r->fields + field];

    if (p->at == 0) {
        return (struct rows_cell){NULL, 0};
    }
    return (struct rows_cell){(const char *)r + p->at, p->len};
}

int rows_cell_is(const struct rows *r, size_t row, unsigned field,
                 const char *p, size_t len)
{
    struct rows_cell c = rows_cell(r, row, field);

    return c.p && c.len == len && memcmp(c.p, p, len) == 0;
}

void rows_hold(struct rows *r)
{
    atomic_fetch_add(&r->holders, 1);
}

void rows_release(struct rows *r)
{
    if (r && atomic_fetch_sub(&r->holders, 1) == 1) {
        secret_memory_give_back(r, r->size);
    }
}
