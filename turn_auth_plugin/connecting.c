/*
 * PQconnectPoll with the list of hosts turned around; see connecting.h.
 */

#include "connecting.h"

#include "host_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Notes which host it is at; each has its own deadline. */
static void note_host(struct connecting *c, const PGconn *conn, int64_t now_ms)
{
    char at[sizeof(c->at)];
    const char *host = PQhost(conn), *address = PQhostaddr(conn);

    snprintf(at, sizeof(at), "%s %s %s", host ? host : "",
             address ? address : "", PQport(conn));
    if (strcmp(at, c->at) != 0) {
        memcpy(c->at, at, sizeof(at));
        c->until_ms = now_ms + c->timeout_ms;
    }
}

PGconn *connecting_begin(struct connecting *c, int64_t now_ms)
{
    const struct connecting_lists *l =
        c->turned.port || c->turned.host || c->turned.hostaddr ? &c->turned
                                                               : &c->preferred;
    const char *keys[6] = {"dbname", "fallback_application_name"};
    const char *values[6] = {c->conninfo, "turn_auth_plugin"};
    const char *const lists[] = {"host",      l->host, "hostaddr",
                                 l->hostaddr, "port",  l->port};
    int n = 2;
    PGconn *conn;

    for (int i = 0; i < 6; i += 2) {
        if (lists[i + 1]) {
            keys[n] = lists[i];
            values[n++] = lists[i + 1];
        }
    }
    conn = PQconnectStartParams(keys, values, 1);
    c->wants = PGRES_POLLING_WRITING;
    c->at[0] = '\0';
    if (conn) {
        note_host(c, conn, now_ms);
    }
    return conn;
}

struct pollfd connecting_poll(const struct connecting *c, const PGconn *conn)
{
    return (struct pollfd){
        .fd = PQsocket(conn),
        .events = c->wants == PGRES_POLLING_READING ? POLLIN : POLLOUT,
    };
}

enum connecting_result connecting_step(struct connecting *c, PGconn *conn,
                                       int64_t now_ms)
{
    struct pollfd p = connecting_poll(c, conn);

    if (PQstatus(conn) == CONNECTION_BAD) {
        return CONNECTING_FAILED;
    }
    if (p.fd >= 0 && poll(&p, 1, 0) > 0) {
        c->wants = PQconnectPoll(conn);
        if (c->wants == PGRES_POLLING_OK) {
            return CONNECTING_DONE;
        }
        if (c->wants == PGRES_POLLING_FAILED) {
            return CONNECTING_FAILED;
        }
        note_host(c, conn, now_ms);
    }
    return now_ms < c->until_ms ? CONNECTING_GOES_ON : CONNECTING_TOO_LATE;
}

static const char *option(const PQconninfoOption *o, const char *keyword)
{
    for (; o && o->keyword; o++) {
        if (strcmp(o->keyword, keyword) == 0 && o->val && o->val[0]) {
            return o->val;
        }
    }
    return NULL;
}

static void free_lists(struct connecting_lists *l)
{
    free(l->host);
    free(l->hostaddr);
    free(l->port);
    *l = (struct connecting_lists){0};
}

/*
 * Turns the lists of a connection so that they begin so many entries after the
 * host it is at. Returns how many hosts there are.
 */
static size_t turn(struct connecting_lists *l, PGconn *conn, size_t after)
{
    PQconninfoOption *o = PQconninfo(conn);
    const char *host = option(o, "host"), *address = option(o, "hostaddr");
    const char *port = option(o, "port"), *named = host ? host : address;
    size_t i = 0, n = host_list_count(named);
    struct connecting_lists turned = {0};

    if (n > 1) {
        while (i < n && !(host_list_has(named, i, PQhost(conn)) &&
                          host_list_has(port, i, PQport(conn)))) {
            i++;
        }
        i = i < n ? i + after : after;
        turned.host = host_list_from(host, i);
        turned.hostaddr = host_list_from(address, i);
        turned.port = host_list_from(port, i);
        free_lists(l);
        *l = turned;
    }
    PQconninfoFree(o);
    return n;
}

int connecting_failed(struct connecting *c, PGconn *conn)
{
    size_t n = turn(&c->turned, conn, 1);

    return n > 1 ? (int)n : 1;
}

void connecting_worked(struct connecting *c)
{
    free_lists(&c->turned);
}

void connecting_prefer(struct connecting *c, PGconn *conn)
{
    turn(&c->preferred, conn, 0);
    free_lists(&c->turned);
}

int connecting_hosts(PGconn *conn)
{
    PQconninfoOption *o = PQconninfo(conn);
    const char *host = option(o, "host");
    size_t n = host_list_count(host ? host : option(o, "hostaddr"));

    PQconninfoFree(o);
    return n > 1 ? (int)n : 1;
}
