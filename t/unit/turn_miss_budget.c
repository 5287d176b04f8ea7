/* sources: turn_auth_plugin/miss_budget.c */

#include "miss_budget.h"
#include "tap.h"

/* For seconds, waits of 20 ms one after another wherever it allows one. */
static long waited(struct miss_budget *b, int64_t from_ms, int64_t seconds)
{
    int64_t now_ms = from_ms;
    long sum_ms = 0;

    while (now_ms < from_ms + 1000 * seconds) {
        if (miss_budget_allows(b, now_ms)) {
            now_ms += 20;
            sum_ms += 20;
            miss_budget_spend(b, 20);
        } else {
            now_ms += 1;
        }
    }
    return sum_ms;
}

int main(void)
{
    struct miss_budget b;
    long ms;

    miss_budget_begin(&b, 5000);
    is_int(miss_budget_allows(&b, 5000), 1, "allowed at first");
    ms = waited(&b, 5000, 10);
    ok(ms > 1800 && ms < 2200, "10 s of flood: 1 s, then a tenth (%ld ms)", ms);
    ms = waited(&b, 15000, 10);
    ok(ms > 900 && ms < 1100, "the next 10 s: a tenth (%ld ms)", ms);
    is_int(miss_budget_allows(&b, 26000), 1, "a quiet second brings some back");
    ms = waited(&b, 1000000000, 1);
    ok(ms <= 1100, "a long quiet brings no more than it holds (%ld ms)", ms);
    miss_budget_begin(&b, 5000);
    miss_budget_spend(&b, 1500);
    is_int(miss_budget_allows(&b, 5000), 0, "overdrawn");
    is_int(miss_budget_allows(&b, 4000), 0, "time that goes back is no time");
    is_int(miss_budget_allows(&b, 11000), 1, "until it is made good");
    return done_testing();
}
