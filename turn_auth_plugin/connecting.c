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
    const char *keys[5] = {"dbname", "fallback_application_name"};
    const char *values[5] = {c->conninfo, "turn_auth_plugin"};
    const char *const lists[] = {"host",      c->host, "hostaddr",
                                 c->hostaddr, "port",  c->port};
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

void connecting_worked(struct connecting *c)
{
    free(c->host);
    free(c->hostaddr);
    free(c->port);
    c->host = c->hostaddr = c->port = NULL;
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

int connecting_failed(struct connecting *c, PGconn *conn)
{
    PQconninfoOption *o = PQconninfo(conn);
    const char *host = option(o, "host"), *address = option(o, "hostaddr");
    const char *port = option(o, "port"), *named = host ? host : address;
    struct connecting turned = *c;
    size_t i = 0, n = host_list_count(named);

    if (n > 1) {
        while (i < n && !(host_list_has(named, i, PQhost(conn)) &&
                          host_list_has(port, i, PQport(conn)))) {
            i++;
        }
        i = i < n ? i + 1 : 1;
        turned.host = host_list_from(host, i);
        turned.hostaddr = host_list_from(address, i);
        turned.port = host_list_from(port, i);
        connecting_worked(c);
        *c = turned;
    }
    PQconninfoFree(o);
    return n > 1 ? (int)n : 1;
}
