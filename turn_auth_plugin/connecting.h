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

struct connecting {
    const char *conninfo; /* the caller's, like timeout_ms */
    int64_t timeout_ms;   /* for each host */
    /* Begin as zero. */
    int64_t until_ms; /* for the host it is at */
    char at[320];     /* the host it is at */
    PostgresPollingStatusType wants;
    char *host; /* libpq's lists as they are turned now; NULL: conninfo's */
    char *hostaddr;
    char *port;
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
/* It is of use: the next attempt begins with the first host. */
void connecting_worked(struct connecting *c);

#endif
