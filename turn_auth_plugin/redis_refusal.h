/*
 * Redis answers and refuses: since when, and is it over? Answers of both kinds
 * may alternate for as long as somebody likes; lines about them may not. Called
 * by redis_cache_refusals.c for what is read and for what is written; time is
 * passed in.
 */

#ifndef REDIS_REFUSAL_H
#define REDIS_REFUSAL_H

#include <stdint.h>

/* All zeros at first. */
struct redis_refusal {
    int holds;
    int64_t last_ms;  /* when it was refused last */
    int64_t ended_ms; /* 0: never */
    int64_t quiet_ms; /* so long nothing is refused before it is over */
};

/*
 * A question was refused. Returns 1 when this begins a refusal. One that begins
 * within a minute after the last is held twice as long as that, 10 min at most.
 */
int redis_refusal_refused(struct redis_refusal *r, int64_t now_ms);
/* One was not. Returns 1 when that ends a refusal. */
int redis_refusal_granted(struct redis_refusal *r, int64_t now_ms);

#endif
