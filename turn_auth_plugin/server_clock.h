/*
 * The database server's clock, which says when a user's validity ends, known
 * from what the server says its time is. Fed by the store thread, read by auth
 * workers; time is passed in.
 */

#ifndef SERVER_CLOCK_H
#define SERVER_CLOCK_H

#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

/* This machine's clock: unix time. */
static inline int64_t own_unix_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

struct server_clock {
    /* Unix time minus monotonic time; read by anyone. */
    _Atomic int64_t ahead_ms;
    /* The store thread's: how inexact it is. */
    int64_t way_ms;
};

/* Until the server has said anything: this machine's clock. */
void server_clock_begin(struct server_clock *c, int64_t monotonic_ms,
                        int64_t unix_ms);
/*
 * The server said it was server_ms, some time between asked and heard (both
 * monotonic). The quicker the answer, the more it counts.
 */
void server_clock_hear(struct server_clock *c, int64_t asked_ms,
                       int64_t heard_ms, int64_t server_ms);
/* The server's unix time at a monotonic time. */
int64_t server_clock_unix_ms(const struct server_clock *c,
                             int64_t monotonic_ms);

#endif
