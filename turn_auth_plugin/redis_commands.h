/*
 * The commands that Redis is asked, and what stands in them. Called by
 * redis_cache_users.c and redis_cache_sweep.c. The Redis user needs +ping
 * +select +getrange +set +del +eval for keys that begin with redis_prefix.
 */

#ifndef REDIS_COMMANDS_H
#define REDIS_COMMANDS_H

#include "redis_link.h"
#include "sealed_value.h"

/* Bytes of a key or a value; they belong to the caller. */
struct redis_bytes {
    const void *p;
    size_t len;
};

/*
 * All as redis_link_ask(): 0, or -1. A user's value; never more of it than
 * shows that it is none. Answered with a string, empty when there is none.
 */
int redis_ask_get(struct redis_link *l, void *which, struct redis_bytes key);

enum redis_put {
    REDIS_PUT_ALWAYS,
    REDIS_PUT_OVER, /* only where there is one already */
};

/*
 * Puts a value for ttl_ms unless there is a later one, which is the answer
 * then; nil: it was put. bad: what does not count if that is what is there
 * (len 0: all count). Where Redis has no room, what was there is removed.
 */
int redis_ask_put(struct redis_link *l, void *which, struct redis_bytes key,
                  const uint8_t value[SEALED_VALUE_LEN], int64_t ttl_ms,
                  struct redis_bytes bad, enum redis_put how);

/*
 * Keeps a mark for ttl_ms: OK, or nil when it is not there (any more). anew:
 * makes it.
 */
int redis_ask_mark(struct redis_link *l, void *which, struct redis_bytes key,
                   int64_t ttl_ms, int anew);

#endif
