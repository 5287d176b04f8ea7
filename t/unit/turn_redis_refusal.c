/* sources: turn_auth_plugin/redis_refusal.c */

#include "redis_refusal.h"
#include "tap.h"

static struct redis_refusal r;

/* Refused and granted by turns, every 10 ms. */
static int lines_of(int64_t from_ms, int64_t to_ms)
{
    int lines = 0;

    for (int64_t t = from_ms; t < to_ms; t += 20) {
        lines += redis_refusal_refused(&r, t);
        lines += redis_refusal_granted(&r, t + 10);
    }
    return lines;
}

/* Refused for 1 s, then granted for 20 s, over and over. */
static int lines_of_slow_turns(int64_t from_ms, int64_t to_ms)
{
    int lines = 0;

    for (int64_t t = from_ms; t < to_ms; t += 21000) {
        for (int64_t at = t; at < t + 21000; at += 500) {
            lines += at < t + 1000 ? redis_refusal_refused(&r, at)
                                   : redis_refusal_granted(&r, at);
        }
    }
    return lines;
}

int main(void)
{
    is_int(redis_refusal_granted(&r, 1000), 0, "nothing is refused: no line");
    is_int(redis_refusal_refused(&r, 1000), 1, "the first refusal: a line");
    is_int(redis_refusal_refused(&r, 1001), 0, "... the second: none");
    is_int(redis_refusal_granted(&r, 3000), 0, "it is not over at once");
    is_int(redis_refusal_granted(&r, 3001), 1, "... but 2 s after the last");
    is_int(redis_refusal_granted(&r, 3002), 0, "... which is said once");

    is_int(redis_refusal_refused(&r, 63000), 1, "soon after, it is refused");
    is_int(redis_refusal_granted(&r, 66999), 0, "... and it lasts longer");
    is_int(redis_refusal_granted(&r, 67000), 1, "... twice as long");
    is_int(redis_refusal_refused(&r, 127000), 1, "later it is refused again");
    is_int(redis_refusal_granted(&r, 129000), 1, "... as at first");

    is_int(lines_of(200000, 3800000), 1, "by turns for an hour: one line");
    is_int(redis_refusal_granted(&r, 3803000), 1, "... and one at its end");
    ok(lines_of_slow_turns(4000000, 4000000 + 86400000) < 30,
       "refused every 21 s for a day: a few lines");
    is_int(redis_refusal_granted(&r, 100000000), 1, "... which ends, too");
    return done_testing();
}
