/*
 * fresh_ttl, stale_ttl and negative_ttl applied; see look_up_policy.h.
 */

#include "look_up_policy.h"

/*
 * From three quarters of fresh_ttl on, a user who logs in is asked for in the
 * background, so that one in use never has to wait for the database.
 */
static int64_t refresh_age_ms(const struct settings *s)
{
    return s->fresh_ttl_ms - s->fresh_ttl_ms / 4;
}

enum look_up_step look_up_first(const struct settings *s,
                                const struct user_record *r, int64_t now_ms)
{
    int64_t age_ms = now_ms - r->read_ms;

    if (r->state == USER_VALID && age_ms < s->fresh_ttl_ms) {
        return age_ms < refresh_age_ms(s) ? LOOK_UP_USE
                                          : LOOK_UP_USE_AND_REFRESH;
    }
    if (r->state == USER_ABSENT && age_ms < s->negative_ttl_ms) {
        return LOOK_UP_USE;
    }
    return LOOK_UP_ASK;
}

int look_up_still_good(const struct settings *s, const struct user_record *r,
                       int64_t now_ms)
{
    int64_t age_ms = now_ms - r->read_ms;

    return r->state == USER_VALID &&
           (age_ms < s->fresh_ttl_ms || age_ms < s->stale_ttl_ms);
}
