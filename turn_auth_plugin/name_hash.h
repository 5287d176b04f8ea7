/*
 * A keyed hash (SipHash-1-3) of user names, so that nobody outside can choose
 * names that meet in one place of the cache. Called by user_cache.c.
 */

#ifndef NAME_HASH_H
#define NAME_HASH_H

#include <stddef.h>
#include <stdint.h>

struct name_hash_key {
    uint64_t k[2];
};

/* A random key; one for the life of a table. */
void name_hash_key(struct name_hash_key *key);

uint64_t name_hash(const struct name_hash_key *key, uint64_t seed,
                   const void *p, size_t len);

#endif
