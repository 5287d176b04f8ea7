/*
 * When the validity of users ends or begins, earliest first. Auth workers add
 * (through user_cache.c), the store thread takes. Time is passed in; one lock.
 */

#ifndef EXPIRY_QUEUE_H
#define EXPIRY_QUEUE_H

#include "user_name.h"

#include <stdint.h>

enum expiry_kind {
    EXPIRY_ENDS,   /* valid_until: relays are to be closed */
    EXPIRY_BEGINS, /* valid_from */
};

/* One that has come. */
struct expiry {
    int64_t when_ms;
    enum expiry_kind kind;
    struct user_name name; /* points into bytes; each with a 0 at its end */
    char bytes[USER_REALM_MAX + USER_NAME_MAX + 2];
};

struct expiry_queue;

/* Holds so many, the earlier ones. NULL when there is no memory. */
struct expiry_queue *expiry_queue_create(size_t limit);
void expiry_queue_destroy(struct expiry_queue *q);

/*
 * when_ms: unix time. Of a user who is there already the time becomes this one.
 * Returns 0 when it was not added: the queue is full of earlier ones, there is
 * no memory, or the name is longer than user_name.h allows.
 */
int expiry_queue_add(struct expiry_queue *q, int64_t when_ms,
                     enum expiry_kind kind, const struct user_name *u);
/* When the next comes (unix ms); INT64_MAX when there is none. */
int64_t expiry_queue_next_ms(struct expiry_queue *q);
/* Takes one whose time has come, if any: returns 1 and fills *e. */
int expiry_queue_take(struct expiry_queue *q, int64_t now_ms, struct expiry *e);

size_t expiry_queue_count(struct expiry_queue *q);
size_t expiry_queue_bytes(struct expiry_queue *q);

#endif
