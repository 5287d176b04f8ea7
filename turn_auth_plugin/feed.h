/*
 * The change feed: keeps memory equal to the database. Reads all users once,
 * then what changed, when it is told (LISTEN) and twice a second in any case:
 * notifications are hints that cost little however many come. A version of
 * every user, and snapshots of the database, see to it that nothing is missed
 * or taken twice (sql/journal.sql). A standby is polled. Owned and driven by
 * the store thread; what auth workers may call is marked.
 */

#ifndef FEED_H
#define FEED_H

#include "link.h"
#include "settings.h"
#include "user_cache.h"

struct feed;

struct feed_events {
    /* This user was logged in here and is revoked, or has another key. */
    void (*revoked)(void *owner, const struct user_name *u);
    /* This user changed. Not called for what is read at the beginning. */
    void (*changed)(void *owner, const struct user_name *u,
                    const struct user_record *r);
    /* All users were read. */
    void (*read_all)(void *owner);
    /* A hint that the small tables changed. */
    void (*tables)(void *owner);
    /* Which of several servers to ask: the one the feed is connected to. */
    void (*server)(void *owner, const struct link *feed);
};

struct feed_options {
    const char *conninfo;
    const char *label; /* names the database in the log */
    const struct settings *settings;
    struct user_cache *users;
    const struct feed_events *events;
    void *owner;
};

/*
 * What o points to must live as long as the process, like what is returned;
 * NULL when there is no memory.
 */
struct feed *feed_create(const struct feed_options *o);

/* ---- for anyone ---- */

/*
 * Is it known of all changes, but those of the last moment, that they are in
 * memory?
 */
int feed_live(const struct feed *f, int64_t now_ms);
/* Everything in memory was true then (monotonic); 0: not known of any time. */
int64_t feed_confirmed_ms(const struct feed *f);
/* The database server's clock. */
int64_t feed_unix_ms(const struct feed *f, int64_t now_ms);

/* ---- for the store thread ---- */

/* Of versions that the server tells now; 0: not known. */
uint32_t feed_epoch(const struct feed *f);
/* Since when it is live (monotonic); INT64_MAX: it is not. */
int64_t feed_live_since_ms(const struct feed *f, int64_t now_ms);
/* Is there none to wait for: plain tables, or a standby? */
int feed_is_none(const struct feed *f);

/* users_up, users_away: users come first (small_tables.h). */
struct pollfd feed_poll(const struct feed *f);
int64_t feed_next_ms(const struct feed *f, int users_up);
void feed_step(struct feed *f, int users_up, int users_away, int64_t now_ms);

#endif
