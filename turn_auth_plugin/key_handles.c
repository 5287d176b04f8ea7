/*
 * Two tables of one kind, open and decided handles, under one lock; see
 * key_handles.h. A handle is random, so its first bytes are its hash.
 */

#include "key_handles.h"

#include "secret_memory.h"

#include <openssl/rand.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

struct entry {
    key_handle_key handle;
    uint32_t next;   /* in its bucket */
    uint8_t count;   /* of keys; 0: the entry is free */
    uint8_t is_used; /* since the hand came by */
    key_handle_key keys[];
};

/* One block: entries, then as many buckets. */
struct table {
    size_t capacity;
    size_t stride;
    size_t used;
    uint32_t hand; /* the next to give way, unless it is used */
    uint32_t *buckets;
    void *entries;
};

struct key_handles {
    pthread_mutex_t lock;
    atomic_int any;
    struct table open; /* under lock, like the other */
    struct table decided;
};

/* ---- a table ---- */

static void describe(struct table *t, size_t capacity, unsigned keys)
{
    t->capacity = capacity;
    t->stride = sizeof(struct entry) + keys * sizeof(key_handle_key);
}

static size_t size_of(const struct table *t)
{
    return t->capacity * (t->stride + sizeof(uint32_t));
}

static int begin(struct table *t)
{
    if (t->entries) {
        return 1;
    }
    t->entries = secret_memory_get(size_of(t));
    if (!t->entries) {
        return 0;
    }
    t->buckets = (uint32_t *)((char *)t->entries + t->capacity * t->stride);
    memset(t->buckets, 0xff, t->capacity * sizeof(uint32_t));
    return 1;
}

static struct entry *at(const struct table *t, uint32_t i)
{
    return (struct entry *)((char *)t->entries + i * t->stride);
}

static uint32_t *bucket(const struct table *t, const key_handle_key handle)
{
    uint32_t hash;

    memcpy(&hash, handle, sizeof(hash));
    return &t->buckets[hash % t->capacity];
}

/* What points to the entry of a handle; NULL when it has none. */
static uint32_t *place(const struct table *t, const key_handle_key handle)
{
    uint32_t *i = t->entries ? bucket(t, handle) : NULL;

    while (i && *i != NONE &&
           memcmp(at(t, *i)->handle, handle, KEY_HANDLE_LEN) != 0) {
        i = &at(t, *i)->next;
    }
    return i && *i != NONE ? i : NULL;
}

static struct entry *find(const struct table *t, const key_handle_key handle)
{
    uint32_t *i = place(t, handle);

    return i ? at(t, *i) : NULL;
}

static void drop(struct table *t, const key_handle_key handle)
{
    uint32_t *i = place(t, handle);
    struct entry *e;

    if (i) {
        e = at(t, *i);
        *i = e->next;
        explicit_bzero(e, t->stride);
        t->used--;
    }
}

/* The next free place; where there is none, one that was not used for long. */
static uint32_t make_room(struct table *t)
{
    uint32_t i;
    struct entry *e;

    for (;;) {
        i = t->hand;
        e = at(t, i);
        t->hand = (uint32_t)((i + 1) % t->capacity);
        if (e->count == 0) {
            return i;
        }
        if (!e->is_used) {
            drop(t, e->handle);
            return i;
        }
        e->is_used = 0;
    }
}

static void add(struct table *t, const key_handle_key handle,
                const key_handle_key *keys, unsigned count)
{
    uint32_t i = make_room(t), *first = bucket(t, handle);
    struct entry *e = at(t, i);

    memcpy(e->handle, handle, KEY_HANDLE_LEN);
    memcpy(e->keys, keys, count * sizeof(key_handle_key));
    e->count = (uint8_t)count;
    e->next = *first;
    *first = i;
    t->used++;
}

/* ---- both ---- */

struct key_handles *key_handles_create(size_t open, size_t decided)
{
    struct key_handles *k = calloc(1, sizeof(*k));

    if (k) {
        pthread_mutex_init(&k->lock, NULL);
        describe(&k->open, open, KEY_HANDLE_KEYS);
        describe(&k->decided, decided, 1);
    }
    return k;
}

void key_handles_destroy(struct key_handles *k)
{
    secret_memory_give_back(k->open.entries, size_of(&k->open));
    secret_memory_give_back(k->decided.entries, size_of(&k->decided));
    pthread_mutex_destroy(&k->lock);
    free(k);
}

int key_handles_make(struct key_handles *k, key_handle_key handle,
                     const key_handle_key *keys, unsigned count)
{
    int done;

    if (RAND_bytes(handle, KEY_HANDLE_LEN) != 1) {
        return 0;
    }
    pthread_mutex_lock(&k->lock);
    done = begin(&k->open) && begin(&k->decided);
    if (done) {
        add(&k->open, handle, keys, count);
        atomic_store(&k->any, 1);
    }
    pthread_mutex_unlock(&k->lock);
    return done;
}

int key_handles_any(struct key_handles *k)
{
    return atomic_load_explicit(&k->any, memory_order_acquire);
}

unsigned key_handles_find(struct key_handles *k, const key_handle_key handle,
                          key_handle_key keys[KEY_HANDLE_KEYS], int *is_decided)
{
    unsigned count = 0;
    struct entry *e;

    pthread_mutex_lock(&k->lock);
    e = find(&k->decided, handle);
    *is_decided = e != NULL;
    if (e) {
        e->is_used = 1;
    } else {
        e = find(&k->open, handle);
    }
    if (e) {
        count = e->count;
        memcpy(keys, e->keys, count * sizeof(key_handle_key));
    }
    pthread_mutex_unlock(&k->lock);
    return count;
}

void key_handles_decide(struct key_handles *k, const key_handle_key handle,
                        const key_handle_key key)
{
    pthread_mutex_lock(&k->lock);
    if (find(&k->open, handle)) {
        drop(&k->open, handle);
        add(&k->decided, handle, (const key_handle_key *)key, 1);
    }
    pthread_mutex_unlock(&k->lock);
}

void key_handles_drop(struct key_handles *k, const key_handle_key handle)
{
    pthread_mutex_lock(&k->lock);
    drop(&k->open, handle);
    pthread_mutex_unlock(&k->lock);
}

size_t key_handles_count(struct key_handles *k)
{
    size_t n;

    pthread_mutex_lock(&k->lock);
    n = k->open.used + k->decided.used;
    pthread_mutex_unlock(&k->lock);
    return n;
}
