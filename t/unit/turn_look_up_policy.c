/* sources: turn_auth_plugin/look_up_policy.c turn_auth_plugin/settings.c */

#include "look_up_policy.h"
#include "tap.h"

#define NOW_MS 100000000
#define UNIX_MS 1800000000000

static struct settings s;
static struct look_up_view view;

static struct user_record record(enum user_state state, int64_t age_ms,
                                 int64_t until_ms)
{
    return (struct user_record){
        .state = state, .read_ms = NOW_MS - age_ms, .valid_until_ms = until_ms};
}

static long first(enum user_state state, int64_t age_ms)
{
    struct user_record r = record(state, age_ms, USER_FOREVER);

    return (long)look_up_first(&s, &r, USER_CHANCE_UNKNOWN, &view);
}

static long good(enum user_state state, int64_t age_ms)
{
    struct user_record r = record(state, age_ms, USER_FOREVER);

    return look_up_still_good(&s, &r, &view);
}

static long until(enum user_state state, int64_t until_ms)
{
    struct user_record r = record(state, 0, until_ms);

    return (long)look_up_first(&s, &r, USER_CHANCE_UNKNOWN, &view);
}

static long chance(enum user_chance of)
{
    struct user_record r = record(USER_UNKNOWN, NOW_MS, 0);

    return (long)look_up_first(&s, &r, of, &view);
}

static void begin(int live, int64_t confirmed_ms)
{
    settings_defaults(&s);
    view = (struct look_up_view){NOW_MS, UNIX_MS, confirmed_ms, live};
}

static void without_feed(void)
{
    begin(0, 0);
    is_int(first(USER_VALID, 0), LOOK_UP_USE, "just read: use");
    is_int(first(USER_VALID, 44999), LOOK_UP_USE, "under 45 s: use");
    is_int(first(USER_VALID, 45000), LOOK_UP_USE_AND_REFRESH,
           "from 45 s on: use, and ask in the background");
    is_int(first(USER_VALID, 59999), LOOK_UP_USE_AND_REFRESH, "up to 60 s");
    is_int(first(USER_VALID, 60000), LOOK_UP_ASK, "from 60 s on: ask");
    is_int(first(USER_ABSENT, 4999), LOOK_UP_REFUSE, "absent, under 5 s");
    is_int(first(USER_ABSENT, 5000), LOOK_UP_ASK_IF_CHEAP,
           "absent, from 5 s on: ask");
    is_int(chance(USER_CHANCE_UNKNOWN), LOOK_UP_ASK_IF_CHEAP,
           "not known: ask where it is cheap");
    is_int(chance(USER_CHANCE_NONE), LOOK_UP_ASK_IF_CHEAP,
           "not among all, but that may be old: the same");
    is_int(chance(USER_CHANCE_GOOD), LOOK_UP_ASK, "one of many: ask");
    s.negative_ttl_ms = 0;
    is_int(first(USER_ABSENT, 0), LOOK_UP_ASK_IF_CHEAP,
           "negative_ttl 0: always ask");
}

static void with_feed(void)
{
    begin(1, NOW_MS - 400);
    is_int(first(USER_VALID, 86400000), LOOK_UP_USE,
           "live feed: what was read long ago is used");
    is_int(first(USER_ABSENT, 86400000), LOOK_UP_REFUSE,
           "and absence is final");
    s.negative_ttl_ms = 0;
    is_int(first(USER_ABSENT, 86400000), LOOK_UP_REFUSE,
           "whatever negative_ttl says");
    is_int(chance(USER_CHANCE_NONE), LOOK_UP_REFUSE,
           "and so is not being among all users");
    is_int(chance(USER_CHANCE_GOOD), LOOK_UP_ASK, "one of many: ask");
    is_int(chance(USER_CHANCE_UNKNOWN), LOOK_UP_ASK_IF_CHEAP,
           "not all are known: ask where it is cheap");
    begin(0, NOW_MS - 44999);
    is_int(first(USER_VALID, 86400000), LOOK_UP_USE,
           "no longer live, confirmed under 45 s ago: use");
    begin(0, NOW_MS - 60000);
    is_int(first(USER_VALID, 86400000), LOOK_UP_ASK, "confirmed 60 s ago: ask");
    is_int(first(USER_VALID, 10), LOOK_UP_USE, "unless read since");
    is_int(first(USER_ABSENT, 86400000), LOOK_UP_ASK_IF_CHEAP,
           "absence as well");
}

static void ends(void)
{
    begin(0, 0);
    is_int(until(USER_VALID, UNIX_MS + 1), LOOK_UP_USE, "before its end: use");
    is_int(until(USER_VALID, UNIX_MS), LOOK_UP_ASK,
           "at its end: it may have been put off");
    is_int(until(USER_ABSENT, UNIX_MS + 1), LOOK_UP_REFUSE, "not valid yet");
    is_int(until(USER_ABSENT, UNIX_MS), LOOK_UP_ASK, "from now on: ask");
    is_int(until(USER_ABSENT, 0), LOOK_UP_REFUSE, "absent for good");
    begin(1, NOW_MS);
    is_int(until(USER_VALID, UNIX_MS + 1), LOOK_UP_USE, "live: the same");
    is_int(until(USER_VALID, UNIX_MS), LOOK_UP_REFUSE,
           "but at its end: refused, at once");
    is_int(until(USER_ABSENT, UNIX_MS), LOOK_UP_ASK, "and the beginning asked");
}

static void nobody_to_ask(void)
{
    struct user_record r = record(USER_VALID, 1000, UNIX_MS);

    begin(0, 0);
    is_int(good(USER_VALID, 86399999), 1, "nobody to ask: good under 24 h");
    is_int(good(USER_VALID, 86400000), 0, "no longer from 24 h on");
    is_int(good(USER_ABSENT, 0), 0, "absent is never good");
    is_int(good(USER_UNKNOWN, 0), 0, "nor is unknown");
    is_int(look_up_still_good(&s, &r, &view), 0, "nor who is past the end");
    s.stale_ttl_ms = 0;
    is_int(good(USER_VALID, 59999), 1, "stale_ttl 0: good while fresh");
    is_int(good(USER_VALID, 60000), 0, "and not after");
    begin(0, NOW_MS - 86399999);
    is_int(good(USER_VALID, 99999999), 1, "24 h since it was confirmed");
    begin(0, NOW_MS - 86400000);
    is_int(good(USER_VALID, 99999999), 0, "no longer");
}

int main(void)
{
    without_feed();
    with_feed();
    ends();
    nobody_to_ask();
    return done_testing();
}
