/*
 * What a remembered user is good for, by age. Called by look_up.c before it
 * asks anybody and again when nobody could be asked.
 */

#ifndef LOOK_UP_POLICY_H
#define LOOK_UP_POLICY_H

#include "settings.h"
#include "user_cache.h"

enum look_up_step {
    LOOK_UP_USE,             /* answer from memory */
    LOOK_UP_USE_AND_REFRESH, /* the same, and ask in the background */
    LOOK_UP_ASK,             /* ask the database, then see */
};

enum look_up_step look_up_first(const struct settings *s,
                                const struct user_record *r, int64_t now_ms);

/* Nobody can be asked: is the remembered key still good? */
int look_up_still_good(const struct settings *s, const struct user_record *r,
                       int64_t now_ms);

#endif
