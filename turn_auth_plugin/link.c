/*
 * libpq's asynchronous interface in pipeline mode; see link.h.
 */

#include "link.h"

#include "monotonic.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_PAUSE_MS 100
#define LONGEST_PAUSE_MS 1000

/* An own question: is anybody there? */
#define HEARTBEAT (-1)

struct question {
    struct question *next;
    int what;
    void *which;
    int64_t asked_ms;
};

struct link {
    struct link_options o;
    enum link_state state;
    int silent; /* UP: silent() was called, and not heard() */
    PGconn *conn;
    int64_t since_ms; /* CONNECTING: since when; UP: last sign of life */
    int64_t retry_ms; /* DOWN: when to connect again */
    int64_t pause_ms; /* how long to wait after the next failure */
    PostgresPollingStatusType wants;
    struct question *first; /* asked and not answered, in order */
    struct question **last;
};

struct link *link_create(const struct link_options *o)
{
    struct link *l = calloc(1, sizeof(*l));

    if (!l) {
        return NULL;
    }
    l->o = *o;
    l->o.conninfo = strdup(o->conninfo);
    l->last = &l->first;
    l->pause_ms = 0;
    return l;
}

static void forget_questions(struct link *l)
{
    struct question *q;

    while ((q = l->first)) {
        l->first = q->next;
        free(q);
    }
    l->last = &l->first;
}

void link_destroy(struct link *l)
{
    forget_questions(l);
    PQfinish(l->conn);
    free((char *)l->o.conninfo);
    free(l);
}

enum link_state link_state(const struct link *l)
{
    return l->state;
}

/* ---- going down ---- */

/*
 * The first pause is none: a connection that the server closed (a restart, an
 * administrator) is often back at once, and nobody need notice.
 */
static void go_down(struct link *l, const char *reason)
{
    char text[256];
    int64_t now_ms = monotonic_ms();

    strncpy(text, reason, sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    text[strcspn(text, "\n")] = '\0';
    PQfinish(l->conn);
    l->conn = NULL;
    forget_questions(l);
    l->state = LINK_DOWN;
    l->silent = 0;
    l->retry_ms = now_ms + l->pause_ms;
    l->pause_ms = l->pause_ms ? 2 * l->pause_ms : FIRST_PAUSE_MS;
    if (l->pause_ms > LONGEST_PAUSE_MS) {
        l->pause_ms = LONGEST_PAUSE_MS;
    }
    l->o.events->down(l->o.owner, text);
}

static void go_down_with_error(struct link *l)
{
    const char *message = PQerrorMessage(l->conn);

    go_down(l, message && *message ? message : "the connection was closed");
}

/* ---- connecting ---- */

static void begin_connecting(struct link *l, int64_t now_ms)
{
    const char *keys[] = {"dbname", "fallback_application_name", NULL};
    const char *values[] = {l->o.conninfo, "turn_auth_plugin", NULL};

    l->conn = PQconnectStartParams(keys, values, 1);
    if (!l->conn || PQstatus(l->conn) == CONNECTION_BAD) {
        if (l->conn) {
            go_down_with_error(l);
        } else {
            go_down(l, "out of memory");
        }
        return;
    }
    l->state = LINK_CONNECTING;
    l->since_ms = now_ms;
    l->wants = PGRES_POLLING_WRITING;
}

static void go_up(struct link *l, int64_t now_ms)
{
    if (PQsetnonblocking(l->conn, 1) != 0 || !PQenterPipelineMode(l->conn)) {
        go_down_with_error(l);
        return;
    }
    l->state = LINK_UP;
    l->since_ms = now_ms;
    l->pause_ms = 0;
    l->o.events->up(l->o.owner);
}

static int ready(const struct link *l)
{
    struct pollfd p = link_poll(l);

    return p.fd >= 0 && poll(&p, 1, 0) > 0;
}

static void step_connecting(struct link *l, int64_t now_ms)
{
    if (ready(l)) {
        l->wants = PQconnectPoll(l->conn);
        if (l->wants == PGRES_POLLING_OK) {
            go_up(l, now_ms);
            return;
        }
        if (l->wants == PGRES_POLLING_FAILED) {
            go_down_with_error(l);
            return;
        }
    }
    if (now_ms - l->since_ms >= l->o.connect_timeout_ms) {
        go_down(l, "no answer while connecting");
    }
}

/* ---- questions ---- */

static int add_question(struct link *l, int what, void *which)
{
    struct question *q = calloc(1, sizeof(*q));

    if (!q) {
        return -1;
    }
    q->what = what;
    q->which = which;
    q->asked_ms = monotonic_ms();
    if (!l->first) {
        l->since_ms = q->asked_ms;
    }
    *l->last = q;
    l->last = &q->next;
    return 0;
}

int link_ask(struct link *l, int what, void *which, const char *sql, int count,
             const char *const *values)
{
    if (l->state != LINK_UP) {
        return -1;
    }
    if (!PQsendQueryParams(l->conn, sql, count, NULL, values, NULL, NULL, 0) ||
        !PQpipelineSync(l->conn) || PQflush(l->conn) < 0 ||
        add_question(l, what, which) != 0) {
        go_down_with_error(l);
        return -1;
    }
    return 0;
}

static void drop_first(struct link *l)
{
    struct question *q = l->first;

    l->first = q->next;
    if (!l->first) {
        l->last = &l->first;
    }
    free(q);
}

/* Hands on all answers that are here. Each ends with the sync after it. */
static void take_answers(struct link *l)
{
    int ends = 0;
    PGresult *res;

    while (l->first && ends < 2 && !PQisBusy(l->conn)) {
        res = PQgetResult(l->conn);
        if (!res) {
            ends++;
            continue;
        }
        ends = 0;
        if (PQresultStatus(res) == PGRES_PIPELINE_SYNC) {
            drop_first(l);
        } else if (l->first->what != HEARTBEAT) {
            l->o.events->answer(l->o.owner, l->first->what, l->first->which,
                                l->first->asked_ms, res);
        }
        PQclear(res);
    }
}

static void note_life(struct link *l, int64_t now_ms)
{
    l->since_ms = now_ms;
    if (l->silent) {
        l->silent = 0;
        l->o.events->heard(l->o.owner);
    }
}

static void check_silence(struct link *l, int64_t now_ms)
{
    int64_t quiet_ms = now_ms - l->since_ms;

    if (l->first && quiet_ms >= l->o.connect_timeout_ms &&
        quiet_ms >= l->o.answer_timeout_ms) {
        go_down(l, "no answer in time");
    } else if (l->first && quiet_ms >= l->o.answer_timeout_ms && !l->silent) {
        l->silent = 1;
        l->o.events->silent(l->o.owner);
    } else if (!l->first && quiet_ms >= l->o.heartbeat_ms) {
        link_ask(l, HEARTBEAT, NULL, "select 1", 0, NULL);
    }
}

static void step_up(struct link *l, int64_t now_ms)
{
    if (ready(l)) {
        if (!PQconsumeInput(l->conn)) {
            go_down_with_error(l);
            return;
        }
        note_life(l, now_ms);
        take_answers(l);
    }
    if (PQflush(l->conn) < 0 || PQstatus(l->conn) == CONNECTION_BAD) {
        go_down_with_error(l);
    } else {
        check_silence(l, now_ms);
    }
}

/* ---- the store thread's loop ---- */

struct pollfd link_poll(const struct link *l)
{
    struct pollfd p = {.fd = -1, .events = POLLIN};

    if (l->state == LINK_CONNECTING) {
        p.fd = PQsocket(l->conn);
        p.events = l->wants == PGRES_POLLING_READING ? POLLIN : POLLOUT;
    } else if (l->state == LINK_UP) {
        p.fd = PQsocket(l->conn);
        p.events = PQflush(l->conn) == 1 ? POLLIN | POLLOUT : POLLIN;
    }
    return p;
}

int64_t link_next_ms(const struct link *l)
{
    switch (l->state) {
    case LINK_DOWN:
        return l->retry_ms;
    case LINK_CONNECTING:
        return l->since_ms + l->o.connect_timeout_ms;
    default:
        if (!l->first) {
            return l->since_ms + l->o.heartbeat_ms;
        }
        return l->since_ms +
               (l->silent ? l->o.connect_timeout_ms : l->o.answer_timeout_ms);
    }
}

void link_step(struct link *l, int64_t now_ms)
{
    if (l->state == LINK_DOWN && now_ms >= l->retry_ms) {
        begin_connecting(l, now_ms);
    } else if (l->state == LINK_CONNECTING) {
        step_connecting(l, now_ms);
    } else if (l->state == LINK_UP) {
        step_up(l, now_ms);
    }
}
