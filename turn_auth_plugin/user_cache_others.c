/*
 * Who is not held in memory: does such a user exist, and did somebody log in
 * who had to give way? See user_cache_inside.h.
 */

#include "user_cache_inside.h"

#include <stdlib.h>

/* ---- the censuses ---- */

/* Its hash with the key: tells whether somebody pushed out has a new one. */
static uint64_t hash_with_key(struct user_cache *c, uint64_t hash,
                              const uint8_t *key)
{
    return name_hash(&c->hash_key, ~hash, key, USER_KEY_LEN);
}

static uint64_t slot_hash(struct user_cache *c, const struct user_slot *s)
{
    return name_hash(&c->hash_key, realm_of(&c->realms, s->realm)->hash,
                     user_slot_name(s), s->name_len);
}

static void lose_census(struct user_cache *c)
{
    atomic_store(&c->complete, 0);
    atomic_store(&c->tracked, 0);
    c->left_out = 1;
    census_destroy(c->census);
    census_destroy(c->next_census);
    c->census = c->next_census = NULL;
}

static int count_table(struct user_cache *c, struct census *census,
                       const struct user_table *t, int all)
{
    int fits = 1;

    for (size_t i = 0; i < t->size && fits; i++) {
        const struct user_slot *s = &t->slots[i];

        if (s->realm && (all || has_end(s))) {
            fits = census_add(census, slot_hash(c, s));
        }
    }
    return fits;
}

/* All that are held; of the absent those that will be valid some day. */
static struct census *count_held(struct user_cache *c)
{
    struct census *census = census_create(2 * c->capacity);
    int fits = census != NULL;

    for (size_t i = 0; i < user_cache_shards(c) && fits; i++) {
        struct shard *sh = &c->shards[i];

        pthread_mutex_lock(&sh->lock);
        fits = count_table(c, census, &sh->valid, 1) &&
               count_table(c, census, &sh->absent, 0);
        pthread_mutex_unlock(&sh->lock);
    }
    if (!fits) {
        census_destroy(census);
        return NULL;
    }
    return census;
}

void user_cache_begin_census(struct user_cache *c)
{
    struct census **place = c->resyncing ? &c->next_census : &c->census;
    struct census *census;

    if (!c->resyncing && !atomic_load(&c->tracked)) {
        return;
    }
    c->left_out = 1;
    if (!*place) {
        census = count_held(c);
        pthread_mutex_lock(&c->census_lock);
        *place = census;
        if (!census) {
            lose_census(c);
        }
        pthread_mutex_unlock(&c->census_lock);
    }
    atomic_store(&c->complete, 0);
}

void user_cache_add_to_census(struct user_cache *c, uint64_t hash)
{
    if (!c->census && !c->next_census) {
        return; /* the writer's to read: it alone sets them */
    }
    pthread_mutex_lock(&c->census_lock);
    if ((c->census && !census_add(c->census, hash)) ||
        (c->next_census && !census_add(c->next_census, hash))) {
        lose_census(c);
    }
    pthread_mutex_unlock(&c->census_lock);
}

void user_cache_note_pushed_out(struct user_cache *c, const struct user_slot *s)
{
    uint64_t hash = slot_hash(c, s);

    pthread_mutex_lock(&c->census_lock);
    if (!c->pushed_out) {
        c->pushed_out = census_create(c->capacity / 4);
    }
    if (c->pushed_out) {
        census_add(c->pushed_out, hash);
        census_add(c->pushed_out, hash_with_key(c, hash, s->key));
    }
    pthread_mutex_unlock(&c->census_lock);
}

int user_cache_was_pushed_out(struct user_cache *c, uint64_t hash)
{
    return c->pushed_out && census_has(c->pushed_out, hash);
}

int user_cache_revokes_pushed_out(struct user_cache *c, uint64_t hash,
                                  const struct user_record *r)
{
    return user_cache_was_pushed_out(c, hash) &&
           (r->state != USER_VALID ||
            !census_has(c->pushed_out, hash_with_key(c, hash, r->key)));
}

void user_cache_drop_next_census(struct user_cache *c)
{
    pthread_mutex_lock(&c->census_lock);
    census_destroy(c->next_census);
    c->next_census = NULL;
    pthread_mutex_unlock(&c->census_lock);
}

void user_cache_take_next_census(struct user_cache *c)
{
    pthread_mutex_lock(&c->census_lock);
    census_destroy(c->census);
    c->census = c->next_census;
    c->next_census = NULL;
    pthread_mutex_unlock(&c->census_lock);
}

void user_cache_end_censuses(struct user_cache *c)
{
    census_destroy(c->census);
    census_destroy(c->next_census);
    census_destroy(c->pushed_out);
}

size_t user_cache_census_bytes(struct user_cache *c)
{
    size_t n = 0;

    pthread_mutex_lock(&c->census_lock);
    n += c->census ? census_bytes(c->census) : 0;
    n += c->next_census ? census_bytes(c->next_census) : 0;
    n += c->pushed_out ? census_bytes(c->pushed_out) : 0;
    pthread_mutex_unlock(&c->census_lock);
    return n;
}

/* ---- what is known of the others ---- */

int user_cache_complete(struct user_cache *c)
{
    return atomic_load(&c->complete);
}

enum user_chance user_cache_chance(struct user_cache *c, uint64_t hash)
{
    int tracked = atomic_load(&c->tracked), known, counted;

    if (tracked && atomic_load(&c->complete)) {
        return USER_CHANCE_NONE;
    }
    pthread_mutex_lock(&c->census_lock);
    counted = c->census != NULL;
    known = counted && census_has(c->census, hash);
    pthread_mutex_unlock(&c->census_lock);
    if (known) {
        return USER_CHANCE_GOOD;
    }
    return tracked && counted ? USER_CHANCE_NONE : USER_CHANCE_UNKNOWN;
}

void user_cache_lose_track(struct user_cache *c)
{
    atomic_store(&c->complete, 0);
    atomic_store(&c->tracked, 0);
}
