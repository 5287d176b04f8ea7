/*
 * Linear probing in the order of homes ("Robin Hood"): nobody is far from home,
 * and a search for somebody who is not there ends soon. It goes through the
 * hashes, sixteen in a cache line, and looks into a slot where one fits. Tables
 * grow by a quarter, so that between 64 and 80 of 100 slots are in use; see
 * user_table.h.
 */

#include "user_table.h"

#include "secret_memory.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_SLOTS 32
/* How many neighbours are compared when one has to give way. */
#define SAMPLE 16

const char *user_slot_name(const struct user_slot *s)
{
    return s->name_len > USER_TABLE_INLINE ? s->name.far : s->name.bytes;
}

static size_t home(const struct user_table *t, uint32_t hash)
{
    return (size_t)((uint64_t)hash * t->size >> 32);
}

static size_t next(const struct user_table *t, size_t i)
{
    return i + 1 == t->size ? 0 : i + 1;
}

/* How far from its home the user in slot i stands. */
static size_t distance(const struct user_table *t, size_t i)
{
    size_t at = home(t, t->hashes[i]);

    return i >= at ? i - at : i + t->size - at;
}

static int is_of(const struct user_slot *s, const struct user_place *p)
{
    return s->realm == p->realm && s->name_len == p->name_len &&
           memcmp(user_slot_name(s), p->name, p->name_len) == 0;
}

/* Nearly all stand that near: so memory is waited for once, not twice. */
static void prefetch_near(const struct user_table *t, size_t i)
{
    for (size_t k = 0; k < 3; k++) {
        __builtin_prefetch(t->slots + i + k);
    }
}

struct user_slot *user_table_find(const struct user_table *t,
                                  const struct user_place *p)
{
    size_t i, steps = 0;

    if (t->count == 0) {
        return NULL;
    }
    i = home(t, p->hash);
    prefetch_near(t, i);
    for (; t->hashes[i]; i = next(t, i)) {
        if (t->hashes[i] == p->hash && is_of(&t->slots[i], p)) {
            return &t->slots[i];
        }
        if (distance(t, i) < steps++) {
            break;
        }
    }
    return NULL;
}

/* ---- adding ---- */

/* All from slot i to the next free one move one slot on. */
static void make_gap(struct user_table *t, size_t i)
{
    size_t end = i, before;

    while (t->hashes[end]) {
        end = next(t, end);
    }
    for (; end != i; end = before) {
        before = end ? end - 1 : t->size - 1;
        t->slots[end] = t->slots[before];
        t->hashes[end] = t->hashes[before];
    }
}

static struct user_slot *put(struct user_table *t, uint32_t hash,
                             const struct user_slot *s)
{
    size_t i = home(t, hash), steps = 0;

    while (t->hashes[i] && distance(t, i) >= steps) {
        i = next(t, i);
        steps++;
    }
    make_gap(t, i);
    t->slots[i] = *s;
    t->hashes[i] = hash;
    return &t->slots[i];
}

static size_t bytes_of(size_t slots)
{
    return slots * (sizeof(struct user_slot) + sizeof(uint32_t));
}

static int grow(struct user_table *t)
{
    struct user_table old = *t;
    size_t size = old.size ? old.size + old.size / 4 : FIRST_SLOTS;
    struct user_slot *slots = secret_memory_get(bytes_of(size));

    if (!slots) {
        return 0;
    }
    t->slots = slots;
    t->hashes = (uint32_t *)(slots + size);
    t->size = size;
    for (size_t i = 0; i < old.size; i++) {
        if (old.hashes[i]) {
            put(t, old.hashes[i], &old.slots[i]);
        }
    }
    secret_memory_give_back(old.slots, bytes_of(old.size));
    return 1;
}

/* What malloc takes for it: its own length, and whole sixteens. */
static size_t far_cost(size_t len)
{
    return (len + sizeof(size_t) + 15) / 16 * 16;
}

static int set_name(struct user_table *t, struct user_slot *s,
                    const struct user_place *p)
{
    s->name_len = p->name_len & 1023;
    if (p->name_len <= USER_TABLE_INLINE) {
        memcpy(s->name.bytes, p->name, p->name_len);
        return 1;
    }
    s->name.far = malloc(p->name_len);
    if (!s->name.far) {
        return 0;
    }
    memcpy(s->name.far, p->name, p->name_len);
    t->far_bytes += far_cost(p->name_len);
    return 1;
}

struct user_slot *user_table_add(struct user_table *t,
                                 const struct user_place *p)
{
    struct user_slot s = {0};

    if (5 * (t->count + 1) > 4 * t->size && !grow(t)) {
        return NULL;
    }
    if (!set_name(t, &s, p)) {
        return NULL;
    }
    s.realm = p->realm & 2047;
    t->count++;
    return put(t, p->hash, &s);
}

/* ---- removing ---- */

/* Moves those that are not at home one slot back. */
static void close_gap(struct user_table *t, size_t gap)
{
    size_t i = next(t, gap);

    while (t->hashes[i] && distance(t, i) > 0) {
        t->slots[gap] = t->slots[i];
        t->hashes[gap] = t->hashes[i];
        gap = i;
        i = next(t, i);
    }
    explicit_bzero(&t->slots[gap], sizeof(t->slots[gap]));
    t->hashes[gap] = 0;
}

void user_table_remove(struct user_table *t, struct user_slot *s)
{
    if (s->name_len > USER_TABLE_INLINE) {
        t->far_bytes -= far_cost(s->name_len);
        free(s->name.far);
    }
    t->count--;
    close_gap(t, (size_t)(s - t->slots));
}

struct user_slot *
user_table_least(struct user_table *t,
                 uint64_t (*rank)(const struct user_slot *s))
{
    struct user_slot *least = NULL;
    uint64_t least_rank = UINT64_MAX;
    size_t seen = 0;

    for (size_t i = 0; i < t->size && seen < SAMPLE; i++) {
        struct user_slot *s = &t->slots[t->hand % t->size];

        t->hand = (t->hand + 1) % t->size;
        if (!s->realm) {
            continue;
        }
        seen++;
        if (rank(s) < least_rank) {
            least_rank = rank(s);
            least = s;
        }
    }
    return least;
}

void user_table_end(struct user_table *t)
{
    for (size_t i = 0; i < t->size; i++) {
        if (t->slots[i].realm && t->slots[i].name_len > USER_TABLE_INLINE) {
            free(t->slots[i].name.far);
        }
    }
    secret_memory_give_back(t->slots, bytes_of(t->size));
}

size_t user_table_bytes(const struct user_table *t)
{
    return bytes_of(t->size) + t->far_bytes;
}
