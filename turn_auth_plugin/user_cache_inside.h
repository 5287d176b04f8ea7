/*
 * What the files of the cache of users share: user_cache.c (finding and
 * storing), user_cache_room.c (who gives way), user_cache_others.c (who is not
 * held, but exists) and user_cache_resync.c (reading all users). Nobody else
 * includes it; see user_cache.h.
 */

#ifndef USER_CACHE_INSIDE_H
#define USER_CACHE_INSIDE_H

#include "user_cache.h"

#include "census.h"
#include "name_hash.h"
#include "realm_numbers.h"
#include "user_table.h"

#include <pthread.h>
#include <stdatomic.h>

#define GUARDS 65536

struct shard {
    _Alignas(64) pthread_mutex_t lock;
    struct user_table valid; /* under lock, like absent */
    struct user_table absent;
};

/* "The writer" is the store thread, which alone stores. */
struct user_cache {
    struct name_hash_key hash_key;
    struct realm_numbers realms; /* the writer adds */
    size_t capacity;
    size_t absent_capacity;
    atomic_size_t valid_count; /* the writer changes them */
    atomic_size_t absent_count;
    struct expiry_queue *expiries;

    atomic_int tracked;  /* a resync has ended, and no gap since */
    atomic_int complete; /* and nobody was left out */
    pthread_mutex_t census_lock;
    struct census *census;      /* under census_lock; NULL: all are held */
    struct census *next_census; /* the same, of the resync under way */
    struct census *pushed_out;  /* the same: who was logged in, with key */

    int resyncing; /* the writer's, like the next two */
    int left_out;  /* somebody was, in the resync under way */
    int64_t begin_ms;

    atomic_uint guard_of_all;
    atomic_uint guards[GUARDS];
    unsigned shard_bits;
    struct shard *shards;
};

/* Who says so: decides what counts as newer, and who gives way. */
enum source { ANSWER, FEED, SNAPSHOT };

/* A user name as the cache wants it. */
struct where {
    uint64_t hash;
    struct shard *shard;
    struct user_place place; /* its realm is 0 where it cannot be held */
    const struct user_name *u;
};

/* ---- user_cache.c ---- */

void user_cache_locate(struct user_cache *c, const struct user_name *u, int add,
                       struct where *w);
enum user_stored user_cache_store_as(struct user_cache *c,
                                     const struct user_name *u,
                                     enum source source, int64_t now_ms,
                                     const struct user_record *r);
/* Both with a 0 at the end, into USER_REALM_MAX + USER_NAME_MAX + 2 bytes. */
void user_cache_copy_name(struct user_cache *c, const struct user_slot *s,
                          char *buffer, struct user_name *u);

static inline size_t user_cache_shards(const struct user_cache *c)
{
    return (size_t)1 << c->shard_bits;
}

static inline int has_end(const struct user_slot *s)
{
    return s->valid_until_ms < (uint64_t)USER_TABLE_MAX_MS;
}

static inline struct user_version version_of(const struct user_slot *s)
{
    return (struct user_version){s->epoch, s->number};
}

static inline int is_known(struct user_version v)
{
    return v.epoch || v.number;
}

/* ---- user_cache_room.c; the shard's lock is held ---- */

void user_cache_remove_valid(struct user_cache *c, struct shard *sh,
                             struct user_slot *s);
void user_cache_remove_absent(struct user_cache *c, struct shard *sh,
                              struct user_slot *s);
/* Is there room for one more, or did somebody give way? */
int user_cache_room_for_user(struct user_cache *c, struct shard *sh,
                             enum source source);
int user_cache_room_for_absent(struct user_cache *c, struct shard *sh,
                               const struct user_record *r);

/* ---- user_cache_others.c; but for the chance, the writer calls them ---- */

/*
 * From now on not every user is held. Called before one gives way, so that
 * whoever is not found is in the census; with no lock held.
 */
void user_cache_begin_census(struct user_cache *c);
/*
 * Of somebody who is not in the shard. The shard's lock is held, without which
 * nobody comes into it or gives way.
 */
enum user_chance user_cache_chance(struct user_cache *c, uint64_t hash);
/* This user exists, or will. */
void user_cache_add_to_census(struct user_cache *c, uint64_t hash);
/* That of a resync takes the other's place, or is forgotten. */
void user_cache_take_next_census(struct user_cache *c);
void user_cache_drop_next_census(struct user_cache *c);
void user_cache_end_censuses(struct user_cache *c);
size_t user_cache_census_bytes(struct user_cache *c);

/* Somebody who logged in gives way. */
void user_cache_note_pushed_out(struct user_cache *c,
                                const struct user_slot *s);
int user_cache_was_pushed_out(struct user_cache *c, uint64_t hash);
/* Somebody who is not remembered: logged in once, and with another key? */
int user_cache_revokes_pushed_out(struct user_cache *c, uint64_t hash,
                                  const struct user_record *r);

#endif
