/*
 * libpq's asynchronous interface, waited for with a deadline; see
 * pass_through.h.
 */

#include "pass_through.h"

#include "connecting.h"
#include "monotonic.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

static PGresult *fail(struct pass_through *p, const char *why)
{
    snprintf(p->error, sizeof(p->error), "%s", why);
    PQfinish(p->conn);
    p->conn = NULL;
    return NULL;
}

/* Waits for the socket; 0 when the time is over. */
static int wait_for(PGconn *conn, short events, int64_t until_ms)
{
    struct pollfd p = {.fd = PQsocket(conn), .events = events};
    int64_t left_ms = until_ms - monotonic_ms();

    return p.fd >= 0 && left_ms > 0 && poll(&p, 1, (int)left_ms) > 0;
}

/* One attempt; 1, or 0 with *c at the host that failed and p->error. */
static int connect_once(struct pass_through *p, struct connecting *c)
{
    enum connecting_result r = CONNECTING_GOES_ON;

    p->conn = connecting_begin(c, monotonic_ms());
    while (p->conn && r == CONNECTING_GOES_ON) {
        r = connecting_step(c, p->conn, monotonic_ms());
        if (r == CONNECTING_GOES_ON) {
            wait_for(p->conn, connecting_poll(c, p->conn).events, c->until_ms);
        }
    }
    if (r == CONNECTING_DONE) {
        return PQsetnonblocking(p->conn, 1) == 0;
    }
    snprintf(p->error, sizeof(p->error), "%s",
             r == CONNECTING_TOO_LATE
                 ? "the database does not answer (connecting)\n"
                 : PQerrorMessage(p->conn));
    return 0;
}

int pass_through_connect(struct pass_through *p, const char *conninfo)
{
    struct connecting c = {.conninfo = conninfo,
                           .timeout_ms = PASS_THROUGH_CONNECT_MS};
    int hosts = 1, connected = 0;

    for (int i = 0; i < hosts && !connected; i++) {
        connected = connect_once(p, &c);
        if (!connected) {
            hosts = p->conn ? connecting_failed(&c, p->conn) : 0;
            PQfinish(p->conn);
            p->conn = NULL;
        }
    }
    connecting_worked(&c);
    return connected;
}

/* A connection that the server has closed meanwhile is no longer one. */
static int is_alive(PGconn *conn)
{
    struct pollfd p = {.fd = conn ? PQsocket(conn) : -1, .events = POLLIN};

    if (!conn || PQstatus(conn) != CONNECTION_OK) {
        return 0;
    }
    if (poll(&p, 1, 0) > 0 && !PQconsumeInput(conn)) {
        return 0;
    }
    return PQstatus(conn) == CONNECTION_OK;
}

static int send_statement(PGconn *conn, const struct pass_through_statement *s)
{
    if (!s->has_params) {
        return PQsendQuery(conn, s->text);
    }
    return PQsendQueryParams(conn, s->text, s->count, s->types, s->values,
                             s->lengths, s->formats, s->result_format);
}

/* Flushes and reads until a result is complete; 0 with p->error set if not. */
static int wait_for_result(struct pass_through *p)
{
    int64_t until_ms = monotonic_ms() + PASS_THROUGH_SILENCE_MS;
    int flush;

    while ((flush = PQflush(p->conn)) == 1 || PQisBusy(p->conn)) {
        if (!wait_for(p->conn, flush ? POLLIN | POLLOUT : POLLIN, until_ms)) {
            fail(p, "the database does not answer\n");
            return 0;
        }
        if (!PQconsumeInput(p->conn)) {
            fail(p, PQerrorMessage(p->conn));
            return 0;
        }
        if (!flush) {
            until_ms = monotonic_ms() + PASS_THROUGH_SILENCE_MS;
        }
    }
    return 1;
}

static PGresult *last_result(struct pass_through *p)
{
    PGresult *last = NULL, *res;

    while (wait_for_result(p)) {
        res = PQgetResult(p->conn);
        if (!res) {
            return last;
        }
        PQclear(last);
        last = res;
        if (PQresultStatus(res) == PGRES_COPY_IN ||
            PQresultStatus(res) == PGRES_COPY_OUT) {
            fail(p, "COPY is not possible here\n");
            break;
        }
    }
    PQclear(last);
    return NULL;
}

PGresult *pass_through(struct pass_through *p, const char *conninfo,
                       const struct pass_through_statement *s)
{
    PGresult *res;

    p->error[0] = '\0';
    if (!is_alive(p->conn)) {
        PQfinish(p->conn);
        p->conn = NULL;
        if (!pass_through_connect(p, conninfo)) {
            return NULL;
        }
    }
    if (!send_statement(p->conn, s)) {
        return fail(p, PQerrorMessage(p->conn));
    }
    res = last_result(p);
    if (res && PQresultStatus(res) == PGRES_FATAL_ERROR) {
        snprintf(p->error, sizeof(p->error), "%s", PQresultErrorMessage(res));
    }
    return res;
}

void pass_through_end(struct pass_through *p)
{
    PQfinish(p->conn);
    p->conn = NULL;
}
