/*
 * Redis between memory and PostgreSQL: what is known of users, sealed
 * (sealed_value.h), shared by all edges. Owned and driven by the store thread
 * (store.c) as a link is, and not waited for longer than redis_timeout while
 * there is PostgreSQL. What a value may be used for is the store's to decide.
 */

#ifndef REDIS_CACHE_H
#define REDIS_CACHE_H

#include "settings.h"
#include "user_cache.h"

#include <poll.h>
#include <stdint.h>

struct redis_cache;

/*
 * What the owner is told, from within redis_cache_step() alone. Records hold
 * keys: wipe copies. read_ms in them is when PostgreSQL was known to say so,
 * on this machine's monotonic clock (it may be before the machine started, < 0,
 * and is never in the future). A value is told only until its seal expires,
 * stale_ttl after that (fresh_ttl where that is longer).
 */
struct redis_events {
    /*
     * The answer to redis_cache_get(), exactly one each; which is the caller's.
     * State USER_UNKNOWN: Redis holds nothing that opens, or did not say so in
     * time. USER_ABSENT: a tombstone.
     */
    void (*answer)(void *owner, void *which, const struct user_record *r);
    /*
     * Redis did not take a state of this user because it holds one of a later
     * version (of another edge): *r. The name is the callee's to read until it
     * returns. May be NULL.
     */
    void (*newer)(void *owner, const struct user_name *u,
                  const struct user_record *r);
};

/*
 * Connects with the first step. *s, in which redis is set, and *users must live
 * as long. NULL with what is wrong in error: the seal keys, or no memory.
 */
struct redis_cache *redis_cache_create(const struct settings *s,
                                       struct user_cache *users,
                                       const struct redis_events *events,
                                       void *owner, char *error,
                                       size_t error_size);

/* Is there a connection that answers in time? Else nobody need wait for it. */
int redis_cache_usable(const struct redis_cache *r);

/* Asks for a user. 0: answer() will come; -1: not usable, ask PostgreSQL. */
int redis_cache_get(struct redis_cache *r, const struct user_name *u,
                    void *which);

/*
 * Fills: u is, or is not, what *rec says, as PostgreSQL said at rec->read_ms
 * (monotonic). Never replaces a later state (version, then time). When it
 * cannot be sent now, a sweep follows. USER_UNKNOWN does nothing; of names that
 * never were (absent, no version) nothing is kept, but what Redis had of them.
 */
void redis_cache_put(struct redis_cache *r, const struct user_name *u,
                     const struct user_record *rec);

/*
 * What memory holds was confirmed by the feed as of then (monotonic; 0: by no
 * feed): what is swept was known at the later of this and its read_ms.
 */
void redis_cache_confirmed(struct redis_cache *r, int64_t confirmed_ms);

/*
 * PostgreSQL is away (1) or back (0): while nobody else can be asked, an answer
 * of Redis may take as long as query_timeout.
 */
void redis_cache_alone(struct redis_cache *r, int alone);

/* How far PostgreSQL's clock is ahead of this machine's; 0 until known. */
void redis_cache_clock(struct redis_cache *r, int64_t ahead_ms);

/*
 * Puts all that memory holds, a bounded number a second, from now on; without
 * this each user is put again every quarter of stale_ttl, and all at once after
 * Redis was away or has lost its values. To be called after a warm-up.
 */
void redis_cache_sweep(struct redis_cache *r);

/* As for a link: what to poll for (fd -1: nothing), when to step, a step. */
struct pollfd redis_cache_poll(struct redis_cache *r);
int64_t redis_cache_next_ms(const struct redis_cache *r);
void redis_cache_step(struct redis_cache *r, int64_t now_ms);

#endif
