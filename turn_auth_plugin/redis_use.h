/*
 * What a user's state from Redis is good for: it may have been put there before
 * a change that this edge knows of, or should. Called by user_questions.c; time
 * is passed in.
 */

#ifndef REDIS_USE_H
#define REDIS_USE_H

#include "user_cache.h"

enum redis_use {
    REDIS_USE_IGNORE,  /* memory knows better */
    REDIS_USE_INSTEAD, /* ask the database; go by this if it does not answer */
    REDIS_USE_AT_ONCE,
};

/* What is known of the database, all times monotonic. */
struct redis_use_view {
    int64_t now_ms;
    int64_t fresh_ttl_ms;
    /* There is no change feed to wait for: a standby, or plain tables. */
    int no_feed;
    int64_t live_since_ms; /* of the feed; INT64_MAX: it is not */
    int64_t changed_ms; /* the last change that may be this user's; 0: none */
};

/*
 * r: from Redis, read_ms says when the database was known to say so; known:
 * what memory holds, perhaps USER_UNKNOWN.
 */
enum redis_use redis_use_of(const struct redis_use_view *v,
                            const struct user_record *r,
                            const struct user_record *known);

#endif
