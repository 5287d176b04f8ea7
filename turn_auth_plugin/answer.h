/*
 * Results as libpq's PQexec would return them, made from what the plugin
 * knows; coturn reads and clears them like any other. Called by
 * libpq_boundary.c.
 */

#ifndef ANSWER_H
#define ANSWER_H

#include "hmackey.h"
#include "rows.h"

#include <libpq-fe.h>

/* Each returns NULL when there is no memory, which coturn takes as an error. */

/* No rows, with columns of these names. */
PGresult *answer_nothing(unsigned columns, const char *const *names);
/* One row, column hmackey. */
PGresult *answer_key(const uint8_t key[HMACKEY_LEN]);
/*
 * The first columns of the rows whose cell in filter_column is the filter;
 * filter NULL: of all rows.
 */
PGresult *answer_rows(unsigned columns, const char *const *names,
                      const struct rows *rows, unsigned filter_column,
                      const char *filter, size_t filter_len);
/* The secrets of a realm that are valid at now_ms (unix time), column value. */
PGresult *answer_secrets(const struct rows *rows, const char *realm,
                         size_t realm_len, int64_t now_ms);
/* Peer ranges that hold every IPv4 and IPv6 address, IPv4-mapped ones too. */
PGresult *answer_every_peer(void);

/* Overwrites the values of a result that holds keys, before it is freed. */
void answer_wipe(PGresult *res);

#endif
