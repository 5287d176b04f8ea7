/*
 * The states of a link as seen from outside; see outage.h.
 */

#include "outage.h"

void outage_begin(struct outage *o, int64_t patience_ms, int64_t now_ms)
{
    *o = (struct outage){.patience_ms = patience_ms, .down_ms = now_ms};
}

int64_t outage_up(struct outage *o, int64_t now_ms)
{
    int64_t gone_ms = o->away ? now_ms - o->away_ms : -1;

    o->up = 1;
    o->away = 0;
    o->failures = 0;
    return gone_ms;
}

static int declare(struct outage *o, int64_t now_ms)
{
    if (o->away) {
        return 0;
    }
    o->away = 1;
    o->away_ms = now_ms;
    return 1;
}

int outage_failure(struct outage *o, int silent, int64_t now_ms)
{
    if (o->up) {
        o->up = 0;
        o->down_ms = now_ms;
    }
    o->failures++;
    return silent || o->failures > 1 ? declare(o, now_ms) : 0;
}

int outage_tick(struct outage *o, int64_t now_ms)
{
    if (o->up || now_ms - o->down_ms < o->patience_ms) {
        return 0;
    }
    return declare(o, now_ms);
}

int64_t outage_next_ms(const struct outage *o)
{
    return o->up || o->away ? INT64_MAX : o->down_ms + o->patience_ms;
}
