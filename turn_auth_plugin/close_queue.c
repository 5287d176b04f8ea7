/*
 * A hash table over two lists, one for first and one for second looks: each is
 * in the order in which its entries become due; see close_queue.h.
 */

#include "close_queue.h"

#include "name_hash.h"

#include <stdlib.h>
#include <string.h>

#define CHAINS 4096

struct list {
    struct close_entry *first, *last;
};

struct close_queue {
    size_t most;
    size_t count;
    struct name_hash_key key;
    struct list looks[2]; /* first looks, second looks */
    struct close_entry *chains[CHAINS];
};

/* ---- lists ---- */

static void append(struct list *l, struct close_entry *e)
{
    e->list_next = NULL;
    e->in_list = 1;
    if (l->last) {
        l->last->list_next = e;
    } else {
        l->first = e;
    }
    l->last = e;
}

static void prepend(struct list *l, struct close_entry *e)
{
    e->list_next = l->first;
    e->in_list = 1;
    l->first = e;
    if (!l->last) {
        l->last = e;
    }
}

static struct close_entry *take_first(struct list *l)
{
    struct close_entry *e = l->first;

    l->first = e->list_next;
    if (!l->first) {
        l->last = NULL;
    }
    e->list_next = NULL;
    e->in_list = 0;
    return e;
}

/* ---- names ---- */

static struct close_entry **chain_of(struct close_queue *q,
                                     const struct user_name *u)
{
    uint64_t realm = name_hash(&q->key, 0, u->realm, u->realm_len);

    return &q->chains[name_hash(&q->key, realm, u->name, u->name_len) % CHAINS];
}

static int same(const struct user_name *a, const struct user_name *b)
{
    return a->realm_len == b->realm_len && a->name_len == b->name_len &&
           memcmp(a->realm, b->realm, a->realm_len) == 0 &&
           memcmp(a->name, b->name, a->name_len) == 0;
}

static struct close_entry *find(struct close_queue *q,
                                const struct user_name *u)
{
    struct close_entry *e = *chain_of(q, u);

    while (e && !same(&e->user, u)) {
        e = e->chain_next;
    }
    return e;
}

static struct close_entry *add(struct close_queue *q, const struct user_name *u)
{
    struct close_entry *e, **chain = chain_of(q, u);

    if (q->count == q->most) {
        return NULL;
    }
    e = calloc(1, sizeof(*e) + u->realm_len + u->name_len);
    if (!e) {
        return NULL;
    }
    memcpy(e->text, u->realm, u->realm_len);
    memcpy(e->text + u->realm_len, u->name, u->name_len);
    e->user = (struct user_name){e->text, u->realm_len, e->text + u->realm_len,
                                 u->name_len};
    e->chain_next = *chain;
    *chain = e;
    q->count++;
    return e;
}

/* An entry that is in no list. */
static void forget(struct close_queue *q, struct close_entry *e)
{
    struct close_entry **at = chain_of(q, &e->user);

    while (*at != e) {
        at = &(*at)->chain_next;
    }
    *at = e->chain_next;
    q->count--;
    free(e);
}

/* ---- the queue ---- */

struct close_queue *close_queue_create(size_t most)
{
    struct close_queue *q = calloc(1, sizeof(*q));

    if (q) {
        q->most = most;
        name_hash_key(&q->key);
    }
    return q;
}

void close_queue_destroy(struct close_queue *q)
{
    for (size_t i = 0; q && i < CHAINS; i++) {
        while (q->chains[i]) {
            struct close_entry *e = q->chains[i];

            q->chains[i] = e->chain_next;
            free(e);
        }
    }
    free(q);
}

int close_queue_put(struct close_queue *q, const struct user_name *u,
                    int64_t now_ms)
{
    struct close_entry *e = find(q, u);

    if (e) {
        e->again = !e->in_list || e->second;
        e->since_ms = now_ms;
        return 0;
    }
    e = add(q, u);
    if (!e) {
        return -1;
    }
    e->since_ms = now_ms;
    e->due_ms = now_ms;
    append(&q->looks[0], e);
    return 0;
}

int64_t close_queue_next_ms(const struct close_queue *q)
{
    int64_t next_ms = INT64_MAX;

    for (int i = 0; i < 2; i++) {
        if (q->looks[i].first && q->looks[i].first->due_ms < next_ms) {
            next_ms = q->looks[i].first->due_ms;
        }
    }
    return next_ms;
}

struct close_entry *close_queue_take(struct close_queue *q, int64_t now_ms)
{
    int64_t next_ms = close_queue_next_ms(q);

    if (next_ms == INT64_MAX || next_ms > now_ms) {
        return NULL;
    }
    return take_first(q->looks[0].first && q->looks[0].first->due_ms == next_ms
                          ? &q->looks[0]
                          : &q->looks[1]);
}

void close_queue_done(struct close_queue *q, struct close_entry *e,
                      int64_t second_ms)
{
    if (e->again) {
        e->again = 0;
        e->second = 0;
        e->due_ms = e->since_ms;
        append(&q->looks[0], e);
    } else if (!e->second) {
        e->second = 1;
        e->due_ms = second_ms;
        append(&q->looks[1], e);
    } else {
        forget(q, e);
    }
}

void close_queue_give_back(struct close_queue *q, struct close_entry *e)
{
    if (e->again) {
        e->again = 0;
        e->second = 0;
    }
    prepend(&q->looks[e->second], e);
}

static size_t expire(struct close_queue *q, struct list *l, int64_t since_ms)
{
    struct list kept = {NULL, NULL};
    size_t before = q->count;

    while (l->first) {
        struct close_entry *e = take_first(l);

        if (e->since_ms < since_ms) {
            forget(q, e);
        } else {
            append(&kept, e);
        }
    }
    *l = kept;
    return before - q->count;
}

size_t close_queue_expire(struct close_queue *q, int64_t since_ms)
{
    expire(q, &q->looks[1], since_ms);
    return expire(q, &q->looks[0], since_ms);
}

size_t close_queue_count(const struct close_queue *q)
{
    return q->count;
}
