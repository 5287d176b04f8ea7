/*
 * The look-up of one user: memory, then the store (Redis, PostgreSQL); what an
 * auth worker of coturn calls through user_keys.c. It never takes longer than
 * query_timeout.
 */

#ifndef LOOK_UP_H
#define LOOK_UP_H

#include "miss_budget.h"
#include "store.h"

struct look_up {
    struct store *store;
    const struct settings *settings;
    struct miss_budget budget;
};

void look_up_begin(struct look_up *lu, struct store *st,
                   const struct settings *s);

/*
 * USER_VALID and the key when the user exists. USER_ABSENT: there is no such
 * user; USER_UNKNOWN: it is not known and nobody can be asked; coturn answers
 * 401 to both. has_secret: the name gets in by a secret in any case, and is
 * counted so in the figures.
 */
enum user_state look_up_user(struct look_up *lu, const struct user_name *u,
                             int has_secret, uint8_t key[USER_KEY_LEN]);

#endif
