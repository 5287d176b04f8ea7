/*
 * The secrets of time-limited users, as last read from turn_secret: those of
 * one realm that are valid now. Called by user_keys.c and answer.c; pure.
 */

#ifndef REALM_SECRETS_H
#define REALM_SECRETS_H

#include "rows.h"

#include <stdint.h>

/* The columns of LAST_KNOWN_SECRETS; a plain coturn table has no third. */
enum { SECRET_VALUE, SECRET_REALM, SECRET_VALID_UNTIL_MS };

/*
 * 1 when the row is a secret of this realm, is not empty and has not expired;
 * *until_ms (unix time; INT64_MAX: no end) says when it does.
 */
int realm_secrets_valid(const struct rows *rows, size_t row, const char *realm,
                        size_t realm_len, int64_t now_ms, int64_t *until_ms);

/*
 * Fills at most max secrets, those that last longest first (a secret that was
 * rotated has an end, the new one has none). Returns how many there are.
 */
size_t realm_secrets_pick(struct rows_cell *secrets, size_t max,
                          const struct rows *rows, const char *realm,
                          size_t realm_len, int64_t now_ms);

#endif
