/*
 * A list under one lock, a condition for each look-up; see pending.h. There
 * are few at a time: one for each auth worker, and a bounded number in the
 * background.
 */

#include "pending.h"

#include "monotonic.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BACKGROUND 256

enum progress { NEW, AT_REDIS, FOR_DATABASE, AT_DATABASE, FINISHED };

struct pending_look_up {
    struct pending_look_up *next;
    enum progress progress;
    int given_up; /* who waits must not wait any longer */
    int waiters;
    pthread_cond_t finished;
    struct user_record answer; /* before the end: what there is instead */
    enum pending_source source;
    uint64_t guard;
    struct user_name name;
    char bytes[]; /* realm, 0, name, 0 */
};

struct pending {
    pthread_mutex_t lock;
    struct pending_look_up *first; /* under lock, like the rest */
    struct pending_look_up **last;
    int count;
};

struct pending *pending_create(void)
{
    struct pending *q = calloc(1, sizeof(*q));

    if (q) {
        pthread_mutex_init(&q->lock, NULL);
        q->last = &q->first;
    }
    return q;
}

/* ---- the list; the lock is held ---- */

static int same_name(const struct user_name *a, const struct user_name *b)
{
    return a->name_len == b->name_len && a->realm_len == b->realm_len &&
           memcmp(a->name, b->name, a->name_len) == 0 &&
           memcmp(a->realm, b->realm, a->realm_len) == 0;
}

static struct pending_look_up *find(struct pending *q,
                                    const struct user_name *u)
{
    struct pending_look_up *l = q->first;

    while (l && !same_name(&l->name, u)) {
        l = l->next;
    }
    return l;
}

static void begin_condition(pthread_cond_t *c)
{
    pthread_condattr_t monotonic;

    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(c, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

static struct pending_look_up *add(struct pending *q, const struct user_name *u)
{
    struct pending_look_up *l =
        calloc(1, sizeof(*l) + u->realm_len + u->name_len + 2);

    if (!l) {
        return NULL;
    }
    memcpy(l->bytes, u->realm, u->realm_len);
    memcpy(l->bytes + u->realm_len + 1, u->name, u->name_len);
    l->name = (struct user_name){l->bytes, u->realm_len,
                                 l->bytes + u->realm_len + 1, u->name_len};
    begin_condition(&l->finished);
    *q->last = l;
    q->last = &l->next;
    q->count++;
    return l;
}

static void unlink_one(struct pending *q, struct pending_look_up *l)
{
    struct pending_look_up **p = &q->first;

    while (*p != l) {
        p = &(*p)->next;
    }
    *p = l->next;
    if (!l->next) {
        q->last = p;
    }
    q->count--;
}

static void free_look_up(struct pending_look_up *l)
{
    pthread_cond_destroy(&l->finished);
    explicit_bzero(&l->answer, sizeof(l->answer));
    free(l);
}

static void finish(struct pending *q, struct pending_look_up *l,
                   const struct user_record *r, enum pending_source source)
{
    unlink_one(q, l);
    l->progress = FINISHED;
    if (r->state != USER_UNKNOWN) {
        l->answer = *r;
        l->source = source;
    }
    if (l->waiters) {
        pthread_cond_broadcast(&l->finished);
    } else {
        free_look_up(l);
    }
}

/* ---- auth workers ---- */

struct pending_look_up *pending_join(struct pending *q,
                                     const struct user_name *u, int *is_new)
{
    struct pending_look_up *l;

    pthread_mutex_lock(&q->lock);
    l = find(q, u);
    *is_new = !l;
    if (!l) {
        l = add(q, u);
    }
    if (l) {
        l->waiters++;
    }
    pthread_mutex_unlock(&q->lock);
    return l;
}

int pending_wait(struct pending *q, struct pending_look_up *l, int64_t until_ms,
                 struct user_record *r, enum pending_source *source)
{
    struct timespec until = monotonic_timespec(until_ms);
    int answered;

    pthread_mutex_lock(&q->lock);
    while (l->progress != FINISHED && !l->given_up &&
           pthread_cond_timedwait(&l->finished, &q->lock, &until) == 0) {
    }
    l->waiters--;
    answered = l->answer.state != USER_UNKNOWN;
    if (answered) {
        *r = l->answer;
        *source = l->source;
    }
    if (l->progress == FINISHED && l->waiters == 0) {
        free_look_up(l);
    }
    pthread_mutex_unlock(&q->lock);
    return answered;
}

int pending_ask_later(struct pending *q, const struct user_name *u)
{
    int added = 0;

    pthread_mutex_lock(&q->lock);
    if (q->count < MAX_BACKGROUND && !find(q, u)) {
        added = add(q, u) != NULL;
    }
    pthread_mutex_unlock(&q->lock);
    return added;
}

/* ---- the store thread ---- */

struct pending_look_up *pending_take(struct pending *q,
                                     enum pending_stage stage)
{
    enum progress from = stage == PENDING_NEW ? NEW : FOR_DATABASE;
    struct pending_look_up *l;

    pthread_mutex_lock(&q->lock);
    l = q->first;
    while (l && l->progress != from) {
        l = l->next;
    }
    if (l) {
        l->progress = from == NEW ? AT_REDIS : AT_DATABASE;
    }
    pthread_mutex_unlock(&q->lock);
    return l;
}

void pending_put_back(struct pending *q, struct pending_look_up *l,
                      enum pending_stage stage)
{
    pthread_mutex_lock(&q->lock);
    l->progress = stage == PENDING_NEW ? NEW : FOR_DATABASE;
    pthread_mutex_unlock(&q->lock);
}

void pending_set_instead(struct pending *q, struct pending_look_up *l,
                         const struct user_record *r)
{
    pthread_mutex_lock(&q->lock);
    l->answer = *r;
    l->source = PENDING_REDIS;
    pthread_mutex_unlock(&q->lock);
}

struct user_name pending_name(const struct pending_look_up *l)
{
    return l->name;
}

void pending_set_guard(struct pending_look_up *l, uint64_t guard)
{
    l->guard = guard;
}

uint64_t pending_guard(const struct pending_look_up *l)
{
    return l->guard;
}

void pending_finish(struct pending *q, struct pending_look_up *l,
                    const struct user_record *r, enum pending_source source)
{
    pthread_mutex_lock(&q->lock);
    finish(q, l, r, source);
    pthread_mutex_unlock(&q->lock);
}

void pending_send_again(struct pending *q)
{
    pthread_mutex_lock(&q->lock);
    for (struct pending_look_up *l = q->first; l; l = l->next) {
        if (l->progress == AT_DATABASE) {
            l->progress = FOR_DATABASE;
        }
        l->given_up = 0;
    }
    pthread_mutex_unlock(&q->lock);
}

void pending_give_up(struct pending *q, int keep_new)
{
    static const struct user_record none;
    struct pending_look_up *l, *next;

    pthread_mutex_lock(&q->lock);
    for (l = q->first; l; l = next) {
        next = l->next;
        if (l->progress == FOR_DATABASE || (l->progress == NEW && !keep_new)) {
            finish(q, l, &none, PENDING_DATABASE);
        } else if (l->progress == AT_DATABASE) {
            l->given_up = 1;
            pthread_cond_broadcast(&l->finished);
        }
    }
    pthread_mutex_unlock(&q->lock);
}

void pending_go_on(struct pending *q)
{
    pthread_mutex_lock(&q->lock);
    for (struct pending_look_up *l = q->first; l; l = l->next) {
        l->given_up = 0;
    }
    pthread_mutex_unlock(&q->lock);
}
