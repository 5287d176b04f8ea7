/*
 * One link, and what is asked on it when; see feed.h.
 */

#include "feed.h"

#include "figures.h"
#include "full_reading.h"
#include "monotonic.h"
#include "notice.h"
#include "outage.h"
#include "server_clock.h"
#include "user_rows.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* However quiet it is, and however many notifications come. */
#define HEARTBEAT_MS 500
#define COALESCE_MS 10
/*
 * More notifications a second than that, and nobody listens any more for a
 * while; it is read often instead.
 */
#define FLOOD 1000
#define FLOODED_READ_MS 50
#define FLOODED_MS 10000
/* Whether there is a feed now, or a primary among the hosts. */
#define LOOK_AGAIN_MS 10000
#define TELL_SERVER_MS 5000
/* After an error. */
#define TRY_AGAIN_MS 1000
/* Deadline of a slice of a full reading. */
#define SLICE_TIMEOUT_MS 60000
/* As long as the tables have (small_tables.c) before a line is written. */
#define TIMEOUTS 10

/* More changes than that are read in slices. */
#define MOST_CHANGES 5000
#define MOST_CHANGES_TEXT "5001"

enum { THERE, STATE, LISTEN, CHANGES };

#define THERE_SQL "select to_regprocedure('turn.edge_state()') is not null"
#define STATE_SQL                                                              \
    "select in_recovery,epoch,identity,now_ms from turn.edge_state()"
/* The columns of STATE_SQL, then: */
enum { SNAPSHOT_COLUMN = 4, NAME_COLUMN, RECORD_COLUMN = 7 };
#define CHANGES_SQL(users)                                                     \
    "select s.*,pg_current_snapshot()::text,u.* from (" STATE_SQL ") s "       \
    "left join (" users " limit " MOST_CHANGES_TEXT ") u on true"

enum phase {
    AWAY,      /* no connection */
    ASKING,    /* what server is this? */
    NONE,      /* one without a feed */
    READING,   /* many users, in slices */
    FOLLOWING, /* what changed */
};

struct feed {
    struct feed_options o;
    struct server_clock clock;
    _Atomic int64_t live_until_ms;
    _Atomic int64_t confirmed_ms;

    /* All below belongs to the store thread. */
    struct link *link;
    enum phase phase;
    int in_recovery;
    int standby; /* the same, or a server that takes no writes */
    int asking;  /* so many answers are to come */
    int lost;    /* could not ask what should have been: begin anew */
    int hinted;  /* something changed, it was said */
    int listening;
    int64_t asked_ms;  /* the last question for changes */
    int64_t look_ms;   /* NONE, standby: when to look again what there is */
    int hosts_tried;   /* in vain, for a primary */
    int64_t server_ms; /* when to tell again which it is */
    int64_t live_since_ms;
    uint32_t epoch;
    char identity[256]; /* of the database that snapshot is of */
    char *snapshot;     /* all that it shows is in memory; NULL: read all */

    struct full_reading reading;
    int reads_all;
    int64_t reading_ms; /* when its snapshot was asked for */
    char *next_snapshot;

    int notifications; /* in this second */
    int64_t second_ms;
    int64_t deaf_until_ms;
    int was_deaf;

    int64_t started_ms;
    int read_before;
    struct outage outage; /* of the feed alone */
    char reason[256];
    int none_told;
};

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

/* The other links may be connecting elsewhere just now: said again and again */
static void tell_server(struct feed *f)
{
    int64_t now_ms = monotonic_ms();

    if (now_ms >= f->server_ms) {
        f->server_ms = now_ms + TELL_SERVER_MS;
        f->o.events->server(f->o.owner, f->link);
    }
}

/* A connection alone is not enough: something on it tells nothing. */
static void begin_silence(struct feed *f, const char *reason)
{
    snprintf(f->reason, sizeof(f->reason), "%s", reason);
    outage_failure(&f->outage, 0, monotonic_ms());
    f->outage.failures = 0; /* only time counts */
}

static void end_silence(struct feed *f)
{
    int64_t gone_ms = outage_up(&f->outage, monotonic_ms());

    if (gone_ms >= 0) {
        notice("PostgreSQL %s tells changes again after %.1f s", f->o.label,
               (double)gone_ms / 1e3);
    }
}

/* All that was committed before asked_ms is in memory. */
static void confirm(struct feed *f, int64_t asked_ms)
{
    int64_t timeout_ms = f->o.settings->query_timeout_ms;

    end_silence(f);
    tell_server(f);
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
    atomic_store(&f->live_until_ms, asked_ms + HEARTBEAT_MS + timeout_ms);
}

static void keep_snapshot(struct feed *f, const char *snapshot)
{
    char *copy = strdup(snapshot);

    free(f->snapshot);
    f->snapshot = copy;
}

static void hear_clock(struct feed *f, int64_t asked_ms, const PGresult *res,
                       int column)
{
    server_clock_hear(&f->clock, asked_ms, monotonic_ms(),
                      user_rows_number(res, 0, column, 0));
}

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

/* ---- questions ---- */

static void ask(struct feed *f, int what, const char *sql, const char *value)
{
    if (link_ask(f->link, what, NULL, sql, value != NULL, &value) == 0) {
        f->asking++;
    } else {
        f->lost = 1;
    }
}

static void look(struct feed *f)
{
    f->phase = ASKING;
    ask(f, THERE, THERE_SQL, NULL);
}

static enum full_reading_which changed(const struct feed *f)
{
    return f->standby ? FULL_READING_CHANGED_STANDBY : FULL_READING_CHANGED;
}

static void ask_for_changes(struct feed *f, int64_t now_ms)
{
    char sql[1024];

    snprintf(sql, sizeof(sql), CHANGES_SQL("%s"), full_reading_sql(changed(f)));
    f->asked_ms = now_ms;
    f->hinted = 0;
    ask(f, CHANGES, sql, f->snapshot);
}

static void listen(struct feed *f, int on)
{
    f->listening = on;
    ask(f, LISTEN, on ? "listen turn_users" : "unlisten turn_users", NULL);
    ask(f, LISTEN, on ? "listen turn_tables" : "unlisten turn_tables", NULL);
}

static void follow(struct feed *f)
{
    f->phase = FOLLOWING;
    f->hinted = 1;
    link_set_answer_timeout(f->link, f->o.settings->query_timeout_ms);
}

static void begin_reading(struct feed *f, enum full_reading_which which)
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

/* ---- what there is ---- */

static void none(struct feed *f, const char *why, int64_t pause_ms)
{
    end_silence(f);
    f->phase = NONE;
    f->look_ms = monotonic_ms() + pause_ms;
    if (!f->none_told) {
        notice("PostgreSQL %s has no change feed (%s): changes of users are "
               "noticed within fresh_ttl",
               f->o.label, why);
    }
    f->none_told = 1;
}

static void none_because(struct feed *f, const PGresult *res)
{
    const char *message =
        res ? PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY) : NULL;

    none(f, message ? message : "no answer in time", TRY_AGAIN_MS);
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
    end_silence(f);
    snprintf(f->identity, sizeof(f->identity), "%s", identity);
    f->hosts_tried = 0;
    f->server_ms = 0;
    tell_server(f);
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
        follow(f);
    } else {
        begin_reading(f, FULL_READING_ALL);
    }
}

static void begin_on_primary(struct feed *f, const char *identity)
{
    int known =
        f->snapshot && !f->standby && strcmp(f->identity, identity) == 0;

    f->standby = 0;
    know_server(f, identity);
    listen(f, 1);
    if (known) {
        follow(f);
    } else {
        begin_reading(f, FULL_READING_ALL);
    }
}

static int has_other_hosts(struct feed *f)
{
    return f->hosts_tried + 1 < link_hosts(f->link);
}

static void take_state(struct feed *f, int64_t asked_ms, const PGresult *res)
{
    const char *identity = PQgetvalue(res, 0, 2);
    int in_recovery = PQgetvalue(res, 0, 0)[0] == 't';
    uint32_t epoch = f->epoch;

    f->epoch = (uint32_t)user_rows_number(res, 0, 1, 0);
    f->in_recovery = in_recovery;
    hear_clock(f, asked_ms, res, 3);
    if (in_recovery && has_other_hosts(f)) {
        f->hosts_tried++;
        link_try_next_host(f->link, "looking for the primary");
    } else if (in_recovery || !f->epoch) {
        begin_on_standby(f, identity, epoch == f->epoch);
    } else {
        begin_on_primary(f, identity);
    }
}

/* ---- reading many ---- */

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
    f->reading_ms = asked_ms;
    hear_clock(f, asked_ms, res, 2);
    free(f->next_snapshot);
    f->next_snapshot = strdup(PQgetvalue(res, 0, 3));
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
    confirm(f, f->reading_ms);
    follow(f);
    if (was_all) {
        tell_read(f, monotonic_ms() - since_ms, complete);
        f->o.events->read_all(f->o.owner);
    }
}

static void break_reading(struct feed *f)
{
    if (f->reads_all) {
        user_cache_break_resync(f->o.users);
    }
    f->reads_all = 0;
}

static void take_reading(struct feed *f, int what, int64_t asked_ms,
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
        break_reading(f);
        none(f, "reading users failed", TRY_AGAIN_MS);
        break;
    case FULL_READING_GOES_ON:
        break;
    }
}

/* ---- following ---- */

static void take_changes(struct feed *f, int64_t asked_ms, const PGresult *res)
{
    int in_recovery = PQgetvalue(res, 0, 0)[0] == 't';
    int rows = PQgetisnull(res, 0, NAME_COLUMN) ? 0 : PQntuples(res);

    if (strcmp(f->identity, PQgetvalue(res, 0, 2)) != 0 ||
        user_rows_number(res, 0, 1, 0) != f->epoch ||
        in_recovery != f->in_recovery) {
        look(f);
        return;
    }
    if (rows > MOST_CHANGES) {
        begin_reading(f, changed(f));
        return;
    }
    hear_clock(f, asked_ms, res, 3);
    if (rows) {
        take_users(f, res, NAME_COLUMN, asked_ms);
    }
    keep_snapshot(f, PQgetvalue(res, 0, SNAPSHOT_COLUMN));
    confirm(f, asked_ms);
}

static void answer(void *owner, int what, void *which, int64_t asked_ms,
                   const PGresult *res)
{
    struct feed *f = owner;
    int good = res && (PQresultStatus(res) == PGRES_TUPLES_OK ||
                       PQresultStatus(res) == PGRES_COMMAND_OK);

    (void)which;
    if (what >= FULL_READING_WHAT) {
        take_reading(f, what, asked_ms, res);
        return;
    }
    f->asking--;
    if (what == CHANGES && !res) {
        begin_silence(f, "no answer in time");
        return; /* the next heartbeat asks again */
    }
    if (!good) {
        none_because(f, res);
    } else if (what == THERE && PQgetvalue(res, 0, 0)[0] != 't') {
        /* Where there was one, a backup may just be on its way in. */
        none(f, "it lacks cms-edge's sql/install.sql",
             f->read_before ? TRY_AGAIN_MS : LOOK_AGAIN_MS);
    } else if (what == THERE) {
        ask(f, STATE, STATE_SQL, NULL);
    } else if (what == STATE) {
        take_state(f, asked_ms, res);
    } else if (what == CHANGES && f->phase == FOLLOWING) {
        take_changes(f, asked_ms, res);
    }
}

/* ---- notifications ---- */

static void count_notification(struct feed *f)
{
    int64_t now_ms = monotonic_ms();

    figures_count(FIGURES_FEED_NOTIFICATIONS, 1);
    if (now_ms - f->second_ms >= 1000) {
        f->second_ms = now_ms;
        f->notifications = 0;
    }
    if (++f->notifications <= FLOOD || !f->listening) {
        return;
    }
    f->deaf_until_ms = now_ms + FLOODED_MS;
    if (!f->was_deaf) {
        notice("PostgreSQL %s: a flood of notifications; changes are read "
               "every %d ms instead",
               f->o.label, FLOODED_READ_MS);
    }
    f->was_deaf = 1;
    listen(f, 0);
}

static void notified(void *owner, const char *channel)
{
    struct feed *f = owner;

    if (strcmp(channel, "turn_tables") == 0) {
        f->o.events->tables(f->o.owner);
    } else {
        f->hinted = 1;
    }
    count_notification(f);
}

/* ---- the link ---- */

static void up(void *owner)
{
    struct feed *f = owner;

    if (f->phase == AWAY) {
        look(f);
    }
}

static void down(void *owner, const char *reason)
{
    struct feed *f = owner;

    if (f->phase == READING) {
        break_reading(f);
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
    .notified = notified,
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

static int64_t read_due_ms(const struct feed *f)
{
    int64_t beat_ms =
        f->standby ? f->o.settings->poll_interval_ms : HEARTBEAT_MS;

    if (f->phase != FOLLOWING || f->asking) {
        return INT64_MAX;
    }
    if (!f->listening && !f->standby) {
        beat_ms = FLOODED_READ_MS;
    }
    return f->asked_ms + (f->hinted ? COALESCE_MS : beat_ms);
}

/* When it should be seen whether there is something better. */
static int64_t look_due_ms(const struct feed *f)
{
    if (f->asking ||
        (f->phase != NONE &&
         !(f->phase == FOLLOWING && f->standby && link_hosts(f->link) > 1))) {
        return INT64_MAX;
    }
    return f->look_ms;
}

static int64_t listen_due_ms(const struct feed *f)
{
    return f->phase == FOLLOWING && !f->standby && !f->listening
               ? f->deaf_until_ms
               : INT64_MAX;
}

static void look_again(struct feed *f)
{
    if (f->phase == NONE) {
        look(f);
    } else {
        f->hosts_tried = 1;
        link_try_next_host(f->link, "looking for the primary");
    }
}

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
    next_ms = monotonic_earlier(next_ms, read_due_ms(f));
    next_ms = monotonic_earlier(next_ms, listen_due_ms(f));
    return monotonic_earlier(next_ms, look_due_ms(f));
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
        if (listen_due_ms(f) <= now_ms) {
            listen(f, 1);
        }
        if (look_due_ms(f) <= now_ms) {
            look_again(f);
        } else if (read_due_ms(f) <= now_ms) {
            ask_for_changes(f, now_ms);
        }
    }
    show_figures(f, now_ms);
}
