/*
 * A list; see asked.h.
 */

#include "asked.h"

#include <stdlib.h>

int asked_put(struct asked_queue *q, int what, void *which, int64_t now_ms)
{
    struct asked *a = malloc(sizeof(*a));

    if (!a) {
        return -1;
    }
    *a = (struct asked){.what = what, .which = which, .asked_ms = now_ms};
    if (q->last) {
        q->last->next = a;
    } else {
        q->first = a;
    }
    q->last = a;
    q->count++;
    return 0;
}

void asked_drop(struct asked_queue *q)
{
    struct asked *a = q->first;

    q->first = a->next;
    if (!q->first) {
        q->last = NULL;
    }
    q->count--;
    free(a);
}

void asked_drop_all(struct asked_queue *q)
{
    while (q->first) {
        asked_drop(q);
    }
}
