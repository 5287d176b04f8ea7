/*
 * When is a database away? Not when a connection breaks and the next one works
 * at once; yes when a second attempt fails, when nothing was heard for as long
 * as a look-up may take, and until there is a connection again. Called by
 * store.c for each of its links; asks nobody, and time is passed in.
 */

#ifndef OUTAGE_H
#define OUTAGE_H

#include <stdint.h>

struct outage {
    int64_t patience_ms; /* query_timeout */
    int64_t down_ms;     /* since when there is no connection */
    int64_t away_ms;     /* since when it counts as away */
    int failures;        /* since there was a connection */
    int up;
    int away;
};

/* No connection yet, not away yet. */
void outage_begin(struct outage *o, int64_t patience_ms, int64_t now_ms);
/* There is a connection. Returns how long it was away, -1 if it was not. */
int64_t outage_up(struct outage *o, int64_t now_ms);
/*
 * Each of these returns 1 when it counts as away from now on. An attempt
 * failed, or the connection broke; silent: it was open and did not answer.
 */
int outage_failure(struct outage *o, int silent, int64_t now_ms);
/* Time has passed. */
int outage_tick(struct outage *o, int64_t now_ms);
/* When the next tick can matter; INT64_MAX: never. */
int64_t outage_next_ms(const struct outage *o);

#endif
