/*
 * Which server tells changes: a primary, a standby, one without a feed, or
 * another than a moment ago; see feed_inside.h.
 */

#include "feed_inside.h"

#include "monotonic.h"
#include "notice.h"
#include "user_rows.h"

#include <stdio.h>
#include <string.h>

/* Whether there is a feed now, or a primary among the hosts. */
#define LOOK_AGAIN_MS 10000
#define TELL_SERVER_MS 5000

#define THERE_SQL "select to_regprocedure('turn.edge_state()') is not null"

void feed_look(struct feed *f)
{
    f->phase = ASKING;
    feed_ask(f, THERE, THERE_SQL, NULL);
}

void feed_take_there(struct feed *f, const PGresult *res)
{
    if (PQgetvalue(res, 0, 0)[0] == 't') {
        feed_ask(f, STATE, FEED_STATE_SQL, NULL);
    } else {
        /* Where there was one, a backup may just be on its way in. */
        feed_do_without(f, "it lacks cms-edge's sql/install.sql",
                        f->read_before ? FEED_TRY_AGAIN_MS : LOOK_AGAIN_MS);
    }
}

/* ---- one without a feed ---- */

void feed_do_without(struct feed *f, const char *why, int64_t pause_ms)
{
    feed_end_silence(f);
    f->phase = NONE;
    f->look_ms = monotonic_ms() + pause_ms;
    if (!f->none_told) {
        notice("PostgreSQL %s has no change feed (%s): changes of users are "
               "noticed within fresh_ttl",
               f->o.label, why);
    }
    f->none_told = 1;
}

void feed_do_without_because(struct feed *f, const PGresult *res)
{
    const char *message =
        res ? PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY) : NULL;

    feed_do_without(f, message ? message : "no answer in time",
                    FEED_TRY_AGAIN_MS);
}

/* ---- a primary, or a standby ---- */

/* The other links may be connecting elsewhere just now: said now and then. */
void feed_tell_server(struct feed *f)
{
    int64_t now_ms = monotonic_ms();

    if (now_ms >= f->server_ms) {
        f->server_ms = now_ms + TELL_SERVER_MS;
        f->o.events->server(f->o.owner, f->link);
    }
}

/*
 * Is all that memory knows of this standby's history? A standby that is not the
 * one of before may be of another; but one that is asked in place of its
 * primary may be behind it, and then what is newer in memory counts.
 */
static int goes_on_with(const struct feed *f, const char *identity,
                        int same_epoch)
{
    size_t n = strcspn(identity, "/");

    if (!f->snapshot || f->standby) {
        return f->snapshot && strcmp(f->identity, identity) == 0;
    }
    return same_epoch && strncmp(f->identity, identity, n) == 0 &&
           f->identity[n] == '/';
}

static void know_server(struct feed *f, const char *identity)
{
    feed_end_silence(f);
    snprintf(f->identity, sizeof(f->identity), "%s", identity);
    f->hosts_tried = 0;
    f->server_ms = 0;
    feed_tell_server(f);
}

static void begin_on_standby(struct feed *f, const char *identity,
                             int same_epoch)
{
    int known = goes_on_with(f, identity, same_epoch);

    f->standby = 1;
    atomic_store(&f->live_until_ms, 0);
    f->look_ms = monotonic_ms() + LOOK_AGAIN_MS;
    user_cache_lose_track(f->o.users);
    know_server(f, identity);
    if (known) {
        feed_follow(f);
    } else {
        feed_begin_reading(f, FULL_READING_ALL);
    }
}

static void begin_on_primary(struct feed *f, const char *identity)
{
    int known =
        f->snapshot && !f->standby && strcmp(f->identity, identity) == 0;

    f->standby = 0;
    know_server(f, identity);
    feed_listen(f, 1);
    if (known) {
        feed_follow(f);
    } else {
        feed_begin_reading(f, FULL_READING_ALL);
    }
}

static int has_other_hosts(struct feed *f)
{
    return f->hosts_tried + 1 < link_hosts(f->link);
}

void feed_take_state(struct feed *f, int64_t asked_ms, const PGresult *res)
{
    const char *identity = PQgetvalue(res, 0, 2);
    int in_recovery = PQgetvalue(res, 0, 0)[0] == 't';
    uint32_t epoch = f->epoch;

    f->epoch = (uint32_t)user_rows_number(res, 0, 1, 0);
    f->in_recovery = in_recovery;
    feed_hear_clock(f, asked_ms, res, 3);
    if (in_recovery && has_other_hosts(f)) {
        f->hosts_tried++;
        link_try_next_host(f->link, "looking for the primary");
    } else if (in_recovery || !f->epoch) {
        begin_on_standby(f, identity, epoch == f->epoch);
    } else {
        begin_on_primary(f, identity);
    }
}

/* ---- something better ---- */

int64_t feed_look_due_ms(const struct feed *f)
{
    if (f->asking ||
        (f->phase != NONE &&
         !(f->phase == FOLLOWING && f->standby && link_hosts(f->link) > 1))) {
        return INT64_MAX;
    }
    return f->look_ms;
}

void feed_look_again(struct feed *f)
{
    if (f->phase == NONE) {
        feed_look(f);
    } else {
        f->hosts_tried = 1;
        link_try_next_host(f->link, "looking for the primary");
    }
}
