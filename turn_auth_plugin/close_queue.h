/*
 * The users whose relays are to be closed, each once: a first look at once, a
 * second one a little later. Called by relay_closer.c, under its lock; time is
 * passed in.
 */

#ifndef CLOSE_QUEUE_H
#define CLOSE_QUEUE_H

#include "user_name.h"

#include <stddef.h>
#include <stdint.h>

struct close_queue;

struct close_entry {
    struct user_name user; /* its text is the entry's */
    int64_t due_ms;
    int64_t since_ms; /* when it was last put in */
    int second;       /* this is the second look */
    int in_list;      /* 0: taken, and not given back yet */
    int again;        /* put in meanwhile: a first look follows */
    struct close_entry *list_next, *chain_next;
    char text[];
};

/* At most so many names. NULL when there is no memory. */
struct close_queue *close_queue_create(size_t most);
void close_queue_destroy(struct close_queue *q);

/*
 * A first look at this user, due now. A name that is there already is looked at
 * once more. 0, or -1 when the queue is full or there is no memory.
 */
int close_queue_put(struct close_queue *q, const struct user_name *u,
                    int64_t now_ms);

/* When the next look is due; INT64_MAX: nothing is to do. */
int64_t close_queue_next_ms(const struct close_queue *q);

/* The entry that is due longest; NULL when none is. It stays the queue's. */
struct close_entry *close_queue_take(struct close_queue *q, int64_t now_ms);

/*
 * A look is over. A first one is followed by a second one at second_ms, a
 * second one by nothing - unless the name was put in again meanwhile.
 */
void close_queue_done(struct close_queue *q, struct close_entry *e,
                      int64_t second_ms);
/* The look could not be had: the same entry, due again at once. */
void close_queue_give_back(struct close_queue *q, struct close_entry *e);

/*
 * Forgets entries that were put in before since_ms; how many of them have not
 * yet had a first look.
 */
size_t close_queue_expire(struct close_queue *q, int64_t since_ms);

size_t close_queue_count(const struct close_queue *q);

#endif
