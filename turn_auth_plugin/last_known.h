/*
 * The small tables that coturn reads again and again - secrets, OAuth keys,
 * origins, realm options, peer rules - with what was last read of each. Filled
 * by store.c, read by libpq_boundary.c; asks nobody itself.
 */

#ifndef LAST_KNOWN_H
#define LAST_KNOWN_H

#include "rows.h"

#include <stdint.h>

enum last_known_table {
    LAST_KNOWN_SECRETS,       /* value, realm, valid_until_ms (or null) */
    LAST_KNOWN_OAUTH_KEYS,    /* ikm_key, timestamp, lifetime, as_rs_alg,
                                 realm, kid */
    LAST_KNOWN_ORIGINS,       /* origin, realm */
    LAST_KNOWN_REALM_OPTIONS, /* realm, opt, value */
    LAST_KNOWN_ALLOWED_PEERS, /* ip_range, realm */
    LAST_KNOWN_DENIED_PEERS,  /* ip_range, realm */
    LAST_KNOWN_TABLES,
};

struct last_known;

struct last_known *last_known_create(void);

/*
 * The end of one round of reading the tables of the set tried (bit t: table
 * t): rows[t] is what it holds, or NULL when it could not be read and the older
 * value stays. Peer rules are taken over only when both of their tables were
 * read. Takes the caller's hold of each.
 */
void last_known_round(struct last_known *k, unsigned tried,
                      struct rows *rows[LAST_KNOWN_TABLES], int64_t read_ms);

/*
 * The rows of a table, held for the caller, and when they were read; NULL when
 * it was never read.
 */
struct rows *last_known_get(struct last_known *k, enum last_known_table t,
                            int64_t *read_ms);

/* Waits until a table was tried once, at most until until_ms (monotonic). */
void last_known_wait(struct last_known *k, enum last_known_table t,
                     int64_t until_ms);

#endif
