/* sources: turn_auth_plugin/rows.c turn_auth_plugin/secret_memory.c */
/* sources: turn_auth_plugin/last_known.c */

#include "last_known.h"
#include "rows.h"
#include "tap.h"

static const char *table[][2] = {{"one", "1"}, {"", NULL}, {"three", "3"}};

static struct rows_cell cell(const void *source, size_t row, unsigned field)
{
    const char *const(*t)[2] = source;
    const char *p = t[row][field];

    return (struct rows_cell){p, p ? strlen(p) : 0};
}

static struct rows *copy(size_t count)
{
    return rows_copy(count, 2, cell, table);
}

static void cells(void)
{
    struct rows *r = copy(3);
    struct rows_cell c = rows_cell(r, 2, 0);

    is_int((long)rows_count(r), 3, "three rows");
    is_int((long)rows_fields(r), 2, "of two");
    is_mem(c.p, c.len, "three", "a cell");
    is_int(c.p[5], 0, "ends with a zero byte");
    c = rows_cell(r, 1, 0);
    ok(c.p && c.len == 0, "an empty one");
    ok(!rows_cell(r, 1, 1).p, "a null one");
    ok(rows_cell_is(r, 0, 0, "one", 3), "is one");
    ok(!rows_cell_is(r, 0, 0, "on", 2), "is not on");
    ok(!rows_cell_is(r, 1, 1, "", 0), "null is nothing");
    rows_release(r);
    r = copy(0);
    is_int((long)rows_count(r), 0, "no rows");
    rows_release(r);
    rows_release(NULL);
}

#define ALL ((1u << LAST_KNOWN_TABLES) - 1)

static void rounds(void)
{
    static struct last_known *k; /* lives as long as the process */
    struct rows *set[LAST_KNOWN_TABLES] = {NULL}, *r, *held;
    int64_t read_ms;

    k = last_known_create();
    last_known_wait(k, LAST_KNOWN_SECRETS, 0);
    ok(!last_known_get(k, LAST_KNOWN_SECRETS, &read_ms), "never read: nothing");
    set[LAST_KNOWN_SECRETS] = copy(1);
    set[LAST_KNOWN_ALLOWED_PEERS] = copy(1);
    last_known_round(k, ALL, set, 100);
    last_known_wait(k, LAST_KNOWN_SECRETS, INT64_MAX / 2);
    held = last_known_get(k, LAST_KNOWN_SECRETS, &read_ms);
    ok(held && read_ms == 100, "read: there it is, with its time");
    ok(!last_known_get(k, LAST_KNOWN_ALLOWED_PEERS, &read_ms),
       "allowed peers alone are not taken over");
    set[LAST_KNOWN_ALLOWED_PEERS] = copy(2);
    set[LAST_KNOWN_DENIED_PEERS] = copy(3);
    last_known_round(k, ALL, set, 200);
    r = last_known_get(k, LAST_KNOWN_ALLOWED_PEERS, &read_ms);
    ok(r && rows_count(r) == 2 && read_ms == 200, "with the denied ones, yes");
    rows_release(r);
    r = last_known_get(k, LAST_KNOWN_SECRETS, &read_ms);
    ok(r == held && read_ms == 100, "what was not read again stays");
    rows_release(r);
    set[LAST_KNOWN_SECRETS] = copy(2);
    last_known_round(k, ALL, set, 300);
    ok(rows_cell_is(held, 0, 0, "one", 3), "who holds old rows may go on");
    rows_release(held);
}

int main(void)
{
    cells();
    rounds();
    return done_testing();
}
