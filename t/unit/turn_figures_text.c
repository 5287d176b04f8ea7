/* sources: turn_auth_plugin/figures_text.c turn_auth_plugin/figures.c */

#include "figures_text.h"
#include "tap.h"

static char text[FIGURES_TEXT];
static struct figures_page page;

static void has(const char *what, const char *name)
{
    if (!ok(strstr(text, what) != NULL, "%s", name)) {
        printf("#   no '%s' in it\n", what);
    }
}

static void relays(unsigned tcp_clients, unsigned dtls_clients, unsigned all)
{
    page.sockets.tcp_clients = tcp_clients;
    page.sockets.dtls_clients = dtls_clients;
    page.sockets.relays = all;
}

static void look_ups(void)
{
    figures_look_up(FIGURES_VALID, FIGURES_MEMORY, 0);
    figures_look_up(FIGURES_VALID, FIGURES_MEMORY, 1);
    figures_look_up(FIGURES_REFUSED, FIGURES_POSTGRESQL, 1000);
    figures_look_up(FIGURES_UNANSWERED, FIGURES_NOWHERE, 6000000);
    figures_read(&page.figures);
    figures_prom(text, &page);
    has("look_ups_total{outcome=\"valid\",tier=\"memory\"} 2\n", "two valid");
    has("look_ups_total{outcome=\"refused\",tier=\"postgresql\"} 1\n",
        "one "
        "refused");
    has("look_ups_total{outcome=\"unanswered\",tier=\"nowhere\"} 1\n",
        "one "
        "unanswered");
    has("look_up_seconds_bucket{le=\"1e-06\"} 2\n", "fast ones");
    has("look_up_seconds_bucket{le=\"0.001\"} 3\n", "each bucket holds the "
                                                    "smaller ones");
    has("look_up_seconds_bucket{le=\"5\"} 3\n", "and not the slower ones");
    has("look_up_seconds_bucket{le=\"+Inf\"} 4\n", "all");
    has("look_up_seconds_sum 6.001001\n", "their sum");
    has("look_up_seconds_count 4\n", "their count");
    figures_json(text, &page);
    has("\"refused\": {\"memory\": 0, \"stale\": 0, \"redis\": 0, "
        "\"postgresql\": 1, \"secret\": 0}",
        "the same in JSON");
    has("\"sum\": 6.001001, \"count\": 4}", "and sum and count");
}

static void states(void)
{
    figures_store_state(FIGURES_STORE_REDIS, FIGURES_STORE_AWAY);
    figures_cache(7, 8, 900, 1);
    figures_feed(FIGURES_FEED_LIVE, 5000);
    figures_count(FIGURES_RELAYS_CLOSED, 1800);
    page.now_ms = 5250;
    figures_read(&page.figures);
    figures_prom(text, &page);
    has("store_state{store=\"redis\",state=\"away\"} 1\n", "Redis is away");
    has("store_state{store=\"redis\",state=\"up\"} 0\n", "and not up");
    has("store_state{store=\"postgresql\",state=\"off\"} 1\n", "nobody told of "
                                                               "PostgreSQL");
    has("feed_state{state=\"live\"} 1\n", "the feed is live");
    has("feed_lag_seconds 0.25\n", "its lag");
    has("cache_complete 1\n", "the cache is complete");
    has("relays_closed_total 1800\n", "counters");
    figures_json(text, &page);
    has("\"stores\": {\"postgresql\": \"off\", \"redis\": \"away\", "
        "\"cli\": \"off\"}",
        "stores in JSON");
    has("\"cache\": {\"users\": 7, \"absent\": 8, \"bytes\": 900, "
        "\"complete\": true}",
        "cache");
    has("\"feed\": {\"state\": \"live\", \"lag\": 0.250}", "feed");
    figures_feed(FIGURES_FEED_BROKEN, 0);
    figures_read(&page.figures);
    figures_json(text, &page);
    has("\"feed\": {\"state\": \"broken\", \"lag\": null}", "nothing was read");
}

static void sockets(void)
{
    relays(3, 0, 10);
    figures_json(text, &page);
    has("\"clients\": {\"tcp\": 3, \"udp\": 7}", "clients");
    has("\"relays\": {\"tcp\": 3, \"udp\": 7}", "relays");
    relays(5, 2, 3);
    figures_json(text, &page);
    has("\"clients\": {\"tcp\": 5, \"udp\": 2}", "clients without a relay");
    has("\"relays\": {\"tcp\": 3, \"udp\": 0}", "never more than there are");
}

/* The longest there is fits. */
static void fits(void)
{
    memset(&page.figures, 0x7f, sizeof(page.figures));
    page.figures.feed = FIGURES_FEED_POLL;
    for (int i = 0; i < FIGURES_STORES; i++) {
        page.figures.stores[i] = FIGURES_STORE_AWAY;
    }
    page.sockets.listener_count = OWN_LISTENERS;
    for (int i = 0; i < OWN_LISTENERS; i++) {
        memset(page.sockets.listeners[i].ip, '8', INET6_ADDRSTRLEN - 1);
        page.sockets.listeners[i].port = 65535;
    }
    ok(figures_prom(text, &page) < FIGURES_TEXT - 1, "turn.prom");
    has("relays_closed_total 91", "to its end");
    ok(figures_json(text, &page) < FIGURES_TEXT - 1, "turn.json");
    has("\"relays_closed\": 91", "to its end");
}

int main(void)
{
    look_ups();
    states();
    sockets();
    fits();
    return done_testing();
}
