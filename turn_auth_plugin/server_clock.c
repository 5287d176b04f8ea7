/*
 * The quickest answer of late is the best one; see server_clock.h.
 */

#include "server_clock.h"

/* What an older answer loses in worth each time: clocks drift. */
#define AGEING_MS 1

void server_clock_begin(struct server_clock *c, int64_t monotonic_ms,
                        int64_t unix_ms)
{
    atomic_init(&c->ahead_ms, unix_ms - monotonic_ms);
    c->way_ms = INT32_MAX;
}

void server_clock_hear(struct server_clock *c, int64_t asked_ms,
                       int64_t heard_ms, int64_t server_ms)
{
    int64_t way_ms = heard_ms - asked_ms;

    if (way_ms > c->way_ms) {
        c->way_ms += AGEING_MS;
        return;
    }
    c->way_ms = way_ms;
    atomic_store(&c->ahead_ms, server_ms - (asked_ms + way_ms / 2));
}

int64_t server_clock_unix_ms(const struct server_clock *c, int64_t monotonic_ms)
{
    return monotonic_ms + atomic_load(&c->ahead_ms);
}
