/*
 * One connection to PostgreSQL that never blocks: it connects, asks and
 * notices within deadlines when nobody answers. Questions are pipelined and
 * answered in order; each is a transaction of its own. Owned and driven by the
 * store thread (store.c).
 */

#ifndef LINK_H
#define LINK_H

#include <libpq-fe.h>
#include <poll.h>
#include <stdint.h>

struct link;

/*
 * A connection is worth nothing until a question was answered on it in time: a
 * server may accept connections and then answer nothing (a lock, a stalled
 * disk), or end each with its first question (a pooler whose server is down).
 */
enum link_state {
    LINK_DOWN,
    LINK_CONNECTING,
    LINK_PROVING, /* connected; no answer in time yet, or no longer */
    LINK_UP,
};

/* What the owner is told. owner is link_create's. */
struct link_events {
    /* A question was answered in time: questions may be sent, now or again. */
    void (*up)(void *owner);
    /*
     * Connecting failed, or the connection broke, or the server did not even
     * say in time that it gave a question up. Questions that were not answered
     * are lost: no answer() comes for them.
     */
    void (*down)(void *owner, const char *reason);
    /*
     * A question has had no answer for answer_timeout_ms, nor was anything else
     * heard. The questions that were asked may still be answered.
     */
    void (*silent)(void *owner);
    /*
     * The answer to a question; what and which are link_ask's. res NULL: the
     * server gave it up, because of its time limit.
     */
    void (*answer)(void *owner, int what, void *which, int64_t asked_ms,
                   const PGresult *res);
    /* A notification came. May be NULL. */
    void (*notified)(void *owner, const char *channel);
};

struct link_options {
    const char *conninfo;
    const struct link_events *events;
    void *owner;
    int64_t connect_timeout_ms; /* for each host of conninfo */
    int64_t answer_timeout_ms;
    /* Up and nothing to ask for so long: probes whether it still is. */
    int64_t heartbeat_ms;
    /*
     * A question that costs little and has an answer only if the others would
     * have one, too.
     */
    const char *probe_sql;
};

/*
 * Connecting to a host may take this long where a look-up may take that long.
 */
int64_t link_connect_timeout_ms(int64_t query_timeout_ms);

/*
 * Copies the options. It begins to connect with the first link_step(), and
 * lives as long as the process.
 */
struct link *link_create(const struct link_options *o);

enum link_state link_state(const struct link *l);

/*
 * Asks; values are text. 0, or -1 when it is not up (down() was called if it
 * broke right now).
 */
int link_ask(struct link *l, int what, void *which, const char *sql, int count,
             const char *const *values);

/* From now on a question may take so long (link_options says how long). */
void link_set_answer_timeout(struct link *l, int64_t timeout_ms);

/* How many hosts conninfo names. */
int link_hosts(const struct link *l);
/*
 * Gives the connection up (down() is called) and goes on to the host after the
 * one it is at, at once.
 */
void link_try_next_host(struct link *l, const char *reason);
/* Gives the connection up (down() is called) and makes another. */
void link_give_up(struct link *l, const char *reason);
/*
 * Goes where another link, of the same conninfo, is connected to, and gives up
 * a connection to another host.
 */
void link_follow(struct link *l, const struct link *leader);

/* What to poll for; fd -1 for nothing. */
struct pollfd link_poll(const struct link *l);
/* When it wants to be stepped whatever poll says (monotonic). */
int64_t link_next_ms(const struct link *l);
/* Does what can be done now. */
void link_step(struct link *l, int64_t now_ms);

#endif
