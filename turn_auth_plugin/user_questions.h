/*
 * Asking for users: Redis, where there is one, then the database, over a link
 * that is there for nothing else. Auth workers ask and wait (look_up.c through
 * store.c); the store thread owns the links, fills the cache with the answers,
 * and tells the log of outages before a user notices them.
 */

#ifndef USER_QUESTIONS_H
#define USER_QUESTIONS_H

#include "feed.h"
#include "figures.h"
#include "link.h"
#include "settings.h"
#include "user_cache.h"

struct user_questions;

/* What the owner is told; called by the store thread, but for wake(). */
struct user_questions_events {
    /* There is something to ask. Called by auth workers. */
    void (*wake)(void *owner);
    /* There is no connection to the database. */
    void (*down)(void *owner, const char *reason);
    /* An outage is over. */
    void (*back)(void *owner);
    /* This user was logged in here and is revoked, or has another key. */
    void (*revoked)(void *owner, const struct user_name *u);
};

struct user_questions_options {
    const char *conninfo;
    const char *label; /* names the database in the log */
    const struct settings *settings;
    struct user_cache *users;
    const struct feed *feed;
    const struct user_questions_events *events;
    void *owner;
};

/*
 * What o points to must live as long as the process, like what is returned;
 * NULL when there is no memory.
 */
struct user_questions *
user_questions_create(const struct user_questions_options *o);

/* ---- for auth workers; see store_ask() and store_ask_later() in store.h ----
 */

int user_questions_ask(struct user_questions *q, const struct user_name *u,
                       struct user_record *r, enum figures_tier *tier);
void user_questions_ask_later(struct user_questions *q,
                              const struct user_name *u);

/* ---- for the store thread ---- */

/* Is the link up; is this an outage? */
int user_questions_up(const struct user_questions *q);
int user_questions_away(const struct user_questions *q);

struct link *user_questions_link(struct user_questions *q);

/* The feed says: this user changed; all users were read. */
void user_questions_changed(struct user_questions *q, const struct user_name *u,
                            const struct user_record *r);
void user_questions_read_all(struct user_questions *q);

/* Of the database, and of Redis (fd -1: none). */
struct pollfd user_questions_poll(const struct user_questions *q);
struct pollfd user_questions_poll_redis(const struct user_questions *q);
int64_t user_questions_next_ms(const struct user_questions *q);
void user_questions_step(struct user_questions *q, int64_t now_ms);

#endif
