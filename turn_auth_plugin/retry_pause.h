/*
 * When to connect again after a connection failed or broke. Called by link.c
 * and redis_link.c; asks nobody, and time is passed in.
 */

#ifndef RETRY_PAUSE_H
#define RETRY_PAUSE_H

#include <stdint.h>

/* All 0: at once, and no failure yet. */
struct retry_pause {
    int64_t until_ms; /* when to connect again */
    int64_t next_ms;  /* how long to wait after the next failure */
};

/*
 * It failed; up_ms is since when it was up, 0: it never was. 100 ms after the
 * second failure in a row, then twice as long each time, 1 s at most. The first
 * one costs no pause, nor does the end of a connection that was good for a
 * second: when the server closed it (a restart, an administrator) it is often
 * back at once, and nobody need notice.
 */
void retry_pause_failed(struct retry_pause *p, int64_t up_ms, int64_t now_ms);
/* There is reason to try at once: another server than the one that failed. */
void retry_pause_end(struct retry_pause *p, int64_t now_ms);

#endif
