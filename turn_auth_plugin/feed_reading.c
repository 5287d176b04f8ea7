/*
 * Users come into memory: all of them or many, read in slices, and then what
 * changed; see feed_inside.h.
 */

#include "feed_inside.h"

#include "figures.h"
#include "monotonic.h"
#include "notice.h"
#include "user_rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* However many notifications come. */
#define COALESCE_MS 10
/* Deadline of a slice of a full reading. */
#define SLICE_TIMEOUT_MS 60000

/* More changes than that are read in slices. */
#define MOST_CHANGES 5000
#define MOST_CHANGES_TEXT "5001"

/* The columns of FEED_STATE_SQL, then: */
enum { SNAPSHOT_COLUMN = 4, NAME_COLUMN };
#define CHANGES_SQL(users)                                                     \
    "select s.*,pg_current_snapshot()::text,u.* from (" FEED_STATE_SQL ") s "  \
    "left join (" users " limit " MOST_CHANGES_TEXT ") u on true"

static void take_users(struct feed *f, const PGresult *res, int column,
                       int64_t asked_ms)
{
    int64_t now_ms = monotonic_ms();
    struct user_record r;

    for (int i = 0; i < PQntuples(res); i++) {
        struct user_name u = user_rows_name(res, i, column);
        enum user_stored stored;

        user_rows_record(res, i, column + 2, asked_ms, f->epoch, &r);
        stored = f->reads_all ? user_cache_resync(f->o.users, &u, &r)
                              : user_cache_change(f->o.users, &u, now_ms, &r);
        if (stored == USER_STORED_REVOKED) {
            f->o.events->revoked(f->o.owner, &u);
        }
        if (!f->reads_all && !f->standby) {
            f->o.events->changed(f->o.owner, &u, &r);
        }
    }
    explicit_bzero(&r, sizeof(r));
    figures_count(FIGURES_FEED_CHANGES, (uint64_t)PQntuples(res));
}

/* ---- reading many ---- */

/* Those that changed. */
static enum full_reading_which changed(const struct feed *f)
{
    return f->standby ? FULL_READING_CHANGED_STANDBY : FULL_READING_CHANGED;
}

void feed_begin_reading(struct feed *f, enum full_reading_which which)
{
    if (which == FULL_READING_ALL) {
        free(f->snapshot);
        f->snapshot = NULL;
        atomic_store(&f->live_until_ms, 0);
    }
    f->phase = READING;
    f->reads_all = 0;
    link_set_answer_timeout(f->link, SLICE_TIMEOUT_MS);
    full_reading_begin(&f->reading, f->link, which, f->snapshot);
}

/*
 * Since it was asked which it is, it may have become another one; a new epoch
 * cannot begin here, where only reading is allowed.
 */
static int is_still_it(const struct feed *f, const PGresult *res)
{
    return strcmp(f->identity, PQgetvalue(res, 0, 1)) == 0 &&
           user_rows_number(res, 0, 0, 0) == f->epoch;
}

static void take_snapshot(struct feed *f, int64_t asked_ms, const PGresult *res)
{
    if (!is_still_it(f, res)) {
        link_give_up(f->link, "another database than a moment ago");
        return;
    }
    free(f->next_snapshot);
    f->next_snapshot = strdup(PQgetvalue(res, 0, 3));
    if (!f->next_snapshot) {
        link_give_up(f->link, "out of memory");
        return;
    }
    f->reading_ms = asked_ms;
    feed_hear_clock(f, asked_ms, res, 2);
    f->reads_all = !f->snapshot;
    if (f->reads_all) {
        user_cache_begin_resync(f->o.users, monotonic_ms());
    }
}

static void tell_read(struct feed *f, int64_t took_ms, int complete)
{
    const char *how = f->in_recovery ? "a standby, polled"
                      : f->standby
                          ? "polled: no epoch can begin, its role only reads"
                      : complete ? "complete, feed live"
                                 : "more than cache_size, feed live";

    notice("%s%zu users of %s in memory after %.1f s (%s)",
           f->read_before ? "another database than before, or a restart: " : "",
           user_cache_count(f->o.users, USER_VALID), f->o.label,
           (double)took_ms / 1e3, how);
    f->read_before = 1;
}

static void end_reading(struct feed *f)
{
    int64_t since_ms = f->read_before ? f->reading_ms : f->started_ms;
    int complete = 0, was_all = !f->snapshot;

    if (f->reads_all) {
        complete =
            user_cache_end_resync(f->o.users, f->o.events->revoked, f->o.owner);
        figures_count(FIGURES_FEED_RESYNCS, 1);
    }
    if (f->standby) {
        user_cache_lose_track(f->o.users);
    }
    f->reads_all = 0;
    free(f->snapshot);
    f->snapshot = f->next_snapshot;
    f->next_snapshot = NULL;
    feed_confirm(f, f->reading_ms);
    feed_follow(f);
    if (was_all) {
        tell_read(f, monotonic_ms() - since_ms, complete);
        f->o.events->read_all(f->o.owner);
    }
}

void feed_break_reading(struct feed *f)
{
    if (f->reads_all) {
        user_cache_break_resync(f->o.users);
    }
    f->reads_all = 0;
}

void feed_take_reading(struct feed *f, int what, int64_t asked_ms,
                       const PGresult *res)
{
    switch (full_reading_answer(&f->reading, what, res)) {
    case FULL_READING_SNAPSHOT:
        take_snapshot(f, asked_ms, res);
        break;
    case FULL_READING_ROWS:
        take_users(f, res, 0, f->reading_ms);
        break;
    case FULL_READING_DONE:
        end_reading(f);
        break;
    case FULL_READING_FAILED:
        feed_break_reading(f);
        feed_do_without(f, "reading users failed", FEED_TRY_AGAIN_MS);
        break;
    case FULL_READING_GOES_ON:
        break;
    }
}

/* ---- following ---- */

void feed_follow(struct feed *f)
{
    f->phase = FOLLOWING;
    f->hinted = 1;
    link_set_answer_timeout(f->link, f->o.settings->query_timeout_ms);
}

int64_t feed_read_due_ms(const struct feed *f)
{
    int64_t beat_ms =
        f->standby ? f->o.settings->poll_interval_ms : FEED_HEARTBEAT_MS;

    if (f->phase != FOLLOWING || f->asking) {
        return INT64_MAX;
    }
    if (!f->listening && !f->standby) {
        beat_ms = FEED_FLOODED_READ_MS;
    }
    return f->asked_ms + (f->hinted ? COALESCE_MS : beat_ms);
}

void feed_ask_for_changes(struct feed *f, int64_t now_ms)
{
    char sql[1024];

    snprintf(sql, sizeof(sql), CHANGES_SQL("%s"), full_reading_sql(changed(f)));
    f->asked_ms = now_ms;
    f->hinted = 0;
    feed_ask(f, CHANGES, sql, f->snapshot);
}

static void keep_snapshot(struct feed *f, const char *snapshot)
{
    char *copy = strdup(snapshot);

    if (copy) { /* else: more is read again next time */
        free(f->snapshot);
        f->snapshot = copy;
    }
}

void feed_take_changes(struct feed *f, int64_t asked_ms, const PGresult *res)
{
    int in_recovery = PQgetvalue(res, 0, 0)[0] == 't';
    int rows = PQgetisnull(res, 0, NAME_COLUMN) ? 0 : PQntuples(res);

    if (strcmp(f->identity, PQgetvalue(res, 0, 2)) != 0 ||
        user_rows_number(res, 0, 1, 0) != f->epoch ||
        in_recovery != f->in_recovery) {
        feed_look(f);
        return;
    }
    if (rows > MOST_CHANGES) {
        feed_begin_reading(f, changed(f));
        return;
    }
    feed_hear_clock(f, asked_ms, res, 3);
    if (rows) {
        take_users(f, res, NAME_COLUMN, asked_ms);
    }
    keep_snapshot(f, PQgetvalue(res, 0, SNAPSHOT_COLUMN));
    feed_confirm(f, asked_ms);
}
