/*
 * Records of users into sealed values for Redis, and out of them. A record's
 * times are those of this machine's monotonic clock, a value's those of
 * PostgreSQL's clock. Keeps the seal keys as their file has them. Owned by
 * redis_cache.c; the store thread's.
 */

#ifndef USER_SEALS_H
#define USER_SEALS_H

#include "seal_key_file.h"
#include "sealed_value.h"
#include "settings.h"

struct user_seals {
    const struct settings *s;
    struct seal_key_file keys;
    int64_t key_check_ms; /* when to look at the file again (monotonic) */
    int64_t ahead_ms;     /* of this machine's clock: PostgreSQL's */
};

/*
 * Takes the keys of the settings, which must live on, and says in a line which
 * they are. 0, or -1 with what is wrong in error.
 */
int user_seals_begin(struct user_seals *us, const struct settings *s,
                     char *error, size_t error_size);

/*
 * To be called from key_check_ms on: 1 when there are other keys in the file
 * from now on, which a line says, as it does when they are bad.
 */
int user_seals_check_keys(struct user_seals *us, int64_t now_ms);

/* How long a value is of use after PostgreSQL was known to say so. */
int64_t user_seals_lifetime_ms(const struct user_seals *us);

struct user_seal {
    uint8_t value[SEALED_VALUE_LEN];
    struct user_version version;
    int64_t expires_ms; /* PostgreSQL's clock */
};

/* Seals what *rec, of a state that is known, says. 0, or -1. */
int user_seals_seal(const struct user_seals *us, const struct user_name *u,
                    const struct user_record *rec, struct user_seal *seal);
/* How long it is still of use; <= 0: no longer. */
int64_t user_seals_ttl_ms(const struct user_seals *us,
                          const struct user_seal *seal);

/*
 * Opens. *rec is USER_UNKNOWN unless SEALED_OPENED, and the caller's to wipe.
 * opened_by: the number of the key that did, 0 for the one that seals.
 */
enum sealed_result user_seals_open(const struct user_seals *us,
                                   const struct user_name *u, const void *value,
                                   size_t len, struct user_record *rec,
                                   size_t *opened_by);

#endif
