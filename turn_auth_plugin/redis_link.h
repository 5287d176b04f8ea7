/*
 * One connection to Redis that never blocks: it connects, asks and notices
 * within deadlines when nobody answers. Owned by redis_cache.c, driven by the
 * store thread.
 */

#ifndef REDIS_LINK_H
#define REDIS_LINK_H

#include "redis_reply.h"

#include <poll.h>
#include <stdint.h>

struct redis_link;

/* As a link to PostgreSQL: worth nothing until it answered in time. */
enum redis_link_state {
    REDIS_LINK_DOWN,
    REDIS_LINK_CONNECTING,
    REDIS_LINK_PROVING, /* connected; no answer in time yet, or no longer */
    REDIS_LINK_UP,
};

/* What the owner is told, from within redis_link_step() alone. */
struct redis_link_events {
    /* Questions may be asked, now or again. */
    void (*up)(void *owner);
    /* Connecting failed, or the connection broke or is of no use. */
    void (*down)(void *owner, const char *reason);
    /* A question had no answer in time; later ones would wait behind it. */
    void (*silent)(void *owner);
    /*
     * One for each question, in order. reply NULL: there is none, or not in
     * time. Comes before down() and silent() for the questions they cost.
     */
    void (*answer)(void *owner, void *which, const struct redis_reply *reply);
};

struct redis_link_options {
    const char *server;   /* unix:/path, host:port or [IPv6]:port */
    const char *password; /* or user and password with a space; NULL: none */
    int64_t database;
    int64_t timeout_ms; /* of one answer */
    const struct redis_link_events *events;
    void *owner;
};

/* Keeps the options' pointers. NULL: no memory. Lives with the process. */
struct redis_link *redis_link_create(const struct redis_link_options *o);

enum redis_link_state redis_link_state(const struct redis_link *l);
/* From now on, in place of the option's. */
void redis_link_set_timeout(struct redis_link *l, int64_t timeout_ms);
/* Questions without an answer. */
size_t redis_link_waiting(const struct redis_link *l);

/* Asks. 0, or -1 when it is not up or too much is under way: no answer(). */
int redis_link_ask(struct redis_link *l, void *which, int count,
                   const char *const *words, const size_t *lengths);

/* What to poll for; fd -1 for nothing. Sends what was asked, if it can. */
struct pollfd redis_link_poll(struct redis_link *l);
int64_t redis_link_next_ms(const struct redis_link *l);
void redis_link_step(struct redis_link *l, int64_t now_ms);

#endif
