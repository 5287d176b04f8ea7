/* sources: turn_auth_plugin/settings.c */

#include "settings.h"
#include "tap.h"

static struct settings s;
static char error[512];

static int parse(const char *text)
{
    settings_defaults(&s);
    error[0] = '\0';
    return settings_parse(&s, "F", text, strlen(text), error, sizeof(error));
}

static void good(const char *text, int64_t got_at, long want, const char *name)
{
    is_int(parse(text), 0, name);
    is_int(*(int64_t *)(void *)((char *)&s + got_at), want, "  its value");
}

static void bad(const char *text, const char *message)
{
    ok(parse(text) == -1, "refused: %s", text);
    is_mem(error, strlen(error), message, "  and says why");
}

#define AT(field) (int64_t) offsetof(struct settings, field)
#define TIME "a time with its unit (ms, s, m, h, d), "

static void values(void)
{
    good("", AT(cache_size), 1000000, "an empty file: defaults");
    good("", AT(fresh_ttl_ms), 60000, "fresh_ttl is 60s");
    good("", AT(stale_ttl_ms), 86400000, "stale_ttl is 24h");
    good("", AT(negative_ttl_ms), 5000, "negative_ttl is 5s");
    good("", AT(query_timeout_ms), 500, "query_timeout is 500ms");
    good("", AT(poll_interval_ms), 5000, "poll_interval is 5s");
    good("# comment\n\n cache_size=5000 # more\n", AT(cache_size), 5000,
         "comments, blanks");
    good("fresh_ttl = 5m\r\n", AT(fresh_ttl_ms), 300000, "minutes, CR LF");
    good("stale_ttl = 0", AT(stale_ttl_ms), 0, "0 needs no unit, no newline");
    good("stale_ttl = 30d", AT(stale_ttl_ms), 2592000000, "days");
    good("query_timeout = 10ms", AT(query_timeout_ms), 10, "the smallest");
    good("query_timeout = 10s", AT(query_timeout_ms), 10000, "the largest");
}

static void errors(void)
{
    bad("cache_size = 10\n",
        "F:1: cache_size is '10', expected a whole number, 100 to 100000000");
    bad("\ncache_size = many",
        "F:2: cache_size is 'many', expected a whole number, 100 to 100000000");
    bad("cache_size =",
        "F:1: cache_size is '', expected a whole number, 100 to 100000000");
    bad("cache_size = 9999999999999999999999",
        "F:1: cache_size is '9999999999999999999999', expected a whole number, "
        "100 to 100000000");
    bad("fresh_ttl = 60",
        "F:1: fresh_ttl is '60', expected " TIME "100ms to 1d");
    bad("fresh_ttl = 2d",
        "F:1: fresh_ttl is '2d', expected " TIME "100ms to 1d");
    bad("fresh_ttl = 1 s",
        "F:1: fresh_ttl is '1 s', expected " TIME "100ms to 1d");
    bad("fresh_ttl = -1s",
        "F:1: fresh_ttl is '-1s', expected " TIME "100ms to 1d");
    bad("query_timeout = 9ms",
        "F:1: query_timeout is '9ms', expected " TIME "10ms to 10s");
    bad("negative_ttl = 61m",
        "F:1: negative_ttl is '61m', expected " TIME "0 or up to 1h");
    bad("poll_interval = 0",
        "F:1: poll_interval is '0', expected " TIME "100ms to 1h");
    bad("stale_ttl = 999999999999d",
        "F:1: stale_ttl is '999999999999d', expected " TIME "0 or up to 30d");
    bad("cache_size 5000", "F:1: this is no setting, expected key = value");
    bad("fresh_ttl = 1s\nfresh_ttl = 2s\n",
        "F:2: fresh_ttl is set again after line 1, expected each setting once");
    bad("fresh_ttl = 5m\nstale_ttl = 1m\n\n",
        "F:2: stale_ttl is shorter than fresh_ttl, "
        "expected 0 or at least fresh_ttl");
    bad("Cache_size = 5000",
        "F:1: there is no setting 'Cache_size', expected one of cache_size, "
        "fresh_ttl, stale_ttl, negative_ttl, query_timeout, poll_interval");
    bad(" = 5000",
        "F:1: there is no setting '', expected one of cache_size, "
        "fresh_ttl, stale_ttl, negative_ttl, query_timeout, poll_interval");
}

int main(void)
{
    values();
    errors();
    return done_testing();
}
