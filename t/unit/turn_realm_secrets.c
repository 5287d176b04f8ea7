/* sources: turn_auth_plugin/realm_secrets.c turn_auth_plugin/rows.c */
/* sources: turn_auth_plugin/secret_memory.c */

#include "realm_secrets.h"
#include "tap.h"

/* Columns as of turn_secret; NULL: null. */
static const char *const table[][3] = {
    {"soon", "r", "2000"},    {"for ever", "r", NULL},
    {"elsewhere", "s", NULL}, {"past", "r", "1000"},
    {"later", "r", "3000"},   {"", "r", NULL},
    {NULL, "r", NULL},        {"strange", "r", "never"},
    {"negative", "r", "-5"},  {"huge", "r", "99999999999999999999"},
    {"no realm", NULL, NULL}, {"for ever, too", "r", NULL},
};

static struct rows_cell cell(const void *source, size_t row, unsigned field)
{
    const char *text = table[row][field];

    (void)source;
    return (struct rows_cell){text, text ? strlen(text) : 0};
}

static void picks(const struct rows *rows, size_t max, size_t count,
                  const char *want, const char *title)
{
    struct rows_cell secrets[8];
    char got[200] = "";

    is_int((long)realm_secrets_pick(secrets, max, rows, "r", 1, 1000),
           (long)count, title);
    for (size_t i = 0; i < (count < max ? count : max); i++) {
        strncat(strcat(got, i ? ", " : ""), secrets[i].p, secrets[i].len);
    }
    is_mem(got, strlen(got), want, "... those");
}

int main(void)
{
    size_t n = sizeof(table) / sizeof(table[0]);
    struct rows *plain = rows_copy(2, 2, cell, NULL);
    struct rows *rows = rows_copy(n, 3, cell, NULL);
    int64_t until_ms;

    picks(rows, 8, 4, "for ever, for ever, too, later, soon",
          "valid ones, that last longest first");
    picks(rows, 2, 4, "for ever, for ever, too", "more than are wanted");
    picks(rows, 3, 4, "for ever, for ever, too, later", "the last one drops");
    picks(plain, 8, 2, "soon, for ever", "a table that knows no end");
    ok(realm_secrets_valid(rows, 0, "r", 1, 1999, &until_ms),
       "good until its end");
    is_int((long)until_ms, 2000, "... which it tells");
    ok(!realm_secrets_valid(rows, 0, "r", 1, 2000, &until_ms), "... not then");
    ok(!realm_secrets_valid(rows, 1, "R", 1, 0, &until_ms),
       "another realm by case");
    rows_release(plain);
    rows_release(rows);
    return done_testing();
}
