/*
 * The database as auth workers see it: something that may be asked, with a
 * deadline, and that may be away. One thread owns the connections; it fills the
 * cache of users and the last known tables, notices outages before a user does,
 * and reconnects. Called by look_up.c and libpq_boundary.c.
 */

#ifndef STORE_H
#define STORE_H

#include "figures.h"
#include "last_known.h"
#include "settings.h"
#include "user_cache.h"

struct store;

/*
 * Starts the thread; settings must live as long as the store. NULL when there
 * is no memory or no thread to be had.
 */
struct store *store_start(const char *conninfo, const struct settings *s);

/*
 * Asks for a user and waits for the answer, at most query_timeout. 1: *r is
 * VALID or ABSENT, and *tier says who answered; 0: nobody could be asked in
 * time (at once, while the database is known to be away).
 */
int store_ask(struct store *st, const struct user_name *u,
              struct user_record *r, enum figures_tier *tier);
/* Asks in the background; the answer goes into the cache. */
void store_ask_later(struct store *st, const struct user_name *u);

/* How good memory is. */
struct store_standing {
    int live; /* changes arrive as they are made: what memory says is so */
    int64_t confirmed_ms; /* monotonic: memory was right then; 0: not known */
    int64_t unix_ms;      /* now, by the database's clock */
};
/* now_ms: monotonic. Called by any thread. */
void store_standing(struct store *st, int64_t now_ms, struct store_standing *s);

/* Filled by the store thread, and by nobody else. */
struct user_cache *store_users(struct store *st);
/*
 * The last known rows of a table, held for the caller, and when they were read;
 * NULL when it was never read. Waits for a table that nobody has tried to read
 * yet: right after the start up to 2 s, so that turnserver begins with the
 * realms and peer rules of a database that works; later up to query_timeout.
 * OAuth keys are read only once coturn has asked for them.
 */
struct rows *store_table(struct store *st, enum last_known_table t,
                         int64_t *read_ms);

#endif
