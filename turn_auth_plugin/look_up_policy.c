/*
 * fresh_ttl, stale_ttl, negative_ttl and the feed applied; see
 * look_up_policy.h.
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

static int64_t age_of(const struct user_record *r, const struct look_up_view *v)
{
    return v->now_ms -
           (r->read_ms > v->confirmed_ms ? r->read_ms : v->confirmed_ms);
}

int look_up_holds(const struct user_record *r, int64_t unix_ms)
{
    if (r->state == USER_ABSENT && r->valid_until_ms == 0) {
        return 1;
    }
    return r->valid_until_ms > unix_ms;
}

static enum look_up_step of_valid(const struct settings *s,
                                  const struct user_record *r,
                                  const struct look_up_view *v)
{
    int64_t age_ms = age_of(r, v);

    if (!look_up_holds(r, v->unix_ms)) {
        return v->live ? LOOK_UP_REFUSE : LOOK_UP_ASK;
    }
    if (v->live || age_ms < refresh_age_ms(s)) {
        return LOOK_UP_USE;
    }
    return age_ms < s->fresh_ttl_ms ? LOOK_UP_USE_AND_REFRESH : LOOK_UP_ASK;
}

static enum look_up_step of_absent(const struct settings *s,
                                   const struct user_record *r,
                                   const struct look_up_view *v)
{
    if (!look_up_holds(r, v->unix_ms)) {
        return LOOK_UP_ASK;
    }
    if (v->live || age_of(r, v) < s->negative_ttl_ms) {
        return LOOK_UP_REFUSE;
    }
    return LOOK_UP_ASK_IF_CHEAP;
}

static enum look_up_step of_unknown(enum user_chance chance,
                                    const struct look_up_view *v)
{
    if (chance == USER_CHANCE_GOOD) {
        return LOOK_UP_ASK;
    }
    return chance == USER_CHANCE_NONE && v->live ? LOOK_UP_REFUSE
                                                 : LOOK_UP_ASK_IF_CHEAP;
}

enum look_up_step look_up_first(const struct settings *s,
                                const struct user_record *r,
                                enum user_chance chance,
                                const struct look_up_view *v)
{
    switch (r->state) {
    case USER_VALID:
        return of_valid(s, r, v);
    case USER_ABSENT:
        return of_absent(s, r, v);
    default:
        return of_unknown(chance, v);
    }
}

int look_up_still_good(const struct settings *s, const struct user_record *r,
                       const struct look_up_view *v)
{
    int64_t age_ms = age_of(r, v);

    return r->state == USER_VALID && look_up_holds(r, v->unix_ms) &&
           (age_ms < s->fresh_ttl_ms || age_ms < s->stale_ttl_ms);
}
