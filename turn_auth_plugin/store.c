/*
 * The store thread: one link for users, one for the small tables (so that a
 * long peer list never stands in the way of a login); see store.h.
 */

#define _GNU_SOURCE
#include "store.h"

#include "hmackey.h"
#include "link.h"
#include "monotonic.h"
#include "notice.h"
#include "outage.h"
#include "pending.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* How soon an outage is noticed when nobody logs in, beside query_timeout. */
#define HEARTBEAT_MS 500
#define SHORTEST_CONNECT_MS 2000
/* The tables may be long: they get more time than a login. */
#define TABLES_TIMEOUTS 10

#define USER_SQL "select hmackey from turnusers_lt where name=$1 and realm=$2"

/*
 * What stands in the way of the real questions - a lock, a stalled disk - must
 * stand in the way of these as well.
 */
#define USERS_PROBE_SQL "select 1 from turnusers_lt where name='' and realm=''"
#define TABLES_PROBE_SQL                                                       \
    "select 1 from turn_origin_to_realm,turn_realm_option,allowed_peer_ip,"    \
    "denied_peer_ip limit 0"

static const struct {
    const char *name;
    const char *sql;
} tables[LAST_KNOWN_TABLES] = {
    [LAST_KNOWN_SECRETS] = {"turn_secret",
                            "select value,realm from turn_secret"},
    [LAST_KNOWN_OAUTH_KEYS] =
        {"oauth_key", "select ikm_key,timestamp,lifetime,as_rs_alg,realm,kid "
                      "from oauth_key"},
    [LAST_KNOWN_ORIGINS] = {"turn_origin_to_realm",
                            "select origin,realm from turn_origin_to_realm"},
    [LAST_KNOWN_REALM_OPTIONS] =
        {"turn_realm_option", "select realm,opt,value from turn_realm_option"},
    [LAST_KNOWN_ALLOWED_PEERS] = {"allowed_peer_ip",
                                  "select ip_range,realm from allowed_peer_ip"},
    [LAST_KNOWN_DENIED_PEERS] = {"denied_peer_ip",
                                 "select ip_range,realm from denied_peer_ip"},
};

/* Secrets are not fetched into memory where coturn does not use them. */
#define ALWAYS_READ                                                            \
    (1u << LAST_KNOWN_ORIGINS | 1u << LAST_KNOWN_REALM_OPTIONS |               \
     1u << LAST_KNOWN_ALLOWED_PEERS | 1u << LAST_KNOWN_DENIED_PEERS)

struct store {
    const struct settings *settings;
    struct user_cache *users;
    struct pending *pending;
    struct last_known *tables;
    char label[320]; /* host/database, for the log */
    int64_t started_ms;
    pthread_t thread;
    int wake_fd;
    atomic_int stopping;
    atomic_int away; /* written by the store thread */
    /*
     * Somebody waited in vain, and the thread has not shown up since: it may
     * hang in a name server look-up, the one thing of libpq that blocks.
     */
    atomic_int hangs;
    atomic_uint wanted; /* set of tables coturn has asked for */

    /* All below belongs to the store thread. */
    struct link *users_link;
    struct outage users_outage;
    int users_refused; /* the database answers look-ups with an error */
    struct link *tables_link;
    struct outage tables_outage; /* of them alone: not while users' is on */
    char tables_reason[256];
    int64_t next_round_ms;
    unsigned round_set; /* the tables of this round */
    int round_left;     /* answers still to come in it */
    int64_t round_ms;
    struct rows *round[LAST_KNOWN_TABLES];
    int table_refused[LAST_KNOWN_TABLES];
};

/* ---- the small tables alone are away ---- */

static int64_t tables_timeout_ms(const struct store *st)
{
    return TABLES_TIMEOUTS * st->settings->query_timeout_ms;
}

/* From now on they have some time to come (back) before a line is written. */
static void wait_for_tables(struct store *st)
{
    if (link_state(st->tables_link) != LINK_UP && !st->tables_outage.away) {
        outage_begin(&st->tables_outage, tables_timeout_ms(st), monotonic_ms());
    }
}

/*
 * Users come first: where the server has room for one connection only, that one
 * is theirs.
 */
static int tables_turn(const struct store *st)
{
    return link_state(st->users_link) == LINK_UP ||
           link_state(st->tables_link) != LINK_DOWN;
}

static void check_tables(struct store *st, int64_t now_ms)
{
    int64_t read_ms;
    struct rows *peers;

    if (st->users_outage.away || !outage_tick(&st->tables_outage, now_ms)) {
        return;
    }
    peers = last_known_get(st->tables, LAST_KNOWN_DENIED_PEERS, &read_ms);
    notice("PostgreSQL %s does not tell peer rules and realms (%s); %s",
           st->label, st->tables_reason,
           peers ? "the last known stay" : "no peer is reachable");
    rows_release(peers);
}

static void end_tables_outage(struct store *st)
{
    int64_t gone_ms = outage_up(&st->tables_outage, monotonic_ms());

    if (gone_ms >= 0) {
        notice("PostgreSQL %s tells peer rules and realms again after %.1f s",
               st->label, (double)gone_ms / 1e3);
    }
}

static void tables_down(void *owner, const char *reason);

/* ---- users ---- */

static const char *meanwhile(const struct store *st)
{
    if (user_cache_count(st->users, USER_VALID) == 0) {
        return "no user is known yet: nobody can log in";
    }
    return st->settings->stale_ttl_ms
               ? "known users are answered from memory"
               : "stale_ttl is 0: nobody logs in when fresh_ttl is over";
}

static void begin_outage(struct store *st, const char *reason)
{
    atomic_store(&st->away, 1);
    notice("PostgreSQL %s is away (%s); %s", st->label, reason, meanwhile(st));
    pending_give_up(st->pending);
}

static void send_pending(struct store *st)
{
    struct pending_look_up *l;

    while (link_state(st->users_link) == LINK_UP &&
           (l = pending_take(st->pending))) {
        struct user_name u = pending_name(l);
        const char *values[] = {u.name, u.realm};

        link_ask(st->users_link, 0, l, USER_SQL, 2, values);
    }
}

static void users_up(void *owner)
{
    struct store *st = owner;
    int64_t gone_ms = outage_up(&st->users_outage, monotonic_ms());

    pending_go_on(st->pending);
    atomic_store(&st->away, 0);
    if (gone_ms >= 0) {
        notice("PostgreSQL %s is back after %.1f s", st->label,
               (double)gone_ms / 1e3);
        wait_for_tables(st);
    }
}

static void users_down(void *owner, const char *reason)
{
    struct store *st = owner;

    pending_send_again(st->pending);
    if (outage_failure(&st->users_outage, 0, monotonic_ms())) {
        begin_outage(st, reason);
    } else if (st->users_outage.away) {
        pending_give_up(st->pending);
    }
    if (!tables_turn(st)) {
        tables_down(st, reason);
    }
}

static void users_silent(void *owner)
{
    struct store *st = owner;

    if (outage_failure(&st->users_outage, 1, monotonic_ms())) {
        begin_outage(st, "no answer within query_timeout");
    }
}

static void note_user_error(struct store *st, const PGresult *res)
{
    const char *message =
        res ? PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY) : NULL;

    if (res && !st->users_refused) {
        notice("PostgreSQL %s does not tell users (%s); %s", st->label,
               message ? message : "unknown error", meanwhile(st));
    } else if (!res && st->users_refused) {
        notice("PostgreSQL %s tells users again", st->label);
    }
    st->users_refused = res != NULL;
}

static void read_user(const PGresult *res, struct user_record *r)
{
    r->state = USER_ABSENT;
    if (PQntuples(res) == 1 && !PQgetisnull(res, 0, 0) &&
        hmackey_parse(r->key, PQgetvalue(res, 0, 0),
                      (size_t)PQgetlength(res, 0, 0)) == 0) {
        r->state = USER_VALID;
    }
}

/*
 * A name that is no text in the database's encoding (character not in
 * repertoire, untranslatable character) is nobody's; anyone may send such
 * names, so they must not look like a fault. Any other error says nothing about
 * the name.
 */
static int is_bad_name(const PGresult *res)
{
    const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);

    return state &&
           (strcmp(state, "22021") == 0 || strcmp(state, "22P05") == 0);
}

static void users_answer(void *owner, int what, void *which, int64_t asked_ms,
                         const PGresult *res)
{
    struct store *st = owner;
    struct pending_look_up *l = which;
    struct user_record r = {.read_ms = asked_ms};
    struct user_name u = pending_name(l);

    (void)what;
    if (res && PQresultStatus(res) == PGRES_TUPLES_OK) {
        note_user_error(st, NULL);
        read_user(res, &r);
    } else if (res && is_bad_name(res)) {
        r.state = USER_ABSENT;
    } else if (res) {
        note_user_error(st, res);
    }
    if (r.state != USER_UNKNOWN) {
        user_cache_store(st->users, &u, monotonic_ms(), &r);
    }
    pending_finish(st->pending, l, &r);
    explicit_bzero(&r, sizeof(r));
}

/* ---- small tables ---- */

static void begin_round(struct store *st)
{
    st->round_ms = monotonic_ms();
    st->next_round_ms = st->round_ms + st->settings->poll_interval_ms;
    st->round_set = atomic_load(&st->wanted);
    st->round_left = __builtin_popcount(st->round_set);
    for (int t = 0; t < LAST_KNOWN_TABLES; t++) {
        if ((st->round_set & 1u << t) &&
            link_ask(st->tables_link, t, NULL, tables[t].sql, 0, NULL) != 0) {
            return;
        }
    }
}

static void end_round(struct store *st)
{
    st->round_left = 0;
    last_known_round(st->tables, st->round_set, st->round, st->round_ms);
}

static void tables_up(void *owner)
{
    struct store *st = owner;

    st->next_round_ms = 0;
    end_tables_outage(st);
}

static void tables_lost(struct store *st, const char *reason)
{
    snprintf(st->tables_reason, sizeof(st->tables_reason), "%s", reason);
    if (st->tables_outage.up) {
        wait_for_tables(st);
    }
}

static void tables_down(void *owner, const char *reason)
{
    struct store *st = owner;

    tables_lost(st, reason);
    st->round_set = atomic_load(&st->wanted);
    end_round(st);
}

static void tables_silent(void *owner)
{
    tables_lost(owner, "no answer in time");
}

static void note_table_error(struct store *st, int t, const PGresult *res)
{
    const char *message;

    if (res && !st->table_refused[t]) {
        message = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
        notice("PostgreSQL %s: cannot read %s (%s); its last known rows stay",
               st->label, tables[t].name, message ? message : "unknown error");
    } else if (!res && st->table_refused[t]) {
        notice("PostgreSQL %s: %s can be read again", st->label,
               tables[t].name);
    }
    st->table_refused[t] = res != NULL;
}

static struct rows_cell result_cell(const void *source, size_t row,
                                    unsigned field)
{
    const PGresult *res = source;

    if (PQgetisnull(res, (int)row, (int)field)) {
        return (struct rows_cell){NULL, 0};
    }
    return (struct rows_cell){PQgetvalue(res, (int)row, (int)field),
                              (size_t)PQgetlength(res, (int)row, (int)field)};
}

static void tables_answer(void *owner, int what, void *which, int64_t asked_ms,
                          const PGresult *res)
{
    struct store *st = owner;

    (void)which;
    (void)asked_ms;
    if (res && PQresultStatus(res) == PGRES_TUPLES_OK) {
        note_table_error(st, what, NULL);
        st->round[what] = rows_copy((size_t)PQntuples(res),
                                    (unsigned)PQnfields(res), result_cell, res);
    } else if (res) {
        note_table_error(st, what, res);
    }
    if (--st->round_left == 0) {
        end_round(st);
    }
}

/* ---- the thread ---- */

static const struct link_events users_events = {
    users_up,
    users_down,
    users_silent,
    users_answer,
};
static const struct link_events tables_events = {
    tables_up,
    tables_down,
    tables_silent,
    tables_answer,
};

/* At once when coturn has asked for a table that was not in the last round. */
static int64_t round_due_ms(struct store *st)
{
    if (link_state(st->tables_link) != LINK_UP || st->round_left > 0) {
        return INT64_MAX;
    }
    return atomic_load(&st->wanted) & ~st->round_set ? 0 : st->next_round_ms;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void wait_for_something(struct store *st)
{
    struct pollfd p[] = {{.fd = st->wake_fd, .events = POLLIN},
                         link_poll(st->users_link),
                         link_poll(st->tables_link)};
    int64_t now_ms = monotonic_ms(), next_ms;
    uint64_t wakes;

    next_ms =
        least(link_next_ms(st->users_link), outage_next_ms(&st->users_outage));
    if (tables_turn(st)) {
        next_ms = least(next_ms, link_next_ms(st->tables_link));
    }
    if (!st->users_outage.away) {
        next_ms = least(next_ms, outage_next_ms(&st->tables_outage));
    }
    next_ms = least(next_ms, round_due_ms(st));
    next_ms = least(next_ms, now_ms + 1000);
    poll(p, 3, next_ms > now_ms ? (int)(next_ms - now_ms) : 0);
    if ((p[0].revents & POLLIN) &&
        read(st->wake_fd, &wakes, sizeof(wakes)) < 0) {
        return;
    }
}

static void *run(void *arg)
{
    struct store *st = arg;

    while (!atomic_load(&st->stopping)) {
        int64_t now_ms = monotonic_ms();

        atomic_store(&st->hangs, 0);
        link_step(st->users_link, now_ms);
        if (tables_turn(st)) {
            link_step(st->tables_link, now_ms);
        }
        if (outage_tick(&st->users_outage, now_ms)) {
            begin_outage(st, link_state(st->users_link) == LINK_PROVING
                                 ? "no answer within query_timeout"
                                 : "no connection yet");
        }
        check_tables(st, now_ms);
        send_pending(st);
        if (round_due_ms(st) <= now_ms) {
            begin_round(st);
        }
        wait_for_something(st);
    }
    return NULL;
}

/* A thread that takes none of coturn's signals. */
static int start_thread(struct store *st)
{
    sigset_t all, before;
    int failed;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&st->thread, NULL, run, st);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!failed) {
        pthread_setname_np(st->thread, "turn-auth-store");
    }
    return failed ? -1 : 0;
}

/* ---- starting and stopping ---- */

static const char *option(const PQconninfoOption *options, const char *keyword)
{
    for (; options && options->keyword; options++) {
        if (strcmp(options->keyword, keyword) == 0 && options->val &&
            options->val[0]) {
            return options->val;
        }
    }
    return NULL;
}

/* host/database: never the user or the password. */
static void describe(char *label, size_t size, const char *conninfo)
{
    PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
    const char *host = option(options, "host");
    const char *database = option(options, "dbname");

    if (!host) {
        host = option(options, "hostaddr");
    }
    snprintf(label, size, "%s/%s", host ? host : "localhost",
             database ? database : "");
    PQconninfoFree(options);
}

static struct link *make_link(struct store *st, const char *conninfo,
                              const struct link_events *events, int tables_link)
{
    int64_t timeout_ms = st->settings->query_timeout_ms;
    struct link_options o = {
        .conninfo = conninfo,
        .events = events,
        .owner = st,
        .connect_timeout_ms = 4 * timeout_ms < SHORTEST_CONNECT_MS
                                  ? SHORTEST_CONNECT_MS
                                  : 4 * timeout_ms,
        .answer_timeout_ms = tables_link ? tables_timeout_ms(st) : timeout_ms,
        .heartbeat_ms = tables_link ? INT32_MAX : HEARTBEAT_MS,
        .probe_sql = tables_link ? TABLES_PROBE_SQL : USERS_PROBE_SQL,
    };

    return link_create(&o);
}

/* One process has one store; coturn's exit must find its thread ended. */
static struct store *the_store;

static void stop_at_exit(void)
{
    struct store *st = the_store;
    struct timespec end;
    uint64_t one = 1;

    atomic_store(&st->stopping, 1);
    if (write(st->wake_fd, &one, sizeof(one)) < 0) {
        return;
    }
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += 1;
    pthread_timedjoin_np(st->thread, NULL, &end);
}

static int make_parts(struct store *st, const char *conninfo)
{
    st->users = user_cache_create((size_t)st->settings->cache_size);
    st->pending = pending_create();
    st->tables = last_known_create();
    st->users_link = make_link(st, conninfo, &users_events, 0);
    st->tables_link = make_link(st, conninfo, &tables_events, 1);
    st->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return st->users && st->pending && st->tables && st->users_link &&
                   st->tables_link && st->wake_fd >= 0
               ? 0
               : -1;
}

struct store *store_start(const char *conninfo, const struct settings *s)
{
    struct store *st = calloc(1, sizeof(*st));

    if (!st) {
        return NULL;
    }
    st->settings = s;
    atomic_init(&st->wanted, ALWAYS_READ);
    describe(st->label, sizeof(st->label), conninfo);
    st->started_ms = monotonic_ms();
    /* The first connection may take longer than one that is there. */
    outage_begin(&st->users_outage, s->query_timeout_ms,
                 st->started_ms + SHORTEST_CONNECT_MS / 2);
    outage_begin(&st->tables_outage, tables_timeout_ms(st), st->started_ms);
    strcpy(st->tables_reason, "no answer yet");
    /* Once in the life of a process: what was made stays when it fails. */
    if (make_parts(st, conninfo) != 0 || start_thread(st) != 0) {
        return NULL;
    }
    the_store = st;
    atexit(stop_at_exit);
    return st;
}

/* ---- auth workers ---- */

static void wake(struct store *st)
{
    uint64_t one = 1;

    if (write(st->wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN) {
        notice("cannot wake the store thread: %s", strerror(errno));
    }
}

static int nobody_to_ask(struct store *st)
{
    return atomic_load(&st->away) || atomic_load(&st->hangs);
}

int store_ask(struct store *st, const struct user_name *u,
              struct user_record *r)
{
    int64_t until_ms = monotonic_ms() + st->settings->query_timeout_ms;
    struct pending_look_up *l;
    int is_new;

    if (nobody_to_ask(st)) {
        return 0;
    }
    l = pending_join(st->pending, u, &is_new);
    if (!l) {
        return 0;
    }
    if (is_new) {
        wake(st);
    }
    /* It may have gone away after those who waited were told so. */
    if (atomic_load(&st->away)) {
        until_ms = 0;
    }
    if (pending_wait(st->pending, l, until_ms, r)) {
        return 1;
    }
    if (monotonic_ms() >= until_ms) {
        atomic_store(&st->hangs, 1);
    }
    return 0;
}

void store_ask_later(struct store *st, const struct user_name *u)
{
    if (!nobody_to_ask(st) && pending_ask_later(st->pending, u)) {
        wake(st);
    }
}

struct user_cache *store_users(struct store *st)
{
    return st->users;
}

static void want_table(struct store *st, enum last_known_table t)
{
    if (!(atomic_load(&st->wanted) & 1u << t)) {
        atomic_fetch_or(&st->wanted, 1u << t);
        wake(st);
    }
}

struct rows *store_table(struct store *st, enum last_known_table t,
                         int64_t *read_ms)
{
    int64_t start_ms = st->started_ms + SHORTEST_CONNECT_MS;
    int64_t until_ms = monotonic_ms() + st->settings->query_timeout_ms;

    want_table(st, t);
    last_known_wait(st->tables, t, until_ms > start_ms ? until_ms : start_ms);
    return last_known_get(st->tables, t, read_ms);
}
