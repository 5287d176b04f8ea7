/*
 * Reading all users, and sweeping out who is gone; see user_cache.h.
 */

#include "user_cache_inside.h"

static void forget_given(struct user_table *t)
{
    for (size_t i = 0; i < t->size; i++) {
        t->slots[i].given = 0;
    }
}

void user_cache_begin_resync(struct user_cache *c, int64_t begin_ms)
{
    user_cache_lose_track(c);
    user_cache_drop_next_census(c);
    atomic_fetch_add(&c->guard_of_all, 1);
    c->resyncing = 1;
    c->left_out = 0;
    c->begin_ms = begin_ms;
    for (size_t i = 0; i < user_cache_shards(c); i++) {
        struct shard *sh = &c->shards[i];

        pthread_mutex_lock(&sh->lock);
        forget_given(&sh->valid);
        forget_given(&sh->absent);
        pthread_mutex_unlock(&sh->lock);
    }
}

enum user_stored user_cache_resync(struct user_cache *c,
                                   const struct user_name *u,
                                   const struct user_record *r)
{
    return user_cache_store_as(c, u, SNAPSHOT, r->read_ms, r);
}

/* Keeps the name of one who is to be swept, and was logged in. */
struct swept {
    struct user_name name;
    char bytes[USER_REALM_MAX + USER_NAME_MAX + 2];
};

/* From slot *i on, up to one that was logged in: then 1, and it is in *gone. */
static int sweep_valid(struct user_cache *c, struct shard *sh, size_t *i,
                       struct swept *gone)
{
    int found = 0;

    pthread_mutex_lock(&sh->lock);
    while (*i < sh->valid.size && !found) {
        struct user_slot *s = &sh->valid.slots[*i];

        if (!s->realm || s->given) {
            ++*i;
            continue;
        }
        if (s->used_s) {
            user_cache_copy_name(c, s, gone->bytes, &gone->name);
            found = 1;
        }
        user_cache_remove_valid(c, sh, s);
    }
    pthread_mutex_unlock(&sh->lock);
    return found;
}

static void sweep_absent(struct user_cache *c, struct shard *sh)
{
    size_t i = 0;

    pthread_mutex_lock(&sh->lock);
    while (i < sh->absent.size) {
        struct user_slot *s = &sh->absent.slots[i];

        if (!s->realm || s->given) {
            i++;
        } else {
            user_cache_remove_absent(c, sh, s);
        }
    }
    pthread_mutex_unlock(&sh->lock);
}

static void sweep(struct user_cache *c,
                  void (*revoked)(void *owner, const struct user_name *u),
                  void *owner)
{
    struct swept gone;
    size_t slot;

    for (size_t i = 0; i < user_cache_shards(c); i++) {
        slot = 0;
        while (sweep_valid(c, &c->shards[i], &slot, &gone)) {
            revoked(owner, &gone.name);
        }
        sweep_absent(c, &c->shards[i]);
    }
}

int user_cache_end_resync(struct user_cache *c,
                          void (*revoked)(void *owner,
                                          const struct user_name *u),
                          void *owner)
{
    sweep(c, revoked, owner);
    c->resyncing = 0;
    user_cache_take_next_census(c);
    atomic_store(&c->tracked, !c->left_out || c->census);
    atomic_store(&c->complete, !c->left_out);
    return !c->left_out;
}

void user_cache_break_resync(struct user_cache *c)
{
    c->resyncing = 0;
    user_cache_drop_next_census(c);
}
