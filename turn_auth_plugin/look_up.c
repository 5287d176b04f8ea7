/*
 * Puts cache, policy, budget and store together; see look_up.h.
 */

#include "look_up.h"

#include "figures.h"
#include "look_up_policy.h"
#include "monotonic.h"

#include <string.h>

void look_up_begin(struct look_up *lu, struct store *st,
                   const struct settings *s)
{
    lu->store = st;
    lu->settings = s;
    miss_budget_begin(&lu->budget, monotonic_ms());
}

static struct look_up_view view_at(struct look_up *lu, int64_t now_ms)
{
    struct store_standing s;

    store_standing(lu->store, now_ms, &s);
    return (struct look_up_view){now_ms, s.unix_ms, s.confirmed_ms, s.live};
}

/* A name nothing speaks for: whether it is worth a wait depends on the flood.
 */
static int ask_if_cheap(struct look_up *lu, const struct user_name *u,
                        struct user_record *r, enum figures_tier *tier)
{
    int64_t begun_ms = monotonic_ms();
    int answered;

    if (!miss_budget_allows(&lu->budget, begun_ms)) {
        store_ask_later(lu->store, u);
        return 0;
    }
    answered = store_ask(lu->store, u, r, tier);
    if (!answered || r->state != USER_VALID) {
        miss_budget_spend(&lu->budget, monotonic_ms() - begun_ms);
    }
    return answered;
}

/* *r becomes the answer, or what is left to go by when there is none. */
static enum figures_tier ask(struct look_up *lu, const struct user_name *u,
                             int cheap_only, struct user_record *r)
{
    struct user_record answer = {.state = USER_UNKNOWN};
    enum figures_tier tier = FIGURES_POSTGRESQL;
    struct look_up_view v;
    int answered = cheap_only ? ask_if_cheap(lu, u, &answer, &tier)
                              : store_ask(lu->store, u, &answer, &tier);

    v = view_at(lu, monotonic_ms());
    if (answered) {
        *r = answer;
        if (!look_up_holds(r, v.unix_ms)) {
            r->state = USER_ABSENT;
        }
    } else if (look_up_still_good(lu->settings, r, &v)) {
        tier = FIGURES_STALE;
    } else {
        r->state = USER_UNKNOWN;
        tier = FIGURES_NOWHERE;
    }
    explicit_bzero(&answer, sizeof(answer));
    return tier;
}

/* *r becomes VALID, ABSENT or, where nobody could be asked, UNKNOWN. */
static enum figures_tier look_up(struct look_up *lu, const struct user_name *u,
                                 int64_t now_ms, struct user_record *r)
{
    struct user_cache *users = store_users(lu->store);
    struct look_up_view v = view_at(lu, now_ms);
    enum user_chance chance = user_cache_find(users, u, now_ms, r);
    enum look_up_step step;

    step = look_up_first(lu->settings, r, chance, &v);
    switch (step) {
    case LOOK_UP_USE_AND_REFRESH:
        store_ask_later(lu->store, u);
        break;
    case LOOK_UP_REFUSE:
        r->state = USER_ABSENT;
        break;
    case LOOK_UP_ASK:
    case LOOK_UP_ASK_IF_CHEAP:
        return ask(lu, u, step == LOOK_UP_ASK_IF_CHEAP, r);
    default:
        break;
    }
    return FIGURES_MEMORY;
}

static void count(const struct user_record *r, enum figures_tier tier,
                  int has_secret, int64_t microseconds)
{
    enum figures_outcome outcome = r->state == USER_VALID ? FIGURES_VALID
                                   : r->state == USER_ABSENT
                                       ? FIGURES_REFUSED
                                       : FIGURES_UNANSWERED;

    if (has_secret && outcome != FIGURES_VALID) {
        outcome = FIGURES_VALID;
        tier = FIGURES_SECRET;
    }
    figures_look_up(outcome, tier, microseconds);
}

enum user_state look_up_user(struct look_up *lu, const struct user_name *u,
                             int has_secret, uint8_t key[USER_KEY_LEN])
{
    int64_t begun_us = monotonic_us();
    struct user_record r;
    enum figures_tier tier = look_up(lu, u, begun_us / 1000, &r);
    enum user_state state = r.state;

    if (state == USER_VALID) {
        memcpy(key, r.key, USER_KEY_LEN);
    }
    count(&r, tier, has_secret, monotonic_us() - begun_us);
    explicit_bzero(&r, sizeof(r));
    return state;
}
