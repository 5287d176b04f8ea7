/*
 * Notices a turnserver that runs with the plugin and never opens a connection
 * to PostgreSQL: without psql-userdb it silently takes users from a SQLite
 * database of its own. Called by libpq_boundary.c.
 */

#ifndef UNASKED_H
#define UNASKED_H

/* turnserver opens its first connection before it answers anybody. */
#define UNASKED_MS 10000

/*
 * Before main: one line after UNASKED_MS unless unasked_over() is called. It
 * waits in a thread of its own, in a forked child (turnserver -o) again.
 */
void unasked_begin(void);

/* A connection was opened: nothing will be said. */
void unasked_over(void);

#endif
