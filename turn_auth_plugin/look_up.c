/*
 * Puts cache, policy, budget and store together; see look_up.h.
 */

#include "look_up.h"

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

/* A name that is not known: whether it is worth a wait depends on the flood. */
static int ask_unknown(struct look_up *lu, const struct user_name *u,
                       struct user_record *r)
{
    int64_t begun_ms = monotonic_ms();
    int answered;

    if (!miss_budget_allows(&lu->budget, begun_ms)) {
        store_ask_later(lu->store, u);
        return 0;
    }
    answered = store_ask(lu->store, u, r);
    if (!answered || r->state != USER_VALID) {
        miss_budget_spend(&lu->budget, monotonic_ms() - begun_ms);
    }
    return answered;
}

static void ask(struct look_up *lu, const struct user_name *u,
                struct user_record *r)
{
    struct user_record answer = {.state = USER_UNKNOWN};
    int answered = r->state == USER_VALID ? store_ask(lu->store, u, &answer)
                                          : ask_unknown(lu, u, &answer);

    if (answered) {
        *r = answer;
    } else if (!look_up_still_good(lu->settings, r, monotonic_ms())) {
        r->state = USER_UNKNOWN;
    }
    explicit_bzero(&answer, sizeof(answer));
}

int look_up_user(struct look_up *lu, const struct user_name *u,
                 uint8_t key[USER_KEY_LEN])
{
    int64_t now_ms = monotonic_ms();
    struct user_record r;
    int valid;

    user_cache_find(store_users(lu->store), u, now_ms, &r);
    switch (look_up_first(lu->settings, &r, now_ms)) {
    case LOOK_UP_USE:
        break;
    case LOOK_UP_USE_AND_REFRESH:
        store_ask_later(lu->store, u);
        break;
    case LOOK_UP_ASK:
        ask(lu, u, &r);
        break;
    }
    valid = r.state == USER_VALID;
    if (valid) {
        memcpy(key, r.key, USER_KEY_LEN);
    }
    explicit_bzero(&r, sizeof(r));
    return valid;
}
