/*
 * The counters of each minute; see recent_logins.h.
 */

#include "recent_logins.h"

#include <string.h>

#define MINUTE_MS 60000

static void remember(struct recent_logins *r, int64_t now_ms,
                     const uint64_t now[FIGURES_LOGINS])
{
    if (r->used == RECENT_LOGINS_MINUTES) {
        memmove(&r->minutes[0], &r->minutes[1],
                sizeof(r->minutes) - sizeof(r->minutes[0]));
        r->used--;
    }
    r->minutes[r->used].at_ms = now_ms;
    memcpy(r->minutes[r->used].counts, now, sizeof(r->minutes[0].counts));
    r->used++;
}

unsigned recent_logins_at(struct recent_logins *r, int64_t now_ms,
                          const uint64_t now[FIGURES_LOGINS],
                          uint64_t recent[FIGURES_LOGINS])
{
    if (r->used == 0 || now_ms - r->minutes[r->used - 1].at_ms >= MINUTE_MS) {
        remember(r, now_ms, now);
    }
    for (int i = 0; i < FIGURES_LOGINS; i++) {
        recent[i] = now[i] - r->minutes[0].counts[i];
    }
    return (unsigned)((now_ms - r->minutes[0].at_ms) / 1000);
}
