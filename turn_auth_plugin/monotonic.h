/*
 * The clock of all deadlines and ages: it never jumps. Called wherever I/O or
 * coturn comes in; the pure parts get the time as an argument.
 */

#ifndef MONOTONIC_H
#define MONOTONIC_H

#include <stdint.h>
#include <time.h>

static inline int64_t monotonic_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static inline int64_t monotonic_ms(void)
{
    return monotonic_us() / 1000;
}

static inline int64_t monotonic_earlier(int64_t a_ms, int64_t b_ms)
{
    return a_ms < b_ms ? a_ms : b_ms;
}

/* For pthread_cond_timedwait on a CLOCK_MONOTONIC condition. */
static inline struct timespec monotonic_timespec(int64_t ms)
{
    return (struct timespec){.tv_sec = (time_t)(ms / 1000),
                             .tv_nsec = (long)(ms % 1000) * 1000000};
}

#endif
