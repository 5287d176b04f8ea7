/* sources: turn_auth_plugin/outage.c */

#include "outage.h"
#include "tap.h"

int main(void)
{
    struct outage o;

    outage_begin(&o, 500, 1000);
    is_int(outage_tick(&o, 1499), 0, "start: patience for 500 ms");
    is_int(outage_tick(&o, 1500), 1, "then it is away");
    is_int(outage_tick(&o, 1600), 0, "which is said once");
    is_int((long)outage_up(&o, 4500), 3000, "back after 3 s");
    is_int(outage_tick(&o, 99999), 0, "up: time does not matter");
    ok(outage_next_ms(&o) == INT64_MAX, "nor is a tick needed");

    is_int(outage_failure(&o, 0, 5000), 0, "a broken connection is no outage");
    is_int((long)outage_next_ms(&o), 5500, "for 500 ms");
    is_int((long)outage_up(&o, 5100), -1,
           "when the next works: nothing to say");
    is_int(outage_failure(&o, 0, 6000), 0, "broken again");
    is_int(outage_failure(&o, 0, 6001), 1, "and refused: away");
    is_int(outage_failure(&o, 0, 6100), 0, "said once");
    is_int(o.away, 1, "and so it stays");
    is_int((long)outage_up(&o, 7001), 1000, "until it is back");

    is_int(outage_failure(&o, 1, 8000), 1, "silence is an outage at once");
    outage_up(&o, 9000);
    is_int(outage_failure(&o, 0, 10000), 0, "broken");
    is_int(outage_tick(&o, 10499), 0, "connecting");
    is_int(outage_tick(&o, 10500), 1, "that takes too long: away");
    return done_testing();
}
