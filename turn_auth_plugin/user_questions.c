/*
 * One link, the look-ups that are pending, and what an outage means; see
 * user_questions.h.
 */

#include "user_questions.h"

#include "monotonic.h"
#include "name_hash.h"
#include "notice.h"
#include "outage.h"
#include "pending.h"
#include "redis_cache.h"
#include "redis_use.h"
#include "server_clock.h"
#include "user_rows.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* How soon an outage is noticed when nobody logs in, beside query_timeout. */
#define HEARTBEAT_MS 500
/* The first connection may take so much longer than one that is there. */
#define FIRST_CONNECT_MS 1000

/* In a database with cms-edge's schema, and in one with coturn's tables. */
static const char record_sql[] =
    "select " USER_RECORD_COLUMNS " from turn.user_record "
    "where name=$1 and realm=$2";
static const char plain_sql[] =
    "select null,hmackey,null,null from turnusers_lt "
    "where name=$1 and realm=$2";
#define HAS_RECORDS_SQL                                                        \
    "select coalesce(has_table_privilege(to_regclass('turn.user_record'),"     \
    "'select'),false)"

/*
 * What stands in the way of the real questions - a lock, a stalled disk - must
 * stand in the way of this as well.
 */
#define PROBE_SQL "select 1 from turnusers_lt where name='' and realm=''"

enum { USER, HAS_RECORDS };

/* Users share these: one that changed counts for all in its place. */
#define CHANGES 4096

struct user_questions {
    struct user_questions_options o;
    struct pending *pending;
    atomic_int away;         /* written by the store thread */
    atomic_int redis_usable; /* also by it */
    /*
     * Somebody waited in vain, and the thread has not shown up since: it may
     * hang in a name server look-up, the one thing of libpq that blocks.
     */
    atomic_int hangs;

    /* All below belongs to the store thread. */
    struct link *link;
    struct outage outage;
    const char *sql; /* NULL: this server was not asked yet which it knows */
    int refused;     /* the database answers look-ups with an error */
    struct redis_cache *redis; /* NULL: none is set */
    struct name_hash_key hash_key;
    int64_t changed_ms[CHANGES]; /* when the feed told of one */
};

/* ---- outages ---- */

static const char *meanwhile(const struct user_questions *q)
{
    if (q->redis && redis_cache_usable(q->redis)) {
        return "known users are answered from memory and Redis";
    }
    if (user_cache_count(q->o.users, USER_VALID) == 0) {
        return "no user is known yet: nobody can log in";
    }
    return q->o.settings->stale_ttl_ms
               ? "known users are answered from memory"
               : "stale_ttl is 0: nobody logs in when fresh_ttl is over";
}

/* The database cannot be asked. */
static void give_up(struct user_questions *q)
{
    if (q->redis) {
        redis_cache_alone(q->redis, 1);
    }
    pending_give_up(q->pending, atomic_load(&q->redis_usable));
}

static void begin_outage(struct user_questions *q, const char *reason)
{
    atomic_store(&q->away, 1);
    notice("PostgreSQL %s is away (%s); %s", q->o.label, reason, meanwhile(q));
    figures_count(FIGURES_POSTGRESQL_OUTAGES, 1);
    give_up(q);
}

static void up(void *owner)
{
    struct user_questions *q = owner;
    int64_t gone_ms = outage_up(&q->outage, monotonic_ms());

    if (!q->sql) {
        link_ask(q->link, HAS_RECORDS, NULL, HAS_RECORDS_SQL, 0, NULL);
    }
    if (q->redis) {
        redis_cache_alone(q->redis, 0);
    }
    pending_go_on(q->pending);
    atomic_store(&q->away, 0);
    if (gone_ms >= 0) {
        notice("PostgreSQL %s is back after %.1f s", q->o.label,
               (double)gone_ms / 1e3);
        q->o.events->back(q->o.owner);
    }
}

static void down(void *owner, const char *reason)
{
    struct user_questions *q = owner;

    q->sql = NULL;
    pending_send_again(q->pending);
    if (outage_failure(&q->outage, 0, monotonic_ms())) {
        begin_outage(q, reason);
    } else if (q->outage.away) {
        give_up(q);
    }
    q->o.events->down(q->o.owner, reason);
}

static void silent(void *owner)
{
    struct user_questions *q = owner;

    if (outage_failure(&q->outage, 1, monotonic_ms())) {
        begin_outage(q, "no answer within query_timeout");
    }
}

/* ---- questions and answers ---- */

static void note_error(struct user_questions *q, const PGresult *res)
{
    const char *message =
        res ? PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY) : NULL;

    if (res && !q->refused) {
        notice("PostgreSQL %s does not tell users (%s); %s", q->o.label,
               message ? message : "unknown error", meanwhile(q));
    } else if (!res && q->refused) {
        notice("PostgreSQL %s tells users again", q->o.label);
    }
    q->refused = res != NULL;
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

/* Remembers an answer. 0: it is worth nothing, ask again. */
static int remember(struct user_questions *q, struct pending_look_up *l,
                    struct user_record *r)
{
    struct user_name u = pending_name(l);
    struct user_record known;

    if (r->state == USER_VALID && !r->version.epoch &&
        feed_live(q->o.feed, monotonic_ms())) {
        return 1; /* not of the tables that the feed follows: no version, end */
    }
    switch (
        user_cache_store(q->o.users, &u, pending_guard(l), monotonic_ms(), r)) {
    case USER_GUARDED:
        return 0;
    case USER_STORED_REVOKED:
        q->o.events->revoked(q->o.owner, &u);
        return 1;
    case USER_NOT_STORED:
        user_cache_peek(q->o.users, &u, &known);
        if (user_version_compare(known.version, r->version) > 0) {
            *r = known;
        }
        explicit_bzero(&known, sizeof(known));
        return 1;
    case USER_STORED:
        return 1;
    }
    return 1;
}

static void read_answer(struct user_questions *q, int64_t asked_ms,
                        const PGresult *res, struct user_record *r)
{
    if (res && PQresultStatus(res) == PGRES_TUPLES_OK) {
        note_error(q, NULL);
        r->state = USER_ABSENT;
        if (PQntuples(res) == 1) {
            user_rows_record(res, 0, 0, asked_ms, feed_epoch(q->o.feed), r);
        }
    } else if (res && is_bad_name(res)) {
        r->state = USER_ABSENT;
    } else if (res) {
        note_error(q, res);
    }
}

static void put_into_redis(struct user_questions *q, const struct user_name *u,
                           const struct user_record *r)
{
    if (q->redis) {
        redis_cache_put(q->redis, u, r);
    }
}

static void take_user(struct user_questions *q, struct pending_look_up *l,
                      int64_t asked_ms, const PGresult *res)
{
    struct user_record r = {.read_ms = asked_ms};
    struct user_name u;

    read_answer(q, asked_ms, res, &r);
    if (r.state == USER_UNKNOWN) {
        pending_finish(q->pending, l, &r, PENDING_DATABASE);
    } else if (remember(q, l, &r)) {
        u = pending_name(l);
        put_into_redis(q, &u, &r);
        pending_finish(q->pending, l, &r, PENDING_DATABASE);
    } else {
        pending_put_back(q->pending, l, PENDING_FOR_DATABASE);
    }
    explicit_bzero(&r, sizeof(r));
}

static void answer(void *owner, int what, void *which, int64_t asked_ms,
                   const PGresult *res)
{
    struct user_questions *q = owner;
    int good = res && PQresultStatus(res) == PGRES_TUPLES_OK;

    if (what == USER) {
        take_user(q, which, asked_ms, res);
    } else if (!res) {
        link_ask(q->link, HAS_RECORDS, NULL, HAS_RECORDS_SQL, 0, NULL);
    } else {
        q->sql =
            good && PQgetvalue(res, 0, 0)[0] == 't' ? record_sql : plain_sql;
    }
}

static const struct link_events events = {
    .up = up,
    .down = down,
    .silent = silent,
    .answer = answer,
};

/* ---- Redis ---- */

static int64_t *change_of(struct user_questions *q, const struct user_name *u)
{
    return &q->changed_ms[name_hash(&q->hash_key, 0, u->name, u->name_len) %
                          CHANGES];
}

static enum redis_use use_of(struct user_questions *q,
                             const struct user_name *u,
                             const struct user_record *r)
{
    int64_t now_ms = monotonic_ms();
    struct redis_use_view v = {
        .now_ms = now_ms,
        .fresh_ttl_ms = q->o.settings->fresh_ttl_ms,
        .no_feed = feed_is_none(q->o.feed),
        .live_since_ms = feed_live_since_ms(q->o.feed, now_ms),
        .changed_ms = *change_of(q, u),
    };
    struct user_record known;
    enum redis_use use;

    user_cache_peek(q->o.users, u, &known);
    if (r->state != USER_UNKNOWN &&
        user_version_compare(known.version, r->version) > 0) {
        figures_count(FIGURES_REDIS_REPLAYED, 1);
    }
    use = redis_use_of(&v, r, &known);
    explicit_bzero(&known, sizeof(known));
    return use == REDIS_USE_INSTEAD && q->outage.away ? REDIS_USE_AT_ONCE : use;
}

static void redis_answer(void *owner, void *which, const struct user_record *r)
{
    struct user_questions *q = owner;
    struct pending_look_up *l = which;
    struct user_name u = pending_name(l);
    struct user_record answer = *r;
    enum redis_use use = use_of(q, &u, r);

    if (use == REDIS_USE_AT_ONCE && remember(q, l, &answer)) {
        pending_finish(q->pending, l, &answer, PENDING_REDIS);
    } else if (use != REDIS_USE_INSTEAD && q->outage.away) {
        answer.state = USER_UNKNOWN;
        pending_finish(q->pending, l, &answer, PENDING_REDIS);
    } else {
        if (use == REDIS_USE_INSTEAD) {
            pending_set_instead(q->pending, l, r);
        }
        pending_put_back(q->pending, l, PENDING_FOR_DATABASE);
    }
    explicit_bzero(&answer, sizeof(answer));
}

/*
 * Another edge knows of a change that this one does not. That counts only where
 * it cannot be asked for: otherwise the feed tells it, or the next question.
 */
static void redis_newer(void *owner, const struct user_name *u,
                        const struct user_record *r)
{
    struct user_questions *q = owner;

    if (q->outage.away &&
        user_cache_store(q->o.users, u, user_cache_guard(q->o.users, u),
                         monotonic_ms(), r) == USER_STORED_REVOKED) {
        q->o.events->revoked(q->o.owner, u);
    }
}

static const struct redis_events redis_events = {
    .answer = redis_answer,
    .newer = redis_newer,
};

static void ask_redis(struct user_questions *q)
{
    struct pending_look_up *l;

    while (q->redis && redis_cache_usable(q->redis) &&
           (l = pending_take(q->pending, PENDING_NEW))) {
        struct user_name u = pending_name(l);

        pending_set_guard(l, user_cache_guard(q->o.users, &u));
        if (redis_cache_get(q->redis, &u, l) != 0) {
            pending_put_back(q->pending, l, PENDING_FOR_DATABASE);
        }
    }
}

static void step_redis(struct user_questions *q, int64_t now_ms)
{
    int usable;

    if (!q->redis) {
        return;
    }
    redis_cache_confirmed(q->redis, feed_confirmed_ms(q->o.feed));
    redis_cache_clock(q->redis,
                      feed_unix_ms(q->o.feed, now_ms) - own_unix_ms());
    redis_cache_step(q->redis, now_ms);
    usable = redis_cache_usable(q->redis);
    if (!usable && q->outage.away && atomic_load(&q->redis_usable)) {
        atomic_store(&q->redis_usable, 0);
        pending_give_up(q->pending, 0);
    }
    atomic_store(&q->redis_usable, usable);
}

/* ---- the database ---- */

static struct pending_look_up *next_for_database(struct user_questions *q)
{
    struct pending_look_up *l = pending_take(q->pending, PENDING_FOR_DATABASE);

    if (!l && !(q->redis && redis_cache_usable(q->redis)) &&
        (l = pending_take(q->pending, PENDING_NEW))) {
        pending_put_back(q->pending, l, PENDING_FOR_DATABASE);
        l = pending_take(q->pending, PENDING_FOR_DATABASE);
    }
    return l;
}

static void ask_database(struct user_questions *q)
{
    struct pending_look_up *l;

    while (q->sql && link_state(q->link) == LINK_UP &&
           (l = next_for_database(q))) {
        struct user_name u = pending_name(l);
        const char *values[] = {u.name, u.realm};

        pending_set_guard(l, user_cache_guard(q->o.users, &u));
        figures_count(FIGURES_POSTGRESQL_QUESTIONS, 1);
        link_ask(q->link, USER, l, q->sql, 2, values);
    }
}

/* ---- for the store thread ---- */

static int begin_redis(struct user_questions *q)
{
    char error[512];

    if (!q->o.settings->redis[0]) {
        return 0;
    }
    name_hash_key(&q->hash_key);
    q->redis = redis_cache_create(q->o.settings, q->o.users, &redis_events, q,
                                  error, sizeof(error));
    if (!q->redis) {
        notice("%s", error);
    }
    return q->redis ? 0 : -1;
}

struct user_questions *
user_questions_create(const struct user_questions_options *o)
{
    struct user_questions *q = calloc(1, sizeof(*q));
    struct link_options lo = {
        .conninfo = o->conninfo,
        .events = &events,
        .owner = q,
        .connect_timeout_ms =
            link_connect_timeout_ms(o->settings->query_timeout_ms),
        .answer_timeout_ms = o->settings->query_timeout_ms,
        .heartbeat_ms = HEARTBEAT_MS,
        .probe_sql = PROBE_SQL,
    };

    if (!q) {
        return NULL;
    }
    q->o = *o;
    q->pending = pending_create();
    q->link = link_create(&lo);
    outage_begin(&q->outage, o->settings->query_timeout_ms,
                 monotonic_ms() + FIRST_CONNECT_MS);
    return q->pending && q->link && begin_redis(q) == 0 ? q : NULL;
}

int user_questions_up(const struct user_questions *q)
{
    return link_state(q->link) == LINK_UP;
}

int user_questions_away(const struct user_questions *q)
{
    return q->outage.away;
}

struct link *user_questions_link(struct user_questions *q)
{
    return q->link;
}

struct pollfd user_questions_poll(const struct user_questions *q)
{
    return link_poll(q->link);
}

struct pollfd user_questions_poll_redis(const struct user_questions *q)
{
    return q->redis ? redis_cache_poll(q->redis)
                    : (struct pollfd){.fd = -1, .events = 0};
}

int64_t user_questions_next_ms(const struct user_questions *q)
{
    int64_t next_ms =
        monotonic_earlier(link_next_ms(q->link), outage_next_ms(&q->outage));

    return q->redis ? monotonic_earlier(next_ms, redis_cache_next_ms(q->redis))
                    : next_ms;
}

void user_questions_step(struct user_questions *q, int64_t now_ms)
{
    atomic_store(&q->hangs, 0);
    link_step(q->link, now_ms);
    if (outage_tick(&q->outage, now_ms)) {
        begin_outage(q, link_state(q->link) == LINK_PROVING
                            ? "no answer within query_timeout"
                            : "no connection yet");
    }
    step_redis(q, now_ms);
    ask_redis(q);
    ask_database(q);
}

void user_questions_changed(struct user_questions *q, const struct user_name *u,
                            const struct user_record *r)
{
    if (q->redis) {
        *change_of(q, u) = monotonic_ms();
        put_into_redis(q, u, r);
    }
}

void user_questions_read_all(struct user_questions *q)
{
    if (q->sql == plain_sql) {
        /* It was asked while a backup was on its way in. */
        link_ask(q->link, HAS_RECORDS, NULL, HAS_RECORDS_SQL, 0, NULL);
    }
    if (q->redis) {
        redis_cache_sweep(q->redis);
    }
}

/* ---- for auth workers ---- */

static int nobody_to_ask(struct user_questions *q)
{
    return atomic_load(&q->hangs) ||
           (atomic_load(&q->away) && !atomic_load(&q->redis_usable));
}

int user_questions_ask(struct user_questions *q, const struct user_name *u,
                       struct user_record *r, enum figures_tier *tier)
{
    int64_t until_ms = monotonic_ms() + q->o.settings->query_timeout_ms;
    enum pending_source source = PENDING_DATABASE;
    struct pending_look_up *l;
    int is_new, answered;

    if (nobody_to_ask(q)) {
        return 0;
    }
    l = pending_join(q->pending, u, &is_new);
    if (!l) {
        return 0;
    }
    if (is_new) {
        q->o.events->wake(q->o.owner);
    }
    /* It may have gone away after those who waited were told so. */
    if (nobody_to_ask(q)) {
        until_ms = 0;
    }
    answered = pending_wait(q->pending, l, until_ms, r, &source);
    *tier = source == PENDING_REDIS ? FIGURES_REDIS : FIGURES_POSTGRESQL;
    if (!answered && monotonic_ms() >= until_ms) {
        atomic_store(&q->hangs, 1);
    }
    return answered;
}

void user_questions_ask_later(struct user_questions *q,
                              const struct user_name *u)
{
    if (!nobody_to_ask(q) && pending_ask_later(q->pending, u)) {
        q->o.events->wake(q->o.owner);
    }
}
