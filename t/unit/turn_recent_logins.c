/* sources: turn_auth_plugin/recent_logins.c */

#include "recent_logins.h"
#include "tap.h"

int main(void)
{
    struct recent_logins r = {.used = 0};
    uint64_t now[FIGURES_LOGINS] = {0}, recent[FIGURES_LOGINS];
    unsigned seconds = 0;

    is_int(recent_logins_at(&r, 5000, now, recent), 0, "at the start");
    now[FIGURES_LOGIN_WRONG_PASSWORD] = 3;
    is_int(recent_logins_at(&r, 7000, now, recent), 2, "two seconds later");
    is_int((long)recent[FIGURES_LOGIN_WRONG_PASSWORD], 3, "what came");
    is_int((long)recent[FIGURES_LOGIN_RIGHT], 0, "and what did not");
    for (int64_t ms = 9000; ms <= 540000; ms += 2000) {
        seconds = recent_logins_at(&r, ms, now, recent);
    }
    is_int((long)recent[FIGURES_LOGIN_WRONG_PASSWORD], 3, "is still recent");
    for (int64_t ms = 540000; ms <= 1200000; ms += 2000) {
        seconds = recent_logins_at(&r, ms, now, recent);
        if (seconds > 602) {
            ok(0, "never longer than ten minutes");
        }
    }
    ok(seconds >= 538, "later, ten minutes are told of");
    is_int((long)recent[FIGURES_LOGIN_WRONG_PASSWORD], 0, "in which it is old");
    now[FIGURES_LOGIN_RIGHT] = 1;
    recent_logins_at(&r, 1201000, now, recent);
    is_int((long)recent[FIGURES_LOGIN_RIGHT], 1, "a new one is recent");
    return done_testing();
}
