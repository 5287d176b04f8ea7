/*
 * See redis_use.h.
 */

#include "redis_use.h"

/* Two edges may differ by this much in when a thing was. */
#define CLOCKS_MS 200

static int memory_knows_better(const struct user_record *r,
                               const struct user_record *known)
{
    int newer = user_version_compare(known->version, r->version);

    if (known->state == USER_UNKNOWN) {
        return 0;
    }
    return newer > 0 || (newer == 0 && known->read_ms >= r->read_ms);
}

enum redis_use redis_use_of(const struct redis_use_view *v,
                            const struct user_record *r,
                            const struct user_record *known)
{
    int64_t surely_ms = r->read_ms - CLOCKS_MS;

    if (r->state == USER_UNKNOWN || memory_knows_better(r, known)) {
        return REDIS_USE_IGNORE;
    }
    if (v->now_ms - r->read_ms >= v->fresh_ttl_ms) {
        return REDIS_USE_INSTEAD;
    }
    if (v->no_feed) {
        return REDIS_USE_AT_ONCE;
    }
    return surely_ms > v->live_since_ms && surely_ms > v->changed_ms
               ? REDIS_USE_AT_ONCE
               : REDIS_USE_INSTEAD;
}
