/*
 * Connecting to PostgreSQL without blocking (but for libpq's look-ups in DNS)
 * and with a deadline. In a list of hosts each has the whole deadline, and an
 * attempt begins with the host after the one that failed last: libpq's own
 * connect_timeout does not hold here. Called by link.c and pass_through.c.
 */

#ifndef CONNECTING_H
#define CONNECTING_H

#include <libpq-fe.h>
#include <poll.h>
#include <stdint.h>

/* libpq's lists of hosts, turned around; NULL: as conninfo has them. */
struct connecting_lists {
    char *host;
    char *hostaddr;
    char *port;
};

struct connecting {
    const char *conninfo; /* the caller's, like timeout_ms */
    int64_t timeout_ms;   /* for each host */
    /* Begin as zero. */
    int64_t until_ms; /* for the host it is at */
    char at[320];     /* the host it is at */
    PostgresPollingStatusType wants;
    struct connecting_lists turned;    /* by a host that failed */
    struct connecting_lists preferred; /* by connecting_prefer() */
};

enum connecting_result {
    CONNECTING_GOES_ON,
    CONNECTING_DONE,
    CONNECTING_FAILED, /* PQerrorMessage says why */
    CONNECTING_TOO_LATE,
};

/* A connection, perhaps CONNECTION_BAD already; NULL when there is no memory */
PGconn *connecting_begin(struct connecting *c, int64_t now_ms);
/* What to poll for until c->until_ms. */
struct pollfd connecting_poll(const struct connecting *c, const PGconn *conn);
/* Does what can be done now. */
enum connecting_result connecting_step(struct connecting *c, PGconn *conn,
                                       int64_t now_ms);

/*
 * The connection is of no use: the next attempt begins with the host after the
 * one it is at. Returns how many hosts there are.
 */
int connecting_failed(struct connecting *c, PGconn *conn);
/* It is of use: the next attempt begins with the first host again. */
void connecting_worked(struct connecting *c);

/*
 * From now on the first host is the one that this connection, of the same
 * conninfo, is at.
 */
void connecting_prefer(struct connecting *c, PGconn *conn);
/* How many hosts conninfo has; 1 where it does not say. */
int connecting_hosts(PGconn *conn);

#endif
