/*
 * Statements that the plugin does not answer itself go to the database over a
 * connection of their own, as they would without the plugin, but never for
 * ever: turnadmin's and the admin web's inserts, updates and lists. Called by
 * libpq_boundary.c in the thread that asks.
 */

#ifndef PASS_THROUGH_H
#define PASS_THROUGH_H

#include <libpq-fe.h>

/* How long connecting to a host may take, and how long it may be silent. */
#define PASS_THROUGH_CONNECT_MS 5000
#define PASS_THROUGH_SILENCE_MS 10000

struct pass_through {
    PGconn *conn; /* NULL: not connected */
    char error[512];
};

/* A statement as PQexec (params 0, text only) or PQexecParams gets it. */
struct pass_through_statement {
    const char *text;
    int has_params;
    int count;
    const Oid *types;
    const char *const *values;
    const int *lengths;
    const int *formats;
    int result_format;
};

/* Connects now rather than with the first statement; 1, or 0 and p->error. */
int pass_through_connect(struct pass_through *p, const char *conninfo);
/*
 * The last result, as PQexec's; or NULL when the database cannot be reached or
 * stays silent. p->error says why, in the way of PQerrorMessage; it is empty
 * after a success.
 */
PGresult *pass_through(struct pass_through *p, const char *conninfo,
                       const struct pass_through_statement *s);
void pass_through_end(struct pass_through *p);

#endif
