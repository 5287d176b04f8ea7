/*
 * A binary heap of allocated entries; see expiry_queue.h.
 */

#include "expiry_queue.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ENTRIES 64

struct entry {
    uint32_t realm_len;
    uint16_t name_len;
    uint16_t kind;
    char bytes[]; /* realm, name */
};

/* The time beside the pointer: sifting looks at nothing else. */
struct node {
    int64_t when_ms;
    struct entry *entry;
};

struct expiry_queue {
    pthread_mutex_t lock;
    struct node *nodes; /* under lock, like the rest */
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
        q->limit = limit;
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
    pthread_mutex_destroy(&q->lock);
    free(q);
}

/* ---- the heap; the lock is held ---- */

static int make_room(struct expiry_queue *q)
{
    size_t size = q->size ? q->size + q->size / 2 : FIRST_ENTRIES;
    struct node *nodes;

    if (q->count < q->size) {
        return 1;
    }
    nodes = realloc(q->nodes, size * sizeof(*nodes));
    if (!nodes) {
        return 0;
    }
    q->nodes = nodes;
    q->size = size;
    return 1;
}

static void sift_up(struct node *nodes, size_t i, struct node n)
{
    while (i > 0 && nodes[(i - 1) / 2].when_ms > n.when_ms) {
        nodes[i] = nodes[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    nodes[i] = n;
}

static void sift_down(struct node *nodes, size_t count, struct node n)
{
    size_t i = 0, child;

    while ((child = 2 * i + 1) < count) {
        if (child + 1 < count &&
            nodes[child + 1].when_ms < nodes[child].when_ms) {
            child++;
        }
        if (nodes[child].when_ms >= n.when_ms) {
            break;
        }
        nodes[i] = nodes[child];
        i = child;
    }
    nodes[i] = n;
}

static struct entry *take_first(struct expiry_queue *q)
{
    struct entry *e = q->nodes[0].entry;

    q->count--;
    q->entry_bytes -= sizeof(*e) + e->realm_len + e->name_len;
    if (q->count) {
        sift_down(q->nodes, q->count, q->nodes[q->count]);
    }
    return e;
}

/* ---- what the header says ---- */

static struct entry *make_entry(enum expiry_kind kind,
                                const struct user_name *u)
{
    struct entry *e = malloc(sizeof(*e) + u->realm_len + u->name_len);

    if (e) {
        e->realm_len = (uint32_t)u->realm_len;
        e->name_len = (uint16_t)u->name_len;
        e->kind = (uint16_t)kind;
        memcpy(e->bytes, u->realm, u->realm_len);
        memcpy(e->bytes + u->realm_len, u->name, u->name_len);
    }
    return e;
}

int expiry_queue_add(struct expiry_queue *q, int64_t when_ms,
                     enum expiry_kind kind, const struct user_name *u)
{
    struct entry *e;
    int added;

    if (u->realm_len > USER_REALM_MAX || u->name_len > USER_NAME_MAX) {
        return 0;
    }
    e = make_entry(kind, u);
    if (!e) {
        return 0;
    }
    pthread_mutex_lock(&q->lock);
    added = q->count < q->limit && make_room(q);
    if (added) {
        q->entry_bytes += sizeof(*e) + u->realm_len + u->name_len;
        sift_up(q->nodes, q->count++, (struct node){when_ms, e});
    }
    pthread_mutex_unlock(&q->lock);
    if (!added) {
        free(e);
    }
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
        e = take_first(q);
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
    n = sizeof(*q) + q->size * sizeof(struct node) + q->entry_bytes;
    pthread_mutex_unlock(&q->lock);
    return n;
}
