/*
 * The cache of users: two sets (users with a key, absent names), each of
 * independently locked open-addressing tables with linear probing; see
 * user_cache.h. A slot has 64 bytes, tables grow by a third, so a user with a
 * short name costs 80 to 107 bytes.
 */

#include "user_cache.h"

#include "name_hash.h"
#include "secret_memory.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define TABLES 64
#define FIRST_SLOTS 64
#define INLINE_NAME 24
#define MAX_REALMS 1024
/* How many neighbours are compared when one has to give way. */
#define SAMPLE 16

struct slot {
    uint32_t hash;
    uint16_t realm; /* number of the realm, from 1; 0: the slot is free */
    uint16_t name_len;
    uint32_t used_s; /* when it was last looked up */
    uint32_t reserved;
    int64_t read_ms;
    uint8_t key[USER_KEY_LEN];
    union {
        char bytes[INLINE_NAME];
        char *far; /* names longer than INLINE_NAME */
    } name;
};

_Static_assert(sizeof(struct slot) == 64, "a slot is one cache line");

struct table {
    pthread_mutex_t lock;
    struct slot *slots; /* under lock, like the rest */
    size_t size;
    size_t count;
    size_t hand; /* where the search for one to give way begins */
    size_t far_bytes;
};

struct set {
    size_t capacity;
    atomic_size_t count;
    struct table tables[TABLES];
};

struct user_cache {
    struct name_hash_key hash_key;
    struct set valid;
    struct set absent;
    pthread_rwlock_t realms_lock;
    unsigned realms_count; /* under realms_lock, like realms */
    struct {
        char name[USER_REALM_MAX + 1];
        size_t len;
    } realms[MAX_REALMS];
};

/* A user name as the tables want it. */
struct where {
    uint32_t hash;
    unsigned table;
    uint16_t realm;
    const char *name;
    size_t name_len;
};

/* ---- realms ---- */

static unsigned find_realm(struct user_cache *c, const struct user_name *u)
{
    for (unsigned i = 0; i < c->realms_count; i++) {
        if (c->realms[i].len == u->realm_len &&
            memcmp(c->realms[i].name, u->realm, u->realm_len) == 0) {
            return i + 1;
        }
    }
    return 0;
}

static unsigned add_realm(struct user_cache *c, const struct user_name *u)
{
    unsigned n = find_realm(c, u);

    if (n || c->realms_count == MAX_REALMS) {
        return n;
    }
    n = c->realms_count++;
    memcpy(c->realms[n].name, u->realm, u->realm_len);
    c->realms[n].len = u->realm_len;
    return n + 1;
}

/* The number of a realm; 0 when it is not known and not to be added. */
static unsigned realm_number(struct user_cache *c, const struct user_name *u,
                             int add)
{
    unsigned n;

    pthread_rwlock_rdlock(&c->realms_lock);
    n = find_realm(c, u);
    pthread_rwlock_unlock(&c->realms_lock);
    if (n || !add) {
        return n;
    }
    pthread_rwlock_wrlock(&c->realms_lock);
    n = add_realm(c, u);
    pthread_rwlock_unlock(&c->realms_lock);
    return n;
}

/* Fills *w; 0 when such a name is not, or cannot be, remembered. */
static int locate(struct user_cache *c, const struct user_name *u, int add,
                  struct where *w)
{
    uint64_t hash;

    if (u->name_len > USER_NAME_MAX || u->realm_len > USER_REALM_MAX) {
        return 0;
    }
    w->realm = (uint16_t)realm_number(c, u, add);
    if (!w->realm) {
        return 0;
    }
    hash = name_hash(&c->hash_key, w->realm, u->name, u->name_len);
    w->hash = (uint32_t)hash;
    w->table = (unsigned)(hash >> 32) % TABLES;
    w->name = u->name;
    w->name_len = u->name_len;
    return 1;
}

/* ---- slots of one table; its lock is held ---- */

static const char *slot_name(const struct slot *s)
{
    return s->name_len > INLINE_NAME ? s->name.far : s->name.bytes;
}

static size_t home(const struct table *t, uint32_t hash)
{
    return (size_t)((uint64_t)hash * t->size >> 32);
}

static size_t next(const struct table *t, size_t i)
{
    return i + 1 == t->size ? 0 : i + 1;
}

static struct slot *find_slot(const struct table *t, const struct where *w)
{
    size_t i;

    if (t->count == 0) {
        return NULL;
    }
    for (i = home(t, w->hash); t->slots[i].realm; i = next(t, i)) {
        struct slot *s = &t->slots[i];

        if (s->hash == w->hash && s->realm == w->realm &&
            s->name_len == w->name_len &&
            memcmp(slot_name(s), w->name, w->name_len) == 0) {
            return s;
        }
    }
    return NULL;
}

static void put_slot(struct table *t, const struct slot *s)
{
    size_t i = home(t, s->hash);

    while (t->slots[i].realm) {
        i = next(t, i);
    }
    t->slots[i] = *s;
}

static int grow(struct table *t)
{
    size_t old_size = t->size;
    struct slot *old = t->slots;
    size_t size = old_size ? old_size + old_size / 3 : FIRST_SLOTS;
    struct slot *slots = secret_memory_get(size * sizeof(*slots));

    if (!slots) {
        return -1;
    }
    t->slots = slots;
    t->size = size;
    for (size_t i = 0; i < old_size; i++) {
        if (old[i].realm) {
            put_slot(t, &old[i]);
        }
    }
    secret_memory_give_back(old, old_size * sizeof(*old));
    return 0;
}

/* Moves what was displaced back over the freed slot (no tombstones). */
static void close_gap(struct table *t, size_t gap)
{
    size_t i = gap, at;

    for (;;) {
        i = next(t, i);
        if (!t->slots[i].realm) {
            break;
        }
        at = home(t, t->slots[i].hash);
        /* Does the way from its home to i lead over the gap? */
        if ((i > gap) ? (at <= gap || at > i) : (at <= gap && at > i)) {
            t->slots[gap] = t->slots[i];
            gap = i;
        }
    }
    explicit_bzero(&t->slots[gap], sizeof(t->slots[gap]));
}

static void remove_slot(struct set *set, struct table *t, struct slot *s)
{
    if (s->name_len > INLINE_NAME) {
        t->far_bytes -= s->name_len;
        free(s->name.far);
    }
    t->count--;
    atomic_fetch_sub(&set->count, 1);
    close_gap(t, (size_t)(s - t->slots));
}

/* Of the next few, the one that was not looked up for longest gives way. */
static void make_room(struct set *set, struct table *t)
{
    struct slot *oldest = NULL;
    size_t seen = 0;

    for (size_t i = 0; i < t->size && seen < SAMPLE; i++) {
        struct slot *s = &t->slots[t->hand % t->size];

        t->hand = (t->hand + 1) % t->size;
        if (s->realm) {
            seen++;
            if (!oldest || (int32_t)(s->used_s - oldest->used_s) < 0) {
                oldest = s;
            }
        }
    }
    if (oldest) {
        remove_slot(set, t, oldest);
    }
}

static struct slot *add_slot(struct set *set, struct table *t,
                             const struct where *w)
{
    struct slot s = {.hash = w->hash, .realm = w->realm};

    if (atomic_load(&set->count) >= set->capacity) {
        make_room(set, t);
    }
    if (5 * (t->count + 1) > 4 * t->size && grow(t) != 0) {
        return NULL;
    }
    s.name_len = (uint16_t)w->name_len;
    if (w->name_len > INLINE_NAME) {
        s.name.far = malloc(w->name_len);
        if (!s.name.far) {
            return NULL;
        }
        memcpy(s.name.far, w->name, w->name_len);
        t->far_bytes += w->name_len;
    } else {
        memcpy(s.name.bytes, w->name, w->name_len);
    }
    put_slot(t, &s);
    t->count++;
    atomic_fetch_add(&set->count, 1);
    return find_slot(t, w);
}

/* ---- sets ---- */

static int find_in(struct set *set, const struct where *w, int64_t now_ms,
                   struct user_record *r)
{
    struct table *t = &set->tables[w->table];
    struct slot *s;

    pthread_mutex_lock(&t->lock);
    s = find_slot(t, w);
    if (s) {
        s->used_s = (uint32_t)(now_ms / 1000);
        r->read_ms = s->read_ms;
        memcpy(r->key, s->key, USER_KEY_LEN);
    }
    pthread_mutex_unlock(&t->lock);
    return s != NULL;
}

/* Returns 0 when it holds something newer already. */
static int store_in(struct set *set, const struct where *w, int64_t now_ms,
                    const struct user_record *r)
{
    struct table *t = &set->tables[w->table];
    struct slot *s;
    int newer;

    pthread_mutex_lock(&t->lock);
    s = find_slot(t, w);
    newer = !s || s->read_ms <= r->read_ms;
    if (!s) {
        s = add_slot(set, t, w);
    }
    if (s && newer) {
        s->used_s = (uint32_t)(now_ms / 1000);
        s->read_ms = r->read_ms;
        memcpy(s->key, r->key, USER_KEY_LEN);
    }
    pthread_mutex_unlock(&t->lock);
    return newer;
}

static void remove_from(struct set *set, const struct where *w)
{
    struct table *t = &set->tables[w->table];
    struct slot *s;

    pthread_mutex_lock(&t->lock);
    s = find_slot(t, w);
    if (s) {
        remove_slot(set, t, s);
    }
    pthread_mutex_unlock(&t->lock);
}

static void begin_set(struct set *set, size_t capacity)
{
    set->capacity = capacity;
    for (int i = 0; i < TABLES; i++) {
        pthread_mutex_init(&set->tables[i].lock, NULL);
    }
}

static void end_set(struct set *set)
{
    for (int i = 0; i < TABLES; i++) {
        struct table *t = &set->tables[i];

        for (size_t j = 0; j < t->size; j++) {
            if (t->slots[j].realm && t->slots[j].name_len > INLINE_NAME) {
                free(t->slots[j].name.far);
            }
        }
        secret_memory_give_back(t->slots, t->size * sizeof(struct slot));
        pthread_mutex_destroy(&t->lock);
    }
}

/* ---- what the header says ---- */

struct user_cache *user_cache_create(size_t capacity)
{
    struct user_cache *c = calloc(1, sizeof(*c));

    if (!c) {
        return NULL;
    }
    name_hash_key(&c->hash_key);
    begin_set(&c->valid, capacity);
    begin_set(&c->absent, capacity / 8 < 64 ? 64 : capacity / 8);
    pthread_rwlock_init(&c->realms_lock, NULL);
    return c;
}

void user_cache_destroy(struct user_cache *c)
{
    end_set(&c->valid);
    end_set(&c->absent);
    pthread_rwlock_destroy(&c->realms_lock);
    free(c);
}

void user_cache_find(struct user_cache *c, const struct user_name *u,
                     int64_t now_ms, struct user_record *r)
{
    struct where w;

    memset(r, 0, sizeof(*r));
    if (!locate(c, u, 0, &w)) {
        return;
    }
    if (find_in(&c->valid, &w, now_ms, r)) {
        r->state = USER_VALID;
    } else if (find_in(&c->absent, &w, now_ms, r)) {
        r->state = USER_ABSENT;
    }
}

void user_cache_store(struct user_cache *c, const struct user_name *u,
                      int64_t now_ms, const struct user_record *r)
{
    struct user_record other;
    struct where w;

    if (!locate(c, u, 1, &w)) {
        return;
    }
    if (r->state == USER_VALID) {
        if (store_in(&c->valid, &w, now_ms, r)) {
            remove_from(&c->absent, &w);
        }
    } else if (r->state == USER_ABSENT) {
        if (find_in(&c->valid, &w, now_ms, &other) &&
            other.read_ms > r->read_ms) {
            return;
        }
        remove_from(&c->valid, &w);
        store_in(&c->absent, &w, now_ms, r);
    }
    explicit_bzero(&other, sizeof(other));
}

size_t user_cache_count(struct user_cache *c, enum user_state state)
{
    return atomic_load(state == USER_VALID ? &c->valid.count
                                           : &c->absent.count);
}

static size_t set_bytes(struct set *set)
{
    size_t n = 0;

    for (int i = 0; i < TABLES; i++) {
        pthread_mutex_lock(&set->tables[i].lock);
        n += set->tables[i].size * sizeof(struct slot) +
             set->tables[i].far_bytes;
        pthread_mutex_unlock(&set->tables[i].lock);
    }
    return n;
}

size_t user_cache_bytes(struct user_cache *c)
{
    return sizeof(*c) + set_bytes(&c->valid) + set_bytes(&c->absent);
}
