/*
 * One link, and whether it tells changes; see feed.h.
 */

#include "feed_inside.h"

#include "figures.h"
#include "monotonic.h"
#include "notice.h"
#include "user_rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As long as the tables have (small_tables.c) before a line is written. */
#define TIMEOUTS 10

/* ---- for anyone ---- */

int feed_live(const struct feed *f, int64_t now_ms)
{
    return now_ms < atomic_load(&f->live_until_ms);
}

int64_t feed_confirmed_ms(const struct feed *f)
{
    return atomic_load(&f->confirmed_ms);
}

int64_t feed_unix_ms(const struct feed *f, int64_t now_ms)
{
    return server_clock_unix_ms(&f->clock, now_ms);
}

uint32_t feed_epoch(const struct feed *f)
{
    return f->epoch;
}

int64_t feed_live_since_ms(const struct feed *f, int64_t now_ms)
{
    return feed_live(f, now_ms) ? f->live_since_ms : INT64_MAX;
}

int feed_is_none(const struct feed *f)
{
    return f->phase == NONE || (f->phase == FOLLOWING && f->standby);
}

/* ---- what is known now ---- */

/* A connection alone is not enough: something on it tells nothing. */
static void begin_silence(struct feed *f, const char *reason)
{
    snprintf(f->reason, sizeof(f->reason), "%s", reason);
    outage_failure(&f->outage, 0, monotonic_ms());
    f->outage.failures = 0; /* only time counts */
}

void feed_end_silence(struct feed *f)
{
    int64_t gone_ms = outage_up(&f->outage, monotonic_ms());

    if (gone_ms >= 0) {
        notice("PostgreSQL %s tells changes again after %.1f s", f->o.label,
               (double)gone_ms / 1e3);
    }
}

void feed_confirm(struct feed *f, int64_t asked_ms)
{
    int64_t timeout_ms = f->o.settings->query_timeout_ms;

    feed_end_silence(f);
    feed_tell_server(f);
    atomic_store(&f->confirmed_ms, asked_ms);
    if (f->none_told) {
        notice("PostgreSQL %s has a change feed now", f->o.label);
    }
    f->none_told = 0;
    if (f->standby) {
        return;
    }
    if (!feed_live(f, monotonic_ms())) {
        f->live_since_ms = monotonic_ms();
    }
    atomic_store(&f->live_until_ms, asked_ms + FEED_HEARTBEAT_MS + timeout_ms);
}

void feed_hear_clock(struct feed *f, int64_t asked_ms, const PGresult *res,
                     int column)
{
    server_clock_hear(&f->clock, asked_ms, monotonic_ms(),
                      user_rows_number(res, 0, column, 0));
}

/* ---- questions and answers ---- */

void feed_ask(struct feed *f, int what, const char *sql, const char *value)
{
    if (link_ask(f->link, what, NULL, sql, value != NULL, &value) == 0) {
        f->asking++;
    } else {
        f->lost = 1;
    }
}

static void answer(void *owner, int what, void *which, int64_t asked_ms,
                   const PGresult *res)
{
    struct feed *f = owner;
    int good = res && (PQresultStatus(res) == PGRES_TUPLES_OK ||
                       PQresultStatus(res) == PGRES_COMMAND_OK);

    (void)which;
    if (what >= FULL_READING_WHAT) {
        feed_take_reading(f, what, asked_ms, res);
        return;
    }
    f->asking--;
    if (what == CHANGES && !res) {
        begin_silence(f, "no answer in time");
        return; /* the next heartbeat asks again */
    }
    if (!good) {
        feed_do_without_because(f, res);
    } else if (what == THERE) {
        feed_take_there(f, res);
    } else if (what == STATE) {
        feed_take_state(f, asked_ms, res);
    } else if (what == CHANGES && f->phase == FOLLOWING) {
        feed_take_changes(f, asked_ms, res);
    }
}

/* ---- the link ---- */

static void up(void *owner)
{
    struct feed *f = owner;

    if (f->phase == AWAY) {
        feed_look(f);
    }
}

static void down(void *owner, const char *reason)
{
    struct feed *f = owner;

    if (f->phase == READING) {
        feed_break_reading(f);
    }
    f->phase = AWAY;
    f->asking = 0;
    f->lost = 0;
    f->reading.lost = 0;
    f->listening = 0;
    link_set_answer_timeout(f->link, f->o.settings->query_timeout_ms);
    begin_silence(f, reason);
}

static void silent(void *owner)
{
    begin_silence(owner, "no answer in time");
}

static const struct link_events events = {
    .up = up,
    .down = down,
    .silent = silent,
    .answer = answer,
    .notified = feed_notified,
};

struct feed *feed_create(const struct feed_options *o)
{
    struct feed *f = calloc(1, sizeof(*f));
    int64_t timeout_ms = o->settings->query_timeout_ms;
    struct link_options lo = {
        .conninfo = o->conninfo,
        .events = &events,
        .owner = f,
        .connect_timeout_ms = link_connect_timeout_ms(timeout_ms),
        .answer_timeout_ms = timeout_ms,
        .heartbeat_ms = INT32_MAX,
        .probe_sql = "select 1",
    };

    if (!f) {
        return NULL;
    }
    f->o = *o;
    f->link = link_create(&lo);
    f->started_ms = monotonic_ms();
    server_clock_begin(&f->clock, f->started_ms, own_unix_ms());
    outage_begin(&f->outage, TIMEOUTS * timeout_ms, f->started_ms);
    strcpy(f->reason, "no answer yet");
    return f->link ? f : NULL;
}

/* ---- steps ---- */

static void check_outage(struct feed *f, int users_away, int64_t now_ms)
{
    if (users_away && !f->outage.up && !f->outage.away) {
        /* One line says so; afterwards the feed has its time to come back. */
        outage_begin(&f->outage, f->outage.patience_ms, now_ms);
    }
    if (outage_tick(&f->outage, now_ms)) {
        notice("PostgreSQL %s does not tell changes (%s); they are noticed "
               "within fresh_ttl",
               f->o.label, f->reason);
    }
}

static void show_figures(const struct feed *f, int64_t now_ms)
{
    enum figures_feed state = feed_live(f, now_ms) ? FIGURES_FEED_LIVE
                              : f->phase == NONE   ? FIGURES_FEED_NONE
                              : f->phase == FOLLOWING && f->standby
                                  ? FIGURES_FEED_POLL
                                  : FIGURES_FEED_BROKEN;

    figures_feed(state, feed_confirmed_ms(f));
}

struct pollfd feed_poll(const struct feed *f)
{
    return link_poll(f->link);
}

int64_t feed_next_ms(const struct feed *f, int users_up)
{
    int64_t next_ms = INT64_MAX;

    if (users_up || link_state(f->link) != LINK_DOWN) {
        next_ms = link_next_ms(f->link);
    }
    if (link_state(f->link) != LINK_UP) {
        return next_ms;
    }
    next_ms = monotonic_earlier(next_ms, feed_read_due_ms(f));
    next_ms = monotonic_earlier(next_ms, feed_listen_due_ms(f));
    return monotonic_earlier(next_ms, feed_look_due_ms(f));
}

void feed_step(struct feed *f, int users_up, int users_away, int64_t now_ms)
{
    if (users_up || link_state(f->link) != LINK_DOWN) {
        link_step(f->link, now_ms);
    }
    if ((f->lost || f->reading.lost) && link_state(f->link) != LINK_DOWN) {
        link_give_up(f->link, "no answer in time");
    }
    check_outage(f, users_away, now_ms);
    if (link_state(f->link) == LINK_UP) {
        if (feed_listen_due_ms(f) <= now_ms) {
            feed_listen(f, 1);
        }
        if (feed_look_due_ms(f) <= now_ms) {
            feed_look_again(f);
        } else if (feed_read_due_ms(f) <= now_ms) {
            feed_ask_for_changes(f, now_ms);
        }
    }
    show_figures(f, now_ms);
}
