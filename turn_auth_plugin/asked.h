/*
 * The questions asked on a connection and not answered yet: answers come in the
 * order of the questions and do not say to which they belong. Called by link.c
 * and redis_link.c; asks nobody, and time is passed in.
 */

#ifndef ASKED_H
#define ASKED_H

#include <stddef.h>
#include <stdint.h>

struct asked {
    struct asked *next;
    int what; /* the caller's, as is which */
    void *which;
    int answered; /* its owner was told something: what comes is too late */
    int64_t asked_ms;
};

struct asked_queue {
    struct asked *first; /* the next answer is to this one */
    struct asked *last;
    size_t count;
};

/* Returns 0, or -1 when there is no memory. */
int asked_put(struct asked_queue *q, int what, void *which, int64_t now_ms);
/* The first one, of which there must be one, was answered. */
void asked_drop(struct asked_queue *q);
void asked_drop_all(struct asked_queue *q);

#endif
