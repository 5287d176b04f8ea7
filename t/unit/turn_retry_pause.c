/* sources: turn_auth_plugin/retry_pause.c */

#include "retry_pause.h"
#include "tap.h"

static long pause_after_failure(struct retry_pause *p, int64_t up_ms,
                                int64_t now_ms)
{
    retry_pause_failed(p, up_ms, now_ms);
    return (long)(p->until_ms - now_ms);
}

int main(void)
{
    static const long pauses[] = {0, 100, 200, 400, 800, 1000, 1000};
    struct retry_pause p = {0};
    int64_t now_ms = 5000;

    for (size_t i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++) {
        is_int(pause_after_failure(&p, 0, now_ms), pauses[i],
               "never up: a longer pause each time, 1 s at most");
        now_ms = p.until_ms + 1;
    }
    is_int(pause_after_failure(&p, now_ms - 999, now_ms), 1000,
           "up for less than a second is no success");
    is_int(pause_after_failure(&p, now_ms - 1000, now_ms), 0,
           "no pause after a connection that was good for a second");
    is_int(pause_after_failure(&p, 0, now_ms), 100,
           "... but when the next one fails at once");

    pause_after_failure(&p, 0, now_ms);
    pause_after_failure(&p, 0, now_ms);
    retry_pause_end(&p, now_ms + 7);
    is_int((long)(p.until_ms - now_ms), 7, "ended: at once");
    is_int(pause_after_failure(&p, 0, now_ms), 100,
           "... and the pauses are short again");
    return done_testing();
}
