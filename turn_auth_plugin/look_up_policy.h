/*
 * What a remembered user is good for. Called by look_up.c before it asks
 * anybody, and again when nobody could be asked.
 */

#ifndef LOOK_UP_POLICY_H
#define LOOK_UP_POLICY_H

#include "settings.h"
#include "user_cache.h"

/* What memory is worth now. */
struct look_up_view {
    int64_t now_ms;       /* monotonic */
    int64_t unix_ms;      /* now, by the database's clock */
    int64_t confirmed_ms; /* monotonic: memory was right then; 0: not known */
    int live; /* changes arrive as they are made: what memory says is so */
};

enum look_up_step {
    LOOK_UP_USE,             /* answer from memory */
    LOOK_UP_USE_AND_REFRESH, /* the same, and ask in the background */
    LOOK_UP_REFUSE,          /* there is no such user, or not now */
    LOOK_UP_ASK,             /* it may well exist: worth any wait */
    LOOK_UP_ASK_IF_CHEAP,    /* nothing speaks for it: see miss_budget.h */
};

/* chance: matters only where r->state is USER_UNKNOWN. */
enum look_up_step look_up_first(const struct settings *s,
                                const struct user_record *r,
                                enum user_chance chance,
                                const struct look_up_view *v);

/* Does the state still hold, by the database's clock? */
int look_up_holds(const struct user_record *r, int64_t unix_ms);

/* Nobody can be asked: is the remembered key still good? */
int look_up_still_good(const struct settings *s, const struct user_record *r,
                       const struct look_up_view *v);

#endif
