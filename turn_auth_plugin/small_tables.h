/*
 * The small tables that coturn reads again and again (last_known.h), read in
 * rounds over a link of their own: a long peer list never stands in the way of
 * a login. Owned and driven by the store thread (store.c); auth workers call
 * small_tables_want() and small_tables_get().
 */

#ifndef SMALL_TABLES_H
#define SMALL_TABLES_H

#include "last_known.h"
#include "link.h"
#include "settings.h"

struct small_tables;

/*
 * label names the database in the log. All arguments must live as long as the
 * process, like what is returned; NULL when there is no memory.
 */
struct small_tables *small_tables_create(const char *conninfo,
                                         const char *label,
                                         const struct settings *s);

/* coturn wants a table. 1: the store thread must be woken. */
int small_tables_want(struct small_tables *t, enum last_known_table which);
/*
 * The last known rows of a table, held for the caller; NULL when it was never
 * read. Waits until until_ms (monotonic) for one that nobody has tried to read
 * yet.
 */
struct rows *small_tables_get(struct small_tables *t,
                              enum last_known_table which, int64_t until_ms,
                              int64_t *read_ms);

/* ---- for the store thread ---- */

/*
 * What it needs to know of the users' link: users come first, so that where the
 * server has room for one connection only, that one is theirs; and while they
 * are away, one line in the log is enough.
 */
struct small_tables_users {
    int up;
    int away;
};

struct pollfd small_tables_poll(const struct small_tables *t);
int64_t small_tables_next_ms(struct small_tables *t,
                             struct small_tables_users users);
void small_tables_step(struct small_tables *t, struct small_tables_users users,
                       int64_t now_ms);
/* The users' link could not be had: whoever waits for a table goes on. */
void small_tables_users_down(struct small_tables *t, const char *reason);
/* It is back after an outage: the tables have some time to come back, too. */
void small_tables_users_back(struct small_tables *t);
/* A hint that they changed: a round at once, but not all the time. */
void small_tables_hint(struct small_tables *t);
/* The server that is asked first from now on; see link_prefer(). */
struct link *small_tables_link(struct small_tables *t);

#endif
