/*
 * A link whose server is the test: it sees what is asked, and answers when and
 * in the order it likes. Stands in for link.c (link.h is what it does).
 */

#ifndef FAKE_LINK_H
#define FAKE_LINK_H

#include "link.h"
#include "monotonic.h"

#include <stdlib.h>
#include <string.h>

struct fake_question {
    int what;
    void *which;
    int64_t asked_ms;
    char sql[1024];
};

struct link {
    struct link_options o;
    enum link_state state;
    int given_up; /* how often */
    size_t count;
    struct fake_question asked[64]; /* not answered yet */
};

int64_t link_connect_timeout_ms(int64_t query_timeout_ms)
{
    return query_timeout_ms;
}

/* The one made last. */
static struct link *fake_last;

struct link *link_create(const struct link_options *o)
{
    struct link *l = calloc(1, sizeof(*l));

    l->o = *o;
    fake_last = l;
    return l;
}

enum link_state link_state(const struct link *l)
{
    return l->state;
}

int link_ask(struct link *l, int what, void *which, const char *sql, int count,
             const char *const *values)
{
    struct fake_question *q = &l->asked[l->count];

    (void)count;
    (void)values;
    if (l->state != LINK_UP ||
        l->count == sizeof(l->asked) / sizeof(l->asked[0])) {
        return -1;
    }
    l->count++;
    *q = (struct fake_question){
        .what = what, .which = which, .asked_ms = monotonic_ms()};
    strncpy(q->sql, sql, sizeof(q->sql) - 1);
    return 0;
}

void link_set_answer_timeout(struct link *l, int64_t timeout_ms)
{
    l->o.answer_timeout_ms = timeout_ms;
}

int link_hosts(const struct link *l)
{
    (void)l;
    return 1;
}

void link_give_up(struct link *l, const char *reason)
{
    l->given_up++;
    l->state = LINK_DOWN;
    l->count = 0;
    l->o.events->down(l->o.owner, reason);
}

void link_try_next_host(struct link *l, const char *reason)
{
    link_give_up(l, reason);
}

void link_follow(struct link *l, const struct link *leader)
{
    (void)l;
    (void)leader;
}

struct pollfd link_poll(const struct link *l)
{
    (void)l;
    return (struct pollfd){.fd = -1};
}

int64_t link_next_ms(const struct link *l)
{
    (void)l;
    return INT64_MAX;
}

void link_step(struct link *l, int64_t now_ms)
{
    (void)l;
    (void)now_ms;
}

/* ---- for the test ---- */

static void fake_up(struct link *l)
{
    l->state = LINK_UP;
    l->o.events->up(l->o.owner);
}

/* How many questions with this in them wait for an answer. */
static size_t fake_count(const struct link *l, const char *sql)
{
    size_t n = 0;

    for (size_t i = 0; i < l->count; i++) {
        n += strstr(l->asked[i].sql, sql) != NULL;
    }
    return n;
}

/* Rows for fake_answer(); cells in their order, NULL for null. */
static PGresult *fake_rows(int rows, int columns, const char *const *cells)
{
    PGresult *res = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    PGresAttDesc *described = calloc((size_t)columns, sizeof(*described));
    const char *cell;

    for (int i = 0; i < columns; i++) {
        described[i].name = (char *)"";
    }
    PQsetResultAttrs(res, columns, described);
    free(described);
    for (int i = 0; i < rows * columns; i++) {
        cell = cells[i];
        PQsetvalue(res, i / columns, i % columns, (char *)cell,
                   cell ? (int)strlen(cell) : -1);
    }
    return res;
}

/* Answers the first question with this in it; frees res. 0: there is none. */
static int fake_answer(struct link *l, const char *sql, PGresult *res)
{
    struct fake_question q;
    size_t i = 0;

    while (i < l->count && !strstr(l->asked[i].sql, sql)) {
        i++;
    }
    if (i < l->count) {
        q = l->asked[i];
        l->count--;
        memmove(&l->asked[i], &l->asked[i + 1],
                (l->count - i) * sizeof(l->asked[0]));
        l->o.events->answer(l->o.owner, q.what, q.which, q.asked_ms, res);
        PQclear(res);
        return 1;
    }
    PQclear(res);
    return 0;
}

#endif
