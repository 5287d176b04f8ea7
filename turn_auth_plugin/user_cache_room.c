/*
 * Who gives way when the cache of users is full; see user_cache_inside.h.
 */

#include "user_cache_inside.h"

static uint64_t rank_used(const struct user_slot *s)
{
    return s->used_s;
}

static uint64_t rank_unused(const struct user_slot *s)
{
    return s->used_s ? UINT64_MAX : 0;
}

static uint64_t rank_unused_not_given(const struct user_slot *s)
{
    return s->used_s || s->given ? UINT64_MAX : 0;
}

static uint64_t rank_never_were(const struct user_slot *s)
{
    return has_end(s) || is_known(version_of(s)) ? UINT64_MAX : s->used_s;
}

static uint64_t rank_absent(const struct user_slot *s)
{
    return has_end(s) ? UINT64_MAX
                      : (uint64_t)is_known(version_of(s)) << 32 | s->used_s;
}

void user_cache_remove_valid(struct user_cache *c, struct shard *sh,
                             struct user_slot *s)
{
    user_table_remove(&sh->valid, s);
    atomic_fetch_sub(&c->valid_count, 1);
}

void user_cache_remove_absent(struct user_cache *c, struct shard *sh,
                              struct user_slot *s)
{
    user_table_remove(&sh->absent, s);
    atomic_fetch_sub(&c->absent_count, 1);
}

/* A login finds room always; a shard without users may make it one too many. */
int user_cache_room_for_user(struct user_cache *c, struct shard *sh,
                             enum source source)
{
    struct user_slot *s;

    if (atomic_load(&c->valid_count) < c->capacity) {
        return 1;
    }
    s = user_table_least(&sh->valid,
                         source == ANSWER ? rank_used
                         : source == FEED ? rank_unused
                                          : rank_unused_not_given);
    if (!s) {
        return source == ANSWER;
    }
    if (s->used_s) {
        user_cache_note_pushed_out(c, s);
    }
    user_cache_remove_valid(c, sh, s);
    return 1;
}

int user_cache_room_for_absent(struct user_cache *c, struct shard *sh,
                               const struct user_record *r)
{
    int never_was = !is_known(r->version);
    struct user_slot *s;

    if (atomic_load(&c->absent_count) < c->absent_capacity) {
        return 1;
    }
    s = user_table_least(&sh->absent,
                         never_was ? rank_never_were : rank_absent);
    if (s) {
        user_cache_remove_absent(c, sh, s);
    }
    return s || sh->absent.count == 0;
}
