/*
 * See redis_refusal.h.
 */

#include "redis_refusal.h"

#define SHORTEST_MS 2000
#define LONGEST_MS 600000
#define SOON_MS 60000

int redis_refusal_refused(struct redis_refusal *r, int64_t now_ms)
{
    r->last_ms = now_ms;
    if (r->holds) {
        return 0;
    }
    if (r->ended_ms && now_ms - r->ended_ms < SOON_MS) {
        r->quiet_ms *= 2;
        if (r->quiet_ms > LONGEST_MS) {
            r->quiet_ms = LONGEST_MS;
        }
    } else {
        r->quiet_ms = SHORTEST_MS;
    }
    r->holds = 1;
    return 1;
}

int redis_refusal_granted(struct redis_refusal *r, int64_t now_ms)
{
    if (!r->holds || now_ms - r->last_ms < r->quiet_ms) {
        return 0;
    }
    r->holds = 0;
    r->ended_ms = now_ms;
    return 1;
}
