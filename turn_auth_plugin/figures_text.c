/*
 * Tables of names and words, and two ways to print them; see figures_text.h.
 */

#include "figures_text.h"

#include "version.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PREFIX "cms_edge_turn_"

/* Names that turn.prom (as labels) and turn.json (as keys) have in common. */
static const char *const outcomes[FIGURES_OUTCOMES] = {
    [FIGURES_VALID] = "valid",
    [FIGURES_REFUSED] = "refused",
    [FIGURES_UNANSWERED] = "unanswered",
};

static const char *const tiers[FIGURES_TIERS] = {
    [FIGURES_MEMORY] = "memory", [FIGURES_STALE] = "stale",
    [FIGURES_REDIS] = "redis",   [FIGURES_POSTGRESQL] = "postgresql",
    [FIGURES_SECRET] = "secret", [FIGURES_NOWHERE] = "nowhere",
};

static const char *const stores[FIGURES_STORES] = {
    [FIGURES_STORE_POSTGRESQL] = "postgresql",
    [FIGURES_STORE_REDIS] = "redis",
    [FIGURES_CLI] = "cli",
};

static const char *const store_states[] = {
    [FIGURES_STORE_OFF] = "off",
    [FIGURES_STORE_UP] = "up",
    [FIGURES_STORE_AWAY] = "away",
};

static const char *const feeds[] = {
    [FIGURES_FEED_NONE] = "none",
    [FIGURES_FEED_POLL] = "polled",
    [FIGURES_FEED_LIVE] = "live",
    [FIGURES_FEED_BROKEN] = "broken",
};
#define FEEDS (sizeof(feeds) / sizeof(feeds[0]))

static const char *const logins[FIGURES_LOGINS] = {
    [FIGURES_LOGIN_RIGHT] = "right",
    [FIGURES_LOGIN_WRONG_PASSWORD] = "wrong_password",
    [FIGURES_LOGIN_UNKNOWN_NAME] = "unknown_name",
    [FIGURES_LOGIN_UNANSWERED] = "unanswered",
};

/* turn.prom appends _total. */
static const struct {
    const char *name;
    const char *help;
} counters[FIGURES_COUNTERS] = {
    [FIGURES_POSTGRESQL_QUESTIONS] = {"postgresql_questions",
                                      "Look-ups sent to PostgreSQL."},
    [FIGURES_POSTGRESQL_OUTAGES] = {"postgresql_outages",
                                    "Times PostgreSQL went away."},
    [FIGURES_REDIS_QUESTIONS] = {"redis_questions", "Look-ups sent to Redis."},
    [FIGURES_REDIS_OUTAGES] = {"redis_outages", "Times Redis went away."},
    [FIGURES_REDIS_FILLS] = {"redis_fills", "Users written to Redis."},
    [FIGURES_REDIS_UNSEALED] =
        {"redis_unsealed",
         "Values in Redis that no seal key opens: forged, damaged, or sealed "
         "with a key that was taken away."},
    [FIGURES_REDIS_REPLAYED] = {"redis_replayed",
                                "Values in Redis older than what is known."},
    [FIGURES_FEED_CHANGES] = {"feed_changes",
                              "Changed users read from the change feed."},
    [FIGURES_FEED_NOTIFICATIONS] = {"feed_notifications",
                                    "Notifications of PostgreSQL."},
    [FIGURES_FEED_RESYNCS] = {"feed_resyncs", "Times all users were read."},
    [FIGURES_REVOKED_USERS] =
        {"revoked_users", "Users who were logged in here and were removed, "
                          "disabled, expired or got another key."},
    [FIGURES_REVOKED_UNENFORCED] =
        {"revoked_unenforced",
         "Revoked users whose live relays were not closed: no cli is set, or "
         "it was away for too long."},
    [FIGURES_RELAYS_CLOSED] = {"relays_closed",
                               "Sessions of revoked users that were closed."},
};

struct text {
    char *p;
    size_t n;
};

__attribute__((format(printf, 2, 3))) static void print(struct text *t,
                                                        const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(t->p + t->n, FIGURES_TEXT - t->n, format, args);
    va_end(args);
    if (n > 0) {
        t->n += (size_t)n;
    }
    if (t->n > FIGURES_TEXT - 1) {
        t->n = FIGURES_TEXT - 1;
    }
}

/* ---- estimates ---- */

unsigned figures_relays_tcp(const struct own_sockets *s)
{
    return s->tcp_clients < s->relays ? s->tcp_clients : s->relays;
}

unsigned figures_relays_udp(const struct own_sockets *s)
{
    return s->relays - figures_relays_tcp(s);
}

unsigned figures_clients_udp(const struct own_sockets *s)
{
    unsigned with_relay = figures_relays_udp(s);

    return s->dtls_clients > with_relay ? s->dtls_clients : with_relay;
}

/* -1: nothing was read yet, or there is no feed. */
static double lag(const struct figures_page *page)
{
    const struct figures *f = &page->figures;

    if (f->feed == FIGURES_FEED_NONE || f->confirmed_ms == 0) {
        return -1;
    }
    return page->now_ms > f->confirmed_ms
               ? (double)(page->now_ms - f->confirmed_ms) / 1e3
               : 0;
}

static double seconds(int64_t microseconds)
{
    return (double)microseconds / 1e6;
}

/* ---- turn.prom ---- */

static void head(struct text *t, const char *name, const char *type,
                 const char *help)
{
    print(t, "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s %s\n", name, help,
          name, type);
}

static void gauge(struct text *t, const char *name, const char *help,
                  double value)
{
    head(t, name, "gauge", help);
    print(t, PREFIX "%s %.15g\n", name, value);
}

static void prom_look_ups(struct text *t, const struct figures *f)
{
    head(t, "look_ups_total", "counter",
         "Look-ups of a user's key, by outcome and by where the answer came "
         "from.");
    for (int o = 0; o < FIGURES_OUTCOMES; o++) {
        for (int i = 0; i < FIGURES_TIERS; i++) {
            if ((o == FIGURES_UNANSWERED) == (i == FIGURES_NOWHERE)) {
                print(t,
                      PREFIX "look_ups_total{outcome=\"%s\",tier=\"%s\"} "
                             "%" PRIu64 "\n",
                      outcomes[o], tiers[i], f->look_ups[o][i]);
            }
        }
    }
}

static void prom_histogram(struct text *t, const struct figures *f)
{
    uint64_t sum = 0;

    head(t, "look_up_seconds", "histogram",
         "How long coturn waited for the key of a user.");
    for (int b = 0; b < FIGURES_BUCKETS; b++) {
        sum += f->buckets[b];
        print(t, PREFIX "look_up_seconds_bucket{le=\"%g\"} %" PRIu64 "\n",
              seconds(figures_bucket_us[b]), sum);
    }
    sum += f->buckets[FIGURES_BUCKETS];
    print(t, PREFIX "look_up_seconds_bucket{le=\"+Inf\"} %" PRIu64 "\n", sum);
    print(t, PREFIX "look_up_seconds_sum %.6f\n",
          seconds((int64_t)f->look_up_us));
    print(t, PREFIX "look_up_seconds_count %" PRIu64 "\n", sum);
}

static void prom_states(struct text *t, const struct figures_page *page)
{
    const struct figures *f = &page->figures;

    head(t, "store_state", "gauge",
         "The state of each store, and of coturn's CLI, is 1; off: it is not "
         "configured.");
    for (int i = 0; i < FIGURES_STORES; i++) {
        for (int state = 0; state < 3; state++) {
            print(t, PREFIX "store_state{store=\"%s\",state=\"%s\"} %d\n",
                  stores[i], store_states[state], (int)f->stores[i] == state);
        }
    }
    gauge(t, "cache_users", "Users with a key in memory.", (double)f->users);
    gauge(t, "cache_absent", "Names in memory that do not exist.",
          (double)f->absent);
    gauge(t, "cache_bytes", "Bytes of memory for both.", (double)f->bytes);
    gauge(t, "cache_complete",
          "Whether memory is known to hold every valid user.", f->complete);
    head(t, "feed_state", "gauge", "The state of the change feed is 1.");
    for (size_t i = 0; i < FEEDS; i++) {
        print(t, PREFIX "feed_state{state=\"%s\"} %d\n", feeds[i],
              (size_t)f->feed == i);
    }
    if (lag(page) >= 0) {
        gauge(t, "feed_lag_seconds",
              "All changes older than this are in memory.", lag(page));
    }
}

static void prom_logins(struct text *t, const struct figures *f)
{
    head(t, "logins_total", "counter",
         "Allocate requests with credentials, by what is right or wrong with "
         "them; the log names the users.");
    for (int i = 0; i < FIGURES_LOGINS; i++) {
        print(t, PREFIX "logins_total{outcome=\"%s\"} %" PRIu64 "\n", logins[i],
              f->logins[i]);
    }
}

static void prom_counters(struct text *t, const struct figures *f)
{
    char name[64];

    for (int i = 0; i < FIGURES_COUNTERS; i++) {
        snprintf(name, sizeof(name), "%s_total", counters[i].name);
        head(t, name, "counter", counters[i].help);
        print(t, PREFIX "%s %" PRIu64 "\n", name, f->counters[i]);
    }
}

static void prom_sockets(struct text *t, const struct own_sockets *s)
{
    head(t, "listening", "gauge", "Addresses at which turnserver listens.");
    for (size_t i = 0; i < s->listener_count; i++) {
        print(t,
              PREFIX "listening{protocol=\"%s\",address=\"%s\",port=\"%u\"} "
                     "1\n",
              s->listeners[i].tcp ? "tcp" : "udp", s->listeners[i].ip,
              s->listeners[i].port);
    }
    head(t, "clients", "gauge",
         "Clients by protocol, TLS and DTLS included; udp is estimated from "
         "the relays.");
    print(t, PREFIX "clients{protocol=\"tcp\"} %u\n", s->tcp_clients);
    print(t, PREFIX "clients{protocol=\"udp\"} %u\n", figures_clients_udp(s));
    head(t, "relays", "gauge",
         "Relays by the protocol of their client; the sum is counted, the "
         "parts are estimated.");
    print(t, PREFIX "relays{protocol=\"tcp\"} %u\n", figures_relays_tcp(s));
    print(t, PREFIX "relays{protocol=\"udp\"} %u\n", figures_relays_udp(s));
}

size_t figures_prom(char text[FIGURES_TEXT], const struct figures_page *page)
{
    struct text t = {text, 0};

    head(&t, "info", "gauge", "The plugin.");
    print(&t, PREFIX "info{version=\"" CMS_EDGE_VERSION "\"} 1\n");
    gauge(&t, "start_time_seconds", "When the plugin started, in unix time.",
          page->started);
    gauge(&t, "updated_time_seconds",
          "When this was written, in unix time; older than 10 s: turnserver "
          "has ended.",
          page->updated);
    prom_sockets(&t, &page->sockets);
    prom_states(&t, page);
    prom_look_ups(&t, &page->figures);
    prom_histogram(&t, &page->figures);
    prom_logins(&t, &page->figures);
    prom_counters(&t, &page->figures);
    return t.n;
}

/* ---- turn.json ---- */

static void json_sockets(struct text *t, const struct own_sockets *s)
{
    print(t, " \"listening\": [");
    for (size_t i = 0; i < s->listener_count; i++) {
        print(t,
              "%s\n  {\"protocol\": \"%s\", \"address\": \"%s\", \"port\": %u}",
              i ? "," : "", s->listeners[i].tcp ? "tcp" : "udp",
              s->listeners[i].ip, s->listeners[i].port);
    }
    print(t, "],\n \"clients\": {\"tcp\": %u, \"udp\": %u},\n", s->tcp_clients,
          figures_clients_udp(s));
    print(t, " \"relays\": {\"tcp\": %u, \"udp\": %u},\n",
          figures_relays_tcp(s), figures_relays_udp(s));
}

static void json_states(struct text *t, const struct figures_page *page)
{
    const struct figures *f = &page->figures;

    print(t, " \"stores\": {");
    for (int i = 0; i < FIGURES_STORES; i++) {
        print(t, "%s\"%s\": \"%s\"", i ? ", " : "", stores[i],
              store_states[f->stores[i]]);
    }
    print(t,
          "},\n \"cache\": {\"users\": %" PRIu64 ", \"absent\": %" PRIu64
          ", \"bytes\": %" PRIu64 ", \"complete\": %s},\n",
          f->users, f->absent, f->bytes, f->complete ? "true" : "false");
    print(t, " \"feed\": {\"state\": \"%s\", \"lag\": ", feeds[f->feed]);
    if (lag(page) >= 0) {
        print(t, "%.3f},\n", lag(page));
    } else {
        print(t, "null},\n");
    }
}

static void json_look_ups(struct text *t, const struct figures *f)
{
    uint64_t sum = 0;

    print(t, " \"look_ups\": {");
    for (int o = 0; o < FIGURES_OUTCOMES; o++) {
        const char *comma = "";

        print(t, "%s\n  \"%s\": {", o ? "," : "", outcomes[o]);
        for (int i = 0; i < FIGURES_TIERS; i++) {
            if ((o == FIGURES_UNANSWERED) == (i == FIGURES_NOWHERE)) {
                print(t, "%s\"%s\": %" PRIu64, comma, tiers[i],
                      f->look_ups[o][i]);
                comma = ", ";
            }
        }
        print(t, "}");
    }
    print(t, "},\n \"look_up_seconds\": {\"buckets\": {");
    for (int b = 0; b < FIGURES_BUCKETS; b++) {
        sum += f->buckets[b];
        print(t, "%s\"%g\": %" PRIu64, b ? ", " : "",
              seconds(figures_bucket_us[b]), sum);
    }
    print(t, "},\n  \"sum\": %.6f, \"count\": %" PRIu64 "},\n",
          seconds((int64_t)f->look_up_us), sum + f->buckets[FIGURES_BUCKETS]);
}

static void json_outcomes(struct text *t, const uint64_t n[FIGURES_LOGINS])
{
    for (int i = 0; i < FIGURES_LOGINS; i++) {
        print(t, "%s\"%s\": %" PRIu64, i ? ", " : "", logins[i], n[i]);
    }
}

static void json_logins(struct text *t, const struct figures_page *page)
{
    print(t, " \"logins\": {");
    json_outcomes(t, page->figures.logins);
    print(t, ",\n  \"recent\": {\"seconds\": %u, ", page->recent_seconds);
    json_outcomes(t, page->recent_logins);
    print(t, "}},\n");
}

static void json_counters(struct text *t, const struct figures *f)
{
    print(t, " \"counters\": {");
    for (int i = 0; i < FIGURES_COUNTERS; i++) {
        print(t, "%s\n  \"%s\": %" PRIu64, i ? "," : "", counters[i].name,
              f->counters[i]);
    }
    print(t, "}\n");
}

size_t figures_json(char text[FIGURES_TEXT], const struct figures_page *page)
{
    struct text t = {text, 0};

    print(&t,
          "{\n \"version\": \"" CMS_EDGE_VERSION "\",\n \"pid\": %ld,\n"
          " \"started\": %.3f,\n \"updated\": %.3f,\n"
          " \"status\": \"active\",\n",
          page->pid, page->started, page->updated);
    json_sockets(&t, &page->sockets);
    json_states(&t, page);
    json_look_ups(&t, &page->figures);
    json_logins(&t, page);
    json_counters(&t, &page->figures);
    print(&t, "}\n");
    return t.n;
}
