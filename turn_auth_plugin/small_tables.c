/*
 * Rounds of reading; see small_tables.h.
 */

#include "small_tables.h"

#include "monotonic.h"
#include "notice.h"
#include "outage.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The tables may be long: they get more time than a login. */
#define TIMEOUTS 10
/* However many hints come. */
#define SHORTEST_ROUND_MS 100

/*
 * What stands in the way of the real questions - a lock, a stalled disk - must
 * stand in the way of this as well.
 */
#define PROBE_SQL                                                              \
    "select 1 from turn_origin_to_realm,turn_realm_option,allowed_peer_ip,"    \
    "denied_peer_ip limit 0"

static const struct {
    const char *name;
    const char *sql;
} tables[LAST_KNOWN_TABLES] = {
    [LAST_KNOWN_SECRETS] = {"turn_secret",
                            "select value,realm,to_jsonb(s)->>'valid_until_ms' "
                            "from turn_secret s"},
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

/* OAuth keys are not fetched into memory where coturn does not use them. */
#define ALWAYS_READ                                                            \
    (1u << LAST_KNOWN_SECRETS | 1u << LAST_KNOWN_ORIGINS |                     \
     1u << LAST_KNOWN_REALM_OPTIONS | 1u << LAST_KNOWN_ALLOWED_PEERS |         \
     1u << LAST_KNOWN_DENIED_PEERS)

struct small_tables {
    const char *label;
    const struct settings *settings;
    struct last_known *known;
    atomic_uint wanted; /* set of tables coturn has asked for */

    /* All below belongs to the store thread. */
    struct link *link;
    struct outage outage; /* of them alone: not while users' is on */
    char reason[256];
    int64_t next_round_ms;
    unsigned round_set; /* the tables of this round */
    int round_left;     /* answers still to come in it */
    int64_t round_ms;
    struct rows *round[LAST_KNOWN_TABLES];
    int refused[LAST_KNOWN_TABLES];
};

/* ---- the tables alone are away ---- */

static int64_t timeout_ms(const struct settings *s)
{
    return TIMEOUTS * s->query_timeout_ms;
}

/* From now on they have some time to come (back) before a line is written. */
static void wait_for_them(struct small_tables *t)
{
    if (link_state(t->link) != LINK_UP && !t->outage.away) {
        outage_begin(&t->outage, timeout_ms(t->settings), monotonic_ms());
    }
}

static void check(struct small_tables *t, struct small_tables_users users,
                  int64_t now_ms)
{
    int64_t read_ms;
    struct rows *peers;

    if (users.away || !outage_tick(&t->outage, now_ms)) {
        return;
    }
    peers = last_known_get(t->known, LAST_KNOWN_DENIED_PEERS, &read_ms);
    notice("PostgreSQL %s does not tell peer rules and realms (%s); %s",
           t->label, t->reason,
           peers ? "the last known stay" : "no peer is reachable");
    rows_release(peers);
}

static void end_outage(struct small_tables *t)
{
    int64_t gone_ms = outage_up(&t->outage, monotonic_ms());

    if (gone_ms >= 0) {
        notice("PostgreSQL %s tells peer rules and realms again after %.1f s",
               t->label, (double)gone_ms / 1e3);
    }
}

/* ---- rounds ---- */

static void begin_round(struct small_tables *t)
{
    t->round_ms = monotonic_ms();
    t->next_round_ms = t->round_ms + t->settings->poll_interval_ms;
    t->round_set = atomic_load(&t->wanted);
    t->round_left = __builtin_popcount(t->round_set);
    for (int i = 0; i < LAST_KNOWN_TABLES; i++) {
        if ((t->round_set & 1u << i) &&
            link_ask(t->link, i, NULL, tables[i].sql, 0, NULL) != 0) {
            return;
        }
    }
}

static void end_round(struct small_tables *t)
{
    t->round_left = 0;
    last_known_round(t->known, t->round_set, t->round, t->round_ms);
}

/* At once when coturn has asked for a table that was not in the last round. */
static int64_t round_due_ms(struct small_tables *t)
{
    if (link_state(t->link) != LINK_UP || t->round_left > 0) {
        return INT64_MAX;
    }
    return atomic_load(&t->wanted) & ~t->round_set ? 0 : t->next_round_ms;
}

void small_tables_hint(struct small_tables *t)
{
    int64_t soon_ms = t->round_ms + SHORTEST_ROUND_MS;

    if (t->next_round_ms > soon_ms) {
        t->next_round_ms = soon_ms;
    }
}

/* ---- the link ---- */

static void up(void *owner)
{
    struct small_tables *t = owner;

    t->next_round_ms = 0;
    end_outage(t);
}

static void lost(struct small_tables *t, const char *reason)
{
    snprintf(t->reason, sizeof(t->reason), "%s", reason);
    if (t->outage.up) {
        wait_for_them(t);
    }
}

static void down(void *owner, const char *reason)
{
    struct small_tables *t = owner;

    lost(t, reason);
    t->round_set = atomic_load(&t->wanted);
    end_round(t);
}

static void silent(void *owner)
{
    lost(owner, "no answer in time");
}

static void note_error(struct small_tables *t, int which, const PGresult *res)
{
    const char *message;

    if (res && !t->refused[which]) {
        message = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
        notice("PostgreSQL %s: cannot read %s (%s); its last known rows stay",
               t->label, tables[which].name,
               message ? message : "unknown error");
    } else if (!res && t->refused[which]) {
        notice("PostgreSQL %s: %s can be read again", t->label,
               tables[which].name);
    }
    t->refused[which] = res != NULL;
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

static void answer(void *owner, int what, void *which, int64_t asked_ms,
                   const PGresult *res)
{
    struct small_tables *t = owner;

    (void)which;
    (void)asked_ms;
    if (res && PQresultStatus(res) == PGRES_TUPLES_OK) {
        note_error(t, what, NULL);
        t->round[what] = rows_copy((size_t)PQntuples(res),
                                   (unsigned)PQnfields(res), result_cell, res);
    } else if (res) {
        note_error(t, what, res);
    }
    if (--t->round_left == 0) {
        end_round(t);
    }
}

static const struct link_events events = {
    .up = up,
    .down = down,
    .silent = silent,
    .answer = answer,
};

/* ---- for the store thread ---- */

static int is_its_turn(const struct small_tables *t,
                       struct small_tables_users users)
{
    return users.up || link_state(t->link) != LINK_DOWN;
}

struct small_tables *small_tables_create(const char *conninfo,
                                         const char *label,
                                         const struct settings *s)
{
    struct small_tables *t = calloc(1, sizeof(*t));
    struct link_options o = {
        .conninfo = conninfo,
        .events = &events,
        .owner = t,
        .connect_timeout_ms = link_connect_timeout_ms(s->query_timeout_ms),
        .answer_timeout_ms = timeout_ms(s),
        .heartbeat_ms = INT32_MAX,
        .probe_sql = PROBE_SQL,
    };

    if (!t) {
        return NULL;
    }
    t->label = label;
    t->settings = s;
    atomic_init(&t->wanted, ALWAYS_READ);
    t->known = last_known_create();
    t->link = link_create(&o);
    outage_begin(&t->outage, timeout_ms(s), monotonic_ms());
    strcpy(t->reason, "no answer yet");
    return t->known && t->link ? t : NULL;
}

struct pollfd small_tables_poll(const struct small_tables *t)
{
    return link_poll(t->link);
}

int64_t small_tables_next_ms(struct small_tables *t,
                             struct small_tables_users users)
{
    int64_t next_ms = round_due_ms(t);

    if (is_its_turn(t, users)) {
        next_ms = monotonic_earlier(next_ms, link_next_ms(t->link));
    }
    return users.away ? next_ms
                      : monotonic_earlier(next_ms, outage_next_ms(&t->outage));
}

void small_tables_step(struct small_tables *t, struct small_tables_users users,
                       int64_t now_ms)
{
    if (is_its_turn(t, users)) {
        link_step(t->link, now_ms);
    }
    check(t, users, now_ms);
    if (round_due_ms(t) <= now_ms) {
        begin_round(t);
    }
}

void small_tables_users_down(struct small_tables *t, const char *reason)
{
    if (link_state(t->link) == LINK_DOWN) {
        down(t, reason);
    }
}

void small_tables_users_back(struct small_tables *t)
{
    wait_for_them(t);
}

struct link *small_tables_link(struct small_tables *t)
{
    return t->link;
}

/* ---- for auth workers ---- */

int small_tables_want(struct small_tables *t, enum last_known_table which)
{
    if (atomic_load(&t->wanted) & 1u << which) {
        return 0;
    }
    atomic_fetch_or(&t->wanted, 1u << which);
    return 1;
}

struct rows *small_tables_get(struct small_tables *t,
                              enum last_known_table which, int64_t until_ms,
                              int64_t *read_ms)
{
    last_known_wait(t->known, which, until_ms);
    return last_known_get(t->known, which, read_ms);
}
