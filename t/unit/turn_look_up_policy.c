/* sources: turn_auth_plugin/look_up_policy.c turn_auth_plugin/settings.c */

#include "look_up_policy.h"
#include "tap.h"

static struct settings s;

static long first(enum user_state state, int64_t age_ms)
{
    struct user_record r = {.state = state, .read_ms = 1000000};

    return (long)look_up_first(&s, &r, 1000000 + age_ms);
}

static long good(enum user_state state, int64_t age_ms)
{
    struct user_record r = {.state = state, .read_ms = 1000000};

    return look_up_still_good(&s, &r, 1000000 + age_ms);
}

int main(void)
{
    settings_defaults(&s);
    is_int(first(USER_UNKNOWN, 0), LOOK_UP_ASK, "unknown: ask");
    is_int(first(USER_VALID, 0), LOOK_UP_USE, "just read: use");
    is_int(first(USER_VALID, 44999), LOOK_UP_USE, "under 45 s: use");
    is_int(first(USER_VALID, 45000), LOOK_UP_USE_AND_REFRESH,
           "from 45 s on: use, and ask in the background");
    is_int(first(USER_VALID, 59999), LOOK_UP_USE_AND_REFRESH, "up to 60 s");
    is_int(first(USER_VALID, 60000), LOOK_UP_ASK, "from 60 s on: ask");
    is_int(first(USER_ABSENT, 4999), LOOK_UP_USE, "absent, under 5 s: use");
    is_int(first(USER_ABSENT, 5000), LOOK_UP_ASK, "absent, from 5 s on: ask");
    is_int(good(USER_VALID, 86399999), 1, "nobody to ask: good under 24 h");
    is_int(good(USER_VALID, 86400000), 0, "no longer from 24 h on");
    is_int(good(USER_ABSENT, 0), 0, "absent is never good");
    is_int(good(USER_UNKNOWN, 0), 0, "nor is unknown");
    s.stale_ttl_ms = 0;
    is_int(good(USER_VALID, 59999), 1, "stale_ttl 0: good while fresh");
    is_int(good(USER_VALID, 60000), 0, "and not after");
    s.negative_ttl_ms = 0;
    is_int(first(USER_ABSENT, 0), LOOK_UP_ASK, "negative_ttl 0: always ask");
    return done_testing();
}
