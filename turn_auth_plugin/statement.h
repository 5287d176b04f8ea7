/*
 * Recognises the SQL statements of coturn that the plugin answers itself,
 * written with literals (coturn 4.5 and 4.6: name='guest') or with parameters
 * (newer: name=$1). Called by libpq_boundary.c for every statement; whatever
 * is not recognised goes to the database as it is.
 */

#ifndef STATEMENT_H
#define STATEMENT_H

#include <stddef.h>

enum statement_kind {
    STATEMENT_OTHER,         /* not ours */
    STATEMENT_USER_KEY,      /* values: user name, realm */
    STATEMENT_REALM_SECRETS, /* value: realm */
    STATEMENT_OAUTH_KEY,     /* value: key ID */
    STATEMENT_PING,          /* auth_ping: every secret, answer unused */
    STATEMENT_ORIGINS,
    STATEMENT_REALM_OPTIONS,
    STATEMENT_ALLOWED_PEERS,
    STATEMENT_DENIED_PEERS,
    STATEMENT_KINDS,
};

#define STATEMENT_MAX_VALUES 2

struct statement_value {
    const char *p;
    size_t len;
};

struct statement {
    enum statement_kind kind;
    struct statement_value values[STATEMENT_MAX_VALUES];
};

/*
 * Fills *s. The values point into text or into params and are as long-lived.
 * params may be NULL when count is 0; a parameter may be NULL (SQL null): then
 * the statement is OTHER. A literal that holds a quote or a backslash is never
 * taken apart: OTHER, too. Letter case and white space do not matter.
 */
void statement_recognise(struct statement *s, const char *text, size_t len,
                         const char *const *params, int count);

#endif
