/*
 * LISTEN, and not while somebody floods its channels; see feed_inside.h.
 */

#include "feed_inside.h"

#include "figures.h"
#include "monotonic.h"
#include "notice.h"

#include <string.h>

/*
 * More notifications a second than that, and nobody listens any more for a
 * while; it is read often instead.
 */
#define FLOOD 1000
#define FLOODED_MS 10000

void feed_listen(struct feed *f, int on)
{
    f->listening = on;
    feed_ask(f, LISTEN, on ? "listen turn_users" : "unlisten turn_users", NULL);
    feed_ask(f, LISTEN, on ? "listen turn_tables" : "unlisten turn_tables",
             NULL);
}

int64_t feed_listen_due_ms(const struct feed *f)
{
    return f->phase == FOLLOWING && !f->standby && !f->listening
               ? f->deaf_until_ms
               : INT64_MAX;
}

static void count_notification(struct feed *f)
{
    int64_t now_ms = monotonic_ms();

    figures_count(FIGURES_FEED_NOTIFICATIONS, 1);
    if (now_ms - f->second_ms >= 1000) {
        f->second_ms = now_ms;
        f->notifications = 0;
    }
    if (++f->notifications <= FLOOD || !f->listening) {
        return;
    }
    f->deaf_until_ms = now_ms + FLOODED_MS;
    if (!f->was_deaf) {
        notice("PostgreSQL %s: a flood of notifications; changes are read "
               "every %d ms instead",
               f->o.label, FEED_FLOODED_READ_MS);
    }
    f->was_deaf = 1;
    feed_listen(f, 0);
}

void feed_notified(void *owner, const char *channel)
{
    struct feed *f = owner;

    if (strcmp(channel, "turn_tables") == 0) {
        f->o.events->tables(f->o.owner);
    } else {
        f->hinted = 1;
    }
    count_notification(f);
}
