/*
 * A binary heap of allocated entries, and a hash table that finds the entry of
 * a user; see expiry_queue.h.
 */

#include "expiry_queue.h"

#include "name_hash.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ENTRIES 64
/* Among so many the latest gives way when the queue is full. */
#define SAMPLE 16

struct entry {
    struct entry *next; /* in its bucket */
    uint32_t hash;
    uint32_t at; /* which node is its own */
    uint16_t realm_len;
    uint16_t name_len;
    uint16_t kind;
    char bytes[]; /* realm, name */
};

_Static_assert(USER_REALM_MAX <= UINT16_MAX && USER_NAME_MAX <= UINT16_MAX,
               "lengths fit");

/* The time beside the pointer: sifting compares nothing else. */
struct node {
    int64_t when_ms;
    struct entry *entry;
};

struct expiry_queue {
    pthread_mutex_t lock;
    struct name_hash_key hash_key;
    struct node *nodes;     /* under lock, like the rest */
    struct entry **buckets; /* as many as nodes */
    size_t size;
    size_t count;
    size_t limit;
    size_t entry_bytes;
};

struct expiry_queue *expiry_queue_create(size_t limit)
{
    struct expiry_queue *q = calloc(1, sizeof(*q));

    if (q) {
        pthread_mutex_init(&q->lock, NULL);
        name_hash_key(&q->hash_key);
        q->limit = limit < UINT32_MAX ? limit : UINT32_MAX;
    }
    return q;
}

void expiry_queue_destroy(struct expiry_queue *q)
{
    if (!q) {
        return;
    }
    for (size_t i = 0; i < q->count; i++) {
        free(q->nodes[i].entry);
    }
    free(q->nodes);
    free(q->buckets);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

/* ---- whose entry is where; the lock is held, as in all up to the header's */

static struct entry **bucket_of(struct expiry_queue *q, uint32_t hash)
{
    return &q->buckets[(uint64_t)hash * q->size >> 32];
}

static void link_entry(struct expiry_queue *q, struct entry *e)
{
    struct entry **bucket = bucket_of(q, e->hash);

    e->next = *bucket;
    *bucket = e;
}

static void unlink_entry(struct expiry_queue *q, const struct entry *e)
{
    struct entry **link = bucket_of(q, e->hash);

    while (*link != e) {
        link = &(*link)->next;
    }
    *link = e->next;
}

static int is_of(const struct entry *e, const struct entry *x)
{
    return e->hash == x->hash && e->kind == x->kind &&
           e->realm_len == x->realm_len && e->name_len == x->name_len &&
           memcmp(e->bytes, x->bytes, (size_t)e->realm_len + e->name_len) == 0;
}

/* The one of the same user and kind; NULL when there is none. */
static struct entry *same_as(struct expiry_queue *q, const struct entry *x)
{
    struct entry *e = q->size ? *bucket_of(q, x->hash) : NULL;

    while (e && !is_of(e, x)) {
        e = e->next;
    }
    return e;
}

static int make_room(struct expiry_queue *q)
{
    size_t size = q->size ? q->size + q->size / 2 : FIRST_ENTRIES;
    struct node *nodes;
    struct entry **buckets;

    if (q->count < q->size) {
        return 1;
    }
    buckets = calloc(size, sizeof(struct entry *));
    nodes = buckets ? realloc(q->nodes, size * sizeof(*nodes)) : NULL;
    if (!nodes) {
        free(buckets);
        return 0;
    }
    free(q->buckets);
    q->nodes = nodes;
    q->buckets = buckets;
    q->size = size;
    for (size_t i = 0; i < q->count; i++) {
        link_entry(q, nodes[i].entry);
    }
    return 1;
}

/* ---- the heap ---- */

static void put(struct expiry_queue *q, size_t i, struct node n)
{
    q->nodes[i] = n;
    n.entry->at = (uint32_t)i;
}

static void sift_up(struct expiry_queue *q, size_t i, struct node n)
{
    while (i > 0 && q->nodes[(i - 1) / 2].when_ms > n.when_ms) {
        put(q, i, q->nodes[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    put(q, i, n);
}

static void sift_down(struct expiry_queue *q, size_t i, struct node n)
{
    const struct node *nodes = q->nodes;
    size_t child;

    while ((child = 2 * i + 1) < q->count) {
        if (child + 1 < q->count &&
            nodes[child + 1].when_ms < nodes[child].when_ms) {
            child++;
        }
        if (nodes[child].when_ms >= n.when_ms) {
            break;
        }
        put(q, i, nodes[child]);
        i = child;
    }
    put(q, i, n);
}

/* From place i on, whose node is to be given up. */
static void settle(struct expiry_queue *q, size_t i, struct node n)
{
    if (i > 0 && q->nodes[(i - 1) / 2].when_ms > n.when_ms) {
        sift_up(q, i, n);
    } else {
        sift_down(q, i, n);
    }
}

static size_t bytes_of(const struct entry *e)
{
    return sizeof(*e) + e->realm_len + e->name_len;
}

static struct entry *take_from(struct expiry_queue *q, size_t i)
{
    struct entry *e = q->nodes[i].entry;

    unlink_entry(q, e);
    q->entry_bytes -= bytes_of(e);
    q->count--;
    if (i < q->count) {
        settle(q, i, q->nodes[q->count]);
    }
    return e;
}

/* One of the latest: those are among the last nodes. */
static size_t a_late_one(const struct expiry_queue *q)
{
    size_t latest = q->count - 1;

    for (size_t i = q->count; i-- > 0 && i + SAMPLE >= q->count;) {
        if (q->nodes[i].when_ms > q->nodes[latest].when_ms) {
            latest = i;
        }
    }
    return latest;
}

/* Is there room for one at that time, or did a later one give way? */
static int room_at(struct expiry_queue *q, int64_t when_ms)
{
    size_t late;

    if (q->count < q->limit) {
        return make_room(q);
    }
    if (!q->count) {
        return 0;
    }
    late = a_late_one(q);
    if (q->nodes[late].when_ms <= when_ms) {
        return 0;
    }
    free(take_from(q, late));
    return 1;
}

/* ---- what the header says ---- */

static struct entry *make_entry(const struct expiry_queue *q,
                                enum expiry_kind kind,
                                const struct user_name *u)
{
    struct entry *e = malloc(sizeof(*e) + u->realm_len + u->name_len);

    if (e) {
        e->realm_len = (uint16_t)u->realm_len;
        e->name_len = (uint16_t)u->name_len;
        e->kind = (uint16_t)kind;
        memcpy(e->bytes, u->realm, u->realm_len);
        memcpy(e->bytes + u->realm_len, u->name, u->name_len);
        e->hash = (uint32_t)name_hash(&q->hash_key, u->realm_len, e->bytes,
                                      u->realm_len + u->name_len);
    }
    return e;
}

/* e is the queue's from now on, or freed. */
static int add_entry(struct expiry_queue *q, int64_t when_ms, struct entry *e)
{
    struct entry *before = same_as(q, e);

    if (before) {
        settle(q, before->at, (struct node){when_ms, before});
    } else if (room_at(q, when_ms)) {
        q->entry_bytes += bytes_of(e);
        link_entry(q, e);
        sift_up(q, q->count++, (struct node){when_ms, e});
        return 1;
    }
    free(e);
    return before != NULL;
}

int expiry_queue_add(struct expiry_queue *q, int64_t when_ms,
                     enum expiry_kind kind, const struct user_name *u)
{
    struct entry *e;
    int added;

    if (u->realm_len > USER_REALM_MAX || u->name_len > USER_NAME_MAX) {
        return 0;
    }
    e = make_entry(q, kind, u);
    if (!e) {
        return 0;
    }
    pthread_mutex_lock(&q->lock);
    added = add_entry(q, when_ms, e);
    pthread_mutex_unlock(&q->lock);
    return added;
}

int64_t expiry_queue_next_ms(struct expiry_queue *q)
{
    int64_t next_ms;

    pthread_mutex_lock(&q->lock);
    next_ms = q->count ? q->nodes[0].when_ms : INT64_MAX;
    pthread_mutex_unlock(&q->lock);
    return next_ms;
}

static void fill(struct expiry *x, const struct entry *e)
{
    char *name = x->bytes + e->realm_len + 1;

    memcpy(x->bytes, e->bytes, e->realm_len);
    x->bytes[e->realm_len] = '\0';
    memcpy(name, e->bytes + e->realm_len, e->name_len);
    name[e->name_len] = '\0';
    x->kind = (enum expiry_kind)e->kind;
    x->name = (struct user_name){x->bytes, e->realm_len, name, e->name_len};
}

int expiry_queue_take(struct expiry_queue *q, int64_t now_ms, struct expiry *x)
{
    struct entry *e = NULL;

    pthread_mutex_lock(&q->lock);
    if (q->count && q->nodes[0].when_ms <= now_ms) {
        x->when_ms = q->nodes[0].when_ms;
        e = take_from(q, 0);
    }
    pthread_mutex_unlock(&q->lock);
    if (!e) {
        return 0;
    }
    fill(x, e);
    free(e);
    return 1;
}

size_t expiry_queue_count(struct expiry_queue *q)
{
    size_t n;

    pthread_mutex_lock(&q->lock);
    n = q->count;
    pthread_mutex_unlock(&q->lock);
    return n;
}

size_t expiry_queue_bytes(struct expiry_queue *q)
{
    size_t n;

    pthread_mutex_lock(&q->lock);
    n = sizeof(*q) + q->entry_bytes +
        q->size * (sizeof(struct node) + sizeof(struct entry *));
    pthread_mutex_unlock(&q->lock);
    return n;
}
