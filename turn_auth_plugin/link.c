/*
 * libpq's asynchronous interface in pipeline mode; see link.h.
 */

#include "link.h"

#include "asked.h"
#include "connecting.h"
#include "monotonic.h"
#include "retry_pause.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHORTEST_CONNECT_MS 2000
/* Between probes that were answered too late, or not at all. */
#define PROBE_PAUSE_MS 100

/*
 * The server gives a question up by itself after the longer of both timeouts,
 * so that no backend waits for a lock when nobody wants the answer any more.
 * This long after that a silent connection is given up.
 */
#define GRACE_MS 1000

#define CLOSED "the connection was closed"

/* Questions of our own; the owner's are 0 and more. */
#define PROBE (-1)
#define TIME_LIMIT (-2) /* sets the server's; proves nothing */
/* A shorter one that an administrator gave the role stays. */
#define TIME_LIMIT_SQL                                                         \
    "select set_config(name,$1::text,false) from pg_settings where "           \
    "name='statement_timeout' and setting::int not between 1 and "             \
    "$1::text::int"

struct link {
    struct link_options o;
    enum link_state state;
    struct connecting connecting;
    PGconn *conn;
    int64_t up_ms;    /* since when the connection is up; 0: it never was */
    int64_t since_ms; /* PROVING, UP: last sign of life, or first question */
    struct retry_pause pause; /* DOWN */
    struct asked_queue asked;
};

int64_t link_connect_timeout_ms(int64_t query_timeout_ms)
{
    int64_t timeout_ms = 4 * query_timeout_ms;

    return timeout_ms < SHORTEST_CONNECT_MS ? SHORTEST_CONNECT_MS : timeout_ms;
}

struct link *link_create(const struct link_options *o)
{
    struct link *l = calloc(1, sizeof(*l));

    if (!l) {
        return NULL;
    }
    l->o = *o;
    l->o.conninfo = strdup(o->conninfo);
    if (!l->o.conninfo) {
        free(l);
        return NULL;
    }
    l->connecting.conninfo = l->o.conninfo;
    l->connecting.timeout_ms = o->connect_timeout_ms;
    return l;
}

enum link_state link_state(const struct link *l)
{
    return l->state;
}

/* ---- going down ---- */

static void go_down(struct link *l, const char *reason)
{
    char text[256];

    snprintf(text, sizeof(text), "%.*s", (int)strcspn(reason, "\n"), reason);
    if (l->conn && !l->up_ms) {
        connecting_failed(&l->connecting, l->conn);
    }
    PQfinish(l->conn);
    l->conn = NULL;
    asked_drop_all(&l->asked);
    l->state = LINK_DOWN;
    retry_pause_failed(&l->pause, l->up_ms, monotonic_ms());
    l->up_ms = 0;
    l->o.events->down(l->o.owner, text);
}

static void go_down_with_error(struct link *l)
{
    const char *message = PQerrorMessage(l->conn);

    go_down(l, message && *message ? message : CLOSED);
}

/* ---- hosts ---- */

int link_hosts(const struct link *l)
{
    return l->conn ? connecting_hosts(l->conn) : 1;
}

void link_try_next_host(struct link *l, const char *reason)
{
    l->up_ms = 0; /* go_down() turns to the next host */
    go_down(l, reason);
    retry_pause_end(&l->pause, monotonic_ms());
}

void link_give_up(struct link *l, const char *reason)
{
    go_down(l, reason);
}

static int same_host(const PGconn *a, const PGconn *b)
{
    return strcmp(PQhost(a), PQhost(b)) == 0 &&
           strcmp(PQport(a), PQport(b)) == 0;
}

void link_follow(struct link *l, const struct link *leader)
{
    if (!leader->conn || connecting_hosts(leader->conn) == 1) {
        return;
    }
    connecting_prefer(&l->connecting, leader->conn);
    if (l->conn && l->state != LINK_CONNECTING &&
        !same_host(l->conn, leader->conn)) {
        l->up_ms = monotonic_ms(); /* go_down() does not turn further */
        go_down(l, "following the primary");
        retry_pause_end(&l->pause, monotonic_ms());
    }
}

/* ---- questions ---- */

static int64_t servers_limit_ms(const struct link *l)
{
    return l->o.connect_timeout_ms > l->o.answer_timeout_ms
               ? l->o.connect_timeout_ms
               : l->o.answer_timeout_ms;
}

static int add_question(struct link *l, int what, void *which)
{
    int64_t now_ms = monotonic_ms();

    if (!l->asked.first) {
        l->since_ms = now_ms;
    }
    return asked_put(&l->asked, what, which, now_ms);
}

static int send_question(struct link *l, int what, void *which, const char *sql,
                         int count, const char *const *values)
{
    if (!PQsendQueryParams(l->conn, sql, count, NULL, values, NULL, NULL, 0) ||
        !PQpipelineSync(l->conn) || PQflush(l->conn) < 0 ||
        add_question(l, what, which) != 0) {
        go_down_with_error(l);
        return -1;
    }
    return 0;
}

int link_ask(struct link *l, int what, void *which, const char *sql, int count,
             const char *const *values)
{
    return l->state == LINK_UP
               ? send_question(l, what, which, sql, count, values)
               : -1;
}

void link_set_answer_timeout(struct link *l, int64_t timeout_ms)
{
    l->o.answer_timeout_ms = timeout_ms;
}

static void probe(struct link *l)
{
    send_question(l, PROBE, NULL, l->o.probe_sql, 0, NULL);
}

static void begin_proving(struct link *l)
{
    char limit[24];
    const char *values[] = {limit};

    if (PQsetnonblocking(l->conn, 1) != 0 || !PQenterPipelineMode(l->conn)) {
        go_down_with_error(l);
        return;
    }
    l->state = LINK_PROVING;
    snprintf(limit, sizeof(limit), "%lld", (long long)servers_limit_ms(l));
    if (send_question(l, TIME_LIMIT, NULL, TIME_LIMIT_SQL, 1, values) == 0) {
        probe(l);
    }
}

/* ---- answers ---- */

enum worth { ANSWER, GIVEN_UP, ENDED };

/*
 * ENDED: words at the end of a connection - the server's, a pooler's (class 08,
 * 57P), libpq's own (no SQLSTATE) - are no answer to the question before them.
 */
static enum worth worth_of(const PGresult *res)
{
    const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    const char *severity = PQresultErrorField(res, PG_DIAG_SEVERITY);

    if (PQresultStatus(res) != PGRES_FATAL_ERROR) {
        return ANSWER;
    }
    if (!state || strncmp(state, "08", 2) == 0 ||
        strncmp(state, "57P", 3) == 0 ||
        (severity && strcmp(severity, "FATAL") == 0)) {
        return ENDED;
    }
    /* query_canceled, lock_not_available */
    return strcmp(state, "57014") == 0 || strcmp(state, "55P03") == 0 ? GIVEN_UP
                                                                      : ANSWER;
}

/* An answer in time is what makes a connection a link. */
static void prove(struct link *l, struct asked asked, int64_t now_ms)
{
    if (l->state != LINK_PROVING || asked.what == TIME_LIMIT ||
        now_ms - asked.asked_ms > l->o.answer_timeout_ms) {
        return;
    }
    l->state = LINK_UP;
    if (!l->up_ms) {
        l->up_ms = now_ms;
        connecting_worked(&l->connecting);
    }
    l->o.events->up(l->o.owner);
}

static void take_answer(struct link *l, const PGresult *res, int64_t now_ms)
{
    /* A copy: what the owner is told may end the connection. */
    struct asked asked = *l->asked.first;
    enum worth worth = worth_of(res);
    const char *message = PQresultErrorMessage(res);

    if (asked.answered) {
        return;
    }
    if (worth == ENDED) {
        go_down(l, message && *message ? message : CLOSED);
        return;
    }
    l->asked.first->answered = 1;
    if (worth == ANSWER) {
        prove(l, asked, now_ms);
    }
    if (asked.what >= 0 && l->state != LINK_DOWN) {
        l->o.events->answer(l->o.owner, asked.what, asked.which, asked.asked_ms,
                            worth == ANSWER ? res : NULL);
    }
}

/* Keys may be among the values, and what is freed stays in memory. */
static void wipe(PGresult *res)
{
    int rows = PQntuples(res), fields = PQnfields(res);

    for (int i = 0; i < rows; i++) {
        for (int j = 0; j < fields; j++) {
            explicit_bzero(PQgetvalue(res, i, j),
                           (size_t)PQgetlength(res, i, j));
        }
    }
}

/* Hands on all answers that are here. Each ends with the sync after it. */
static void take_answers(struct link *l, int64_t now_ms)
{
    int ends = 0;
    PGresult *res;

    while (l->asked.first && ends < 2 && !PQisBusy(l->conn)) {
        res = PQgetResult(l->conn);
        if (!res) {
            ends++;
            continue;
        }
        ends = 0;
        if (PQresultStatus(res) == PGRES_PIPELINE_SYNC) {
            asked_drop(&l->asked);
        } else {
            take_answer(l, res, now_ms);
            wipe(res);
        }
        PQclear(res);
    }
}

static void take_notifications(struct link *l)
{
    PGnotify *n;

    while (l->conn && (n = PQnotifies(l->conn))) {
        if (l->o.events->notified) {
            l->o.events->notified(l->o.owner, n->relname);
        }
        PQfreemem(n);
    }
}

/* When something must be done about silence. */
static int64_t silence_ends_ms(const struct link *l)
{
    int up = l->state == LINK_UP;

    if (l->asked.first) {
        return l->since_ms +
               (up ? l->o.answer_timeout_ms : servers_limit_ms(l) + GRACE_MS);
    }
    return l->since_ms + (up ? l->o.heartbeat_ms : PROBE_PAUSE_MS);
}

static void end_silence(struct link *l)
{
    if (!l->asked.first) {
        probe(l);
    } else if (l->state == LINK_UP) {
        l->state = LINK_PROVING;
        l->o.events->silent(l->o.owner);
    } else {
        go_down(l, "no answer in time");
    }
}

/* ---- steps ---- */

/* The server's last words when it ends: outages have lines of their own. */
static void ignore_notice(void *arg, const char *message)
{
    (void)arg;
    (void)message;
}

static void begin_connecting(struct link *l, int64_t now_ms)
{
    l->conn = connecting_begin(&l->connecting, now_ms);
    if (!l->conn) {
        go_down(l, "out of memory");
        return;
    }
    PQsetNoticeProcessor(l->conn, ignore_notice, NULL);
    l->state = LINK_CONNECTING;
}

static void step_connecting(struct link *l, int64_t now_ms)
{
    switch (connecting_step(&l->connecting, l->conn, now_ms)) {
    case CONNECTING_DONE:
        begin_proving(l);
        break;
    case CONNECTING_FAILED:
        go_down_with_error(l);
        break;
    case CONNECTING_TOO_LATE:
        go_down(l, "no answer while connecting");
        break;
    case CONNECTING_GOES_ON:
        break;
    }
}

static void step_connected(struct link *l, int64_t now_ms)
{
    struct pollfd p = link_poll(l);

    if (poll(&p, 1, 0) > 0) {
        /* What a broken connection still holds says why. */
        int broken = !PQconsumeInput(l->conn);

        l->since_ms = now_ms;
        take_answers(l, now_ms);
        take_notifications(l);
        if (l->state != LINK_DOWN && broken) {
            go_down_with_error(l);
        }
    }
    if (l->state == LINK_DOWN) {
        return;
    }
    if (PQflush(l->conn) < 0 || PQstatus(l->conn) == CONNECTION_BAD) {
        go_down_with_error(l);
    } else if (now_ms >= silence_ends_ms(l)) {
        end_silence(l);
    }
}

struct pollfd link_poll(const struct link *l)
{
    struct pollfd p = {.fd = -1, .events = POLLIN};

    if (l->state == LINK_CONNECTING) {
        return connecting_poll(&l->connecting, l->conn);
    }
    if (l->state != LINK_DOWN) {
        p.fd = PQsocket(l->conn);
        p.events = PQflush(l->conn) == 1 ? POLLIN | POLLOUT : POLLIN;
    }
    return p;
}

int64_t link_next_ms(const struct link *l)
{
    switch (l->state) {
    case LINK_DOWN:
        return l->pause.until_ms;
    case LINK_CONNECTING:
        return l->connecting.until_ms;
    default:
        return silence_ends_ms(l);
    }
}

void link_step(struct link *l, int64_t now_ms)
{
    switch (l->state) {
    case LINK_DOWN:
        if (now_ms >= l->pause.until_ms) {
            begin_connecting(l, now_ms);
        }
        break;
    case LINK_CONNECTING:
        step_connecting(l, now_ms);
        break;
    default:
        step_connected(l, now_ms);
    }
}
