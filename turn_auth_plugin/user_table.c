/*
 * Linear probing in the order of homes ("Robin Hood"): nobody is far from home,
 * and a search for somebody who is not there ends soon. Tables grow by a
 * quarter, so that between 64 and 80 of 100 slots are in use; see
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
    size_t at = home(t, t->slots[i].hash);

    return i >= at ? i - at : i + t->size - at;
}

struct user_slot *user_table_find(const struct user_table *t,
                                  const struct user_place *p)
{
    size_t i, steps = 0;

    if (t->count == 0) {
        return NULL;
    }
    for (i = home(t, p->hash); t->slots[i].realm; i = next(t, i)) {
        struct user_slot *s = &t->slots[i];

        if (s->hash == p->hash && s->realm == p->realm &&
            s->name_len == p->name_len &&
            memcmp(user_slot_name(s), p->name, p->name_len) == 0) {
            return s;
        }
        if (distance(t, i) < steps++) {
            break;
        }
    }
    return NULL;
}

/* ---- adding ---- */

static struct user_slot *put(struct user_table *t, const struct user_slot *s)
{
    struct user_slot moving = *s, displaced, *put = NULL;
    size_t i = home(t, s->hash), steps = 0;

    for (; t->slots[i].realm; i = next(t, i), steps++) {
        size_t here = distance(t, i);

        if (here < steps) {
            displaced = t->slots[i];
            t->slots[i] = moving;
            moving = displaced;
            steps = here;
            put = put ? put : &t->slots[i];
        }
    }
    t->slots[i] = moving;
    explicit_bzero(&moving, sizeof(moving));
    explicit_bzero(&displaced, sizeof(displaced));
    return put ? put : &t->slots[i];
}

static int grow(struct user_table *t)
{
    size_t old_size = t->size;
    struct user_slot *old = t->slots;
    size_t size = old_size ? old_size + old_size / 4 : FIRST_SLOTS;
    struct user_slot *slots = secret_memory_get(size * sizeof(*slots));

    if (!slots) {
        return 0;
    }
    t->slots = slots;
    t->size = size;
    for (size_t i = 0; i < old_size; i++) {
        if (old[i].realm) {
            put(t, &old[i]);
        }
    }
    secret_memory_give_back(old, old_size * sizeof(*old));
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
    struct user_slot s = {.hash = p->hash};

    if (5 * (t->count + 1) > 4 * t->size && !grow(t)) {
        return NULL;
    }
    if (!set_name(t, &s, p)) {
        return NULL;
    }
    s.realm = p->realm & 2047;
    t->count++;
    return put(t, &s);
}

/* ---- removing ---- */

/* Moves those that are not at home one slot back. */
static void close_gap(struct user_table *t, size_t gap)
{
    size_t i = next(t, gap);

    while (t->slots[i].realm && distance(t, i) > 0) {
        t->slots[gap] = t->slots[i];
        gap = i;
        i = next(t, i);
    }
    explicit_bzero(&t->slots[gap], sizeof(t->slots[gap]));
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

struct user_slot *user_table_least(struct user_table *t,
                                   uint64_t (*rank)(const struct user_slot *s,
                                                    uint32_t resync),
                                   uint32_t resync)
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
        if (rank(s, resync) < least_rank) {
            least_rank = rank(s, resync);
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
    secret_memory_give_back(t->slots, t->size * sizeof(struct user_slot));
}

size_t user_table_bytes(const struct user_table *t)
{
    return t->size * sizeof(struct user_slot) + t->far_bytes;
}
