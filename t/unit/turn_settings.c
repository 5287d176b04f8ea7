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

static void text(const char *line, size_t at, const char *want)
{
    is_int(parse(line), 0, line[0] ? line : "an empty file");
    is_mem((char *)&s + at, strlen((char *)&s + at), want, "  its value");
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
    good("", AT(redis_timeout_ms), 50, "redis_timeout is 50ms");
    good("", AT(redis_database), 0, "redis_database is 0");
    good("redis_database = 1023", AT(redis_database), 1023, "the largest");
}

#define SEAL "\nseal_key_file=/k"
#define PASSWORD "\ncli_password_file=/p"

static void texts(void)
{
    char longest[SETTING_TEXT + 32] = "figures_dir=/";

    text("", AT(redis), "");
    text("", AT(redis_prefix), "cms-edge:");
    text("", AT(cli), "");
    text("", AT(figures_dir), "/run/cms-edge");
    text("redis = unix:/run/redis.sock" SEAL, AT(redis),
         "unix:/run/redis.sock");
    text("redis = redis.octavio.test:6379" SEAL, AT(redis),
         "redis.octavio.test:6379");
    text("redis = [2001:db8::1]:6379" SEAL, AT(redis), "[2001:db8::1]:6379");
    text("redis = none", AT(redis), "");
    text("redis = unix:/s" SEAL, AT(seal_key_file), "/k");
    text("cli = 127.0.0.1:5766" PASSWORD, AT(cli), "127.0.0.1:5766");
    text("cli = 127.1.2.3:1" PASSWORD, AT(cli), "127.1.2.3:1");
    text("cli = [::1]:5766" PASSWORD, AT(cli), "[::1]:5766");
    text("cli = none", AT(cli), "");
    text("redis_prefix = x # y", AT(redis_prefix), "x");
    text("redis_prefix = none", AT(redis_prefix), "none");
    text("figures_dir = none", AT(figures_dir), "");
    is_int(parse("\nseal_key_file = /k\n"), 0, "a file of secrets");
    is_int(s.seal_keys.line, 2, "  its line is kept");
    memset(longest + 13, 'x', SETTING_TEXT - 2);
    is_int(parse(longest), 0, "the longest text");
    strcat(longest, "x");
    is_int(parse(longest), -1, "a byte more is refused");
}

#define KEYS                                                                   \
    "cache_size, fresh_ttl, stale_ttl, negative_ttl, query_timeout, "          \
    "poll_interval, redis, redis_password_file, redis_database, "              \
    "redis_prefix, redis_timeout, seal_key_file, cli, cli_password_file, "     \
    "figures_dir"

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
        "F:1: there is no setting 'Cache_size', expected one of " KEYS);
    bad(" = 5000", "F:1: there is no setting '', expected one of " KEYS);
}

#define SERVER "expected unix:/path, host:port or [IPv6]:port or none"
#define LOOPBACK "expected 127.0.0.1:port or another loopback address or none"

static void text_errors(void)
{
    bad("redis =", "F:1: redis is '', " SERVER);
    bad("redis = /run/redis.sock", "F:1: redis is '/run/redis.sock', " SERVER);
    bad("redis = unix:redis.sock", "F:1: redis is 'unix:redis.sock', " SERVER);
    bad("redis = unix:", "F:1: redis is 'unix:', " SERVER);
    bad("redis = localhost", "F:1: redis is 'localhost', " SERVER);
    bad("redis = localhost:", "F:1: redis is 'localhost:', " SERVER);
    bad("redis = :6379", "F:1: redis is ':6379', " SERVER);
    bad("redis = h:0", "F:1: redis is 'h:0', " SERVER);
    bad("redis = h:65536", "F:1: redis is 'h:65536', " SERVER);
    bad("redis = h:6379x", "F:1: redis is 'h:6379x', " SERVER);
    bad("redis = 2001:db8::1:6379",
        "F:1: redis is '2001:db8::1:6379', " SERVER);
    bad("redis = []:6379", "F:1: redis is '[]:6379', " SERVER);
    bad("redis = [::1:6379", "F:1: redis is '[::1:6379', " SERVER);
    bad("redis = a b:6379", "F:1: redis is 'a b:6379', " SERVER);
    bad("redis = h:1", "F:1: redis is set without seal_key_file, expected both:"
                       " what goes to Redis is sealed");
    bad("redis_password_file = pw",
        "F:1: redis_password_file is 'pw', expected an absolute path or none");
    bad("redis_database = 1024", "F:1: redis_database is '1024', "
                                 "expected a whole number, 0 to 1023");
    bad("redis_prefix = a b", "F:1: redis_prefix is 'a b', "
                              "expected a text without spaces, 1 to 64 bytes");
    bad("redis_prefix =", "F:1: redis_prefix is '', "
                          "expected a text without spaces, 1 to 64 bytes");
    bad("redis_timeout = 0",
        "F:1: redis_timeout is '0', expected " TIME "1ms to 10s");
    bad("seal_key_file = k",
        "F:1: seal_key_file is 'k', expected an absolute path or none");
    bad("cli = 192.0.2.1:5766", "F:1: cli is '192.0.2.1:5766', " LOOPBACK);
    bad("cli = localhost:5766", "F:1: cli is 'localhost:5766', " LOOPBACK);
    bad("cli = 127.0.0.1", "F:1: cli is '127.0.0.1', " LOOPBACK);
    bad("cli = 127.1:5766", "F:1: cli is '127.1:5766', " LOOPBACK);
    bad("cli = [::2]:5766", "F:1: cli is '[::2]:5766', " LOOPBACK);
    bad("\ncli = [::1]:1\n\n",
        "F:2: cli is set without cli_password_file, expected both");
    bad("cli_password_file = ",
        "F:1: cli_password_file is '', expected an absolute path or none");
    bad("figures_dir = run",
        "F:1: figures_dir is 'run', expected an absolute path or none");
    bad("figures_dir = /a\x01"
        "b",
        "F:1: figures_dir is '/a\x01"
        "b', expected an absolute path or none");
}

int main(void)
{
    values();
    texts();
    errors();
    text_errors();
    return done_testing();
}
