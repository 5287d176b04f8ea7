/*
 * The table of settings and its parser; see settings.h.
 */

#include "settings.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define MS 1
#define SECOND 1000
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY ((int64_t)24 * HOUR)

#define AT(field) offsetof(struct settings, field)

enum type { COUNT, TIME, TEXT, PATH, SECRET_PATH, SERVER, LOOPBACK };

/* What is expected of a value, before its range. */
static const char *const expectation[] = {
    [COUNT] = "a whole number",
    [TIME] = "a time with its unit (ms, s, m, h, d)",
    [TEXT] = "a text without spaces",
    [PATH] = "an absolute path",
    [SECRET_PATH] = "an absolute path",
    [SERVER] = "unix:/path, host:port or [IPv6]:port",
    [LOOPBACK] = "127.0.0.1:port or another loopback address",
};

/*
 * Every setting. A time is a whole number with its unit (ms, s, m, h, d); 0
 * needs none. For numbers and times min and max are the smallest and largest
 * value allowed; for texts the shortest and longest, in bytes. Where the range
 * says so, none is a value as well. '#' begins a comment, in a value too.
 */
static const struct setting {
    const char *key;
    enum type type;
    size_t offset;
    int64_t standard;
    int64_t min;
    int64_t max;
    const char *range;
    const char *standard_text;
    size_t secret; /* offset of what stands in the file; SECRET_PATH */
} table[] = {
    /*
     * How many users are held in memory, about 100 bytes each when names have
     * up to 24 bytes; names that do not exist are held besides, at most an
     * eighth as many. When it is full, who was away longest gives way.
     */
    {"cache_size", COUNT, AT(cache_size), 1000000, 100, 100000000,
     "100 to 100000000", NULL, 0},
    /*
     * A key is used this long without asking the database again. Where there is
     * a change feed (turn.user_change, on a primary), it confirms all keys, and
     * changes are known at once; elsewhere this is how late a changed password
     * or a removed user may be noticed.
     */
    {"fresh_ttl", TIME, AT(fresh_ttl_ms), 60 * SECOND, 100 * MS, 1 * DAY,
     "100ms to 1d", NULL, 0},
    /*
     * How long a key is good for when the database cannot be asked, counted
     * from when it was last read or confirmed. 0: it is not; a user whose key
     * is no longer fresh is refused while the database is away. Else at least
     * fresh_ttl.
     */
    {"stale_ttl", TIME, AT(stale_ttl_ms), 24 * HOUR, 0, 30 * DAY,
     "0 or up to 30d", NULL, 0},
    /*
     * A name that did not exist is refused this long without asking again;
     * where there is a change feed, until it is made.
     */
    {"negative_ttl", TIME, AT(negative_ttl_ms), 5 * SECOND, 0, 1 * HOUR,
     "0 or up to 1h", NULL, 0},
    /*
     * Deadline of one look-up in the database; longer than the way there and
     * back. A database that answers nothing for this long counts as away until
     * it answers in time; each look-up is then answered from memory at once.
     * Connecting to a host may take four times as long, and 2 s at least; after
     * that time the server gives a question up by itself (statement_timeout).
     */
    {"query_timeout", TIME, AT(query_timeout_ms), 500 * MS, 10 * MS,
     10 * SECOND, "10ms to 10s", NULL, 0},
    /*
     * How often secrets, OAuth keys, origins, realm options and peer rules are
     * read again where no notification says that they have changed, and changed
     * users where there is no feed (a standby). coturn takes rules over every
     * 5 s.
     */
    {"poll_interval", TIME, AT(poll_interval_ms), 5 * SECOND, 100 * MS,
     1 * HOUR, "100ms to 1h", NULL, 0},
    /*
     * A Redis that all edges share: between memory and PostgreSQL, and a warm
     * start while PostgreSQL is down. Its values are sealed; the way there is
     * not: a unix socket or a trusted network.
     */
    {"redis", SERVER, AT(redis), 0, 1, SETTING_TEXT - 1, "none", "", 0},
    /*
     * Its first line is the password, or user and password with a space. The
     * user needs +ping +select +getrange +set +del +eval, and the keys that
     * begin with redis_prefix.
     */
    {"redis_password_file", SECRET_PATH, AT(redis_password_file), 0, 1,
     SETTING_TEXT - 1, "none", "", AT(redis_password)},
    {"redis_database", COUNT, AT(redis_database), 0, 0, 1023, "0 to 1023", NULL,
     0},
    /* What all keys in Redis begin with. */
    {"redis_prefix", TEXT, AT(redis_prefix), 0, 1, 64, "1 to 64 bytes",
     "cms-edge:", 0},
    /* Deadline of one look-up in Redis. */
    {"redis_timeout", TIME, AT(redis_timeout_ms), 50 * MS, 1 * MS, 10 * SECOND,
     "1ms to 10s", NULL, 0},
    /*
     * One key a line, 32 bytes as 64 hexadecimal digits: the first seals what
     * goes to Redis, all (16 at most) open what comes from there. Needed with
     * redis, the same on all edges; made with `openssl rand -hex 32`. Read
     * again when it changes. A new key is first added to all edges as the last
     * line, then made the first; the old one is taken away after stale_ttl.
     */
    {"seal_key_file", SECRET_PATH, AT(seal_key_file), 0, 1, SETTING_TEXT - 1,
     "none", "", AT(seal_keys)},
    /*
     * coturn's own CLI (cli-ip, cli-port), through which live relays of users
     * are closed who were removed or disabled, expired, or got another
     * password. none: their relays live on until the client or lifetime ends.
     */
    {"cli", LOOPBACK, AT(cli), 0, 1, SETTING_TEXT - 1, "none", "", 0},
    /* Its first line is the CLI's password in clear. Needed with cli. */
    {"cli_password_file", SECRET_PATH, AT(cli_password_file), 0, 1,
     SETTING_TEXT - 1, "none", "", AT(cli_password)},
    /*
     * Where turn.prom and turn.json are written (figures_text.h says what is in
     * them), a directory for each turnserver, in which its user may make files.
     * none: nowhere; nor when it is not set and /run/cms-edge does not exist.
     */
    {"figures_dir", PATH, AT(figures_dir), 0, 1, SETTING_TEXT - 1, "none",
     FIGURES_DIR, 0},
};

#define TABLE_LEN (sizeof(table) / sizeof(table[0]))

static const struct {
    const char *name;
    int64_t ms;
} units[] = {
    {"ms", MS}, {"s", SECOND}, {"m", MINUTE}, {"h", HOUR}, {"d", DAY},
};

struct line {
    const char *key;
    size_t key_len;
    const char *value;
    size_t value_len;
};

struct parse {
    struct settings *s;
    const char *file;
    int number;
    int set_in[TABLE_LEN]; /* line of each setting, 0: not set */
    char *error;
    size_t error_size;
};

static int is_text(const struct setting *t)
{
    return t->type != COUNT && t->type != TIME;
}

static void *place(struct settings *s, size_t offset)
{
    return (char *)s + offset;
}

static void set_number(struct settings *s, const struct setting *t,
                       int64_t value)
{
    memcpy(place(s, t->offset), &value, sizeof(value));
}

static void set_text(struct settings *s, const struct setting *t, const char *p,
                     size_t n)
{
    char *text = place(s, t->offset);

    memset(text, 0, SETTING_TEXT);
    memcpy(text, p, n);
}

void settings_defaults(struct settings *s)
{
    memset(s, 0, sizeof(*s));
    for (size_t i = 0; i < TABLE_LEN; i++) {
        const struct setting *t = &table[i];

        if (is_text(t)) {
            set_text(s, t, t->standard_text, strlen(t->standard_text));
        } else {
            set_number(s, t, t->standard);
        }
    }
}

/* ---- values ---- */

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The digits at the start of (p, n); how many, 0 when none or too large. */
static size_t read_number(const char *p, size_t n, int64_t *value)
{
    size_t i;

    *value = 0;
    for (i = 0; i < n && is_digit(p[i]); i++) {
        if (i == 12) {
            return 0;
        }
        *value = 10 * *value + (p[i] - '0');
    }
    return i;
}

static int read_time(const char *p, size_t n, int64_t *ms)
{
    int64_t number;
    size_t digits = read_number(p, n, &number);

    if (!digits) {
        return -1;
    }
    *ms = 0;
    if (digits == n) {
        return number == 0 ? 0 : -1;
    }
    p += digits;
    n -= digits;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strlen(units[i].name) == n && memcmp(units[i].name, p, n) == 0) {
            if (number > INT64_MAX / units[i].ms) {
                return -1;
            }
            *ms = number * units[i].ms;
            return 0;
        }
    }
    return -1;
}

static int in_range(const struct setting *t, int64_t value)
{
    return value >= t->min && value <= t->max ? 0 : -1;
}

static int read_count(const char *p, size_t n, int64_t *value)
{
    return n > 0 && read_number(p, n, value) == n ? 0 : -1;
}

static int is_none(const struct setting *t, const char *p, size_t n)
{
    return n == 4 && memcmp(p, "none", 4) == 0 && strcmp(t->range, "none") == 0;
}

/* No spaces, no control characters. */
static int is_word(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)p[i] <= ' ' || p[i] == 0x7f) {
            return 0;
        }
    }
    return n > 0;
}

/* host:port or [IPv6]:port; *host_len: how long what is before ":port" is. */
static int is_host_port(const char *p, size_t n, size_t *host_len)
{
    int64_t port;
    size_t at = n;

    while (at > 0 && p[at - 1] != ':') {
        at--;
    }
    if (at < 2 || read_count(p + at, n - at, &port) != 0 || port < 1 ||
        port > 65535) {
        return 0;
    }
    *host_len = at - 1;
    if (p[0] == '[') {
        return *host_len > 2 && p[*host_len - 1] == ']';
    }
    return !memchr(p, ':', *host_len);
}

static int is_server(const char *p, size_t n)
{
    size_t host_len;

    if (n > 5 && memcmp(p, "unix:", 5) == 0) {
        /* What a socket's address has room for. */
        return p[5] == '/' && n > 6 && n - 5 < 108;
    }
    return is_host_port(p, n, &host_len);
}

/* The password goes there in clear: an address, no name. */
static int is_loopback(const char *p, size_t n)
{
    char host[INET6_ADDRSTRLEN] = "";
    uint8_t address[16];
    size_t len;

    if (!is_host_port(p, n, &len) || len >= sizeof(host)) {
        return 0;
    }
    if (p[0] != '[') {
        memcpy(host, p, len);
        return inet_pton(AF_INET, host, address) == 1 && address[0] == 127;
    }
    memcpy(host, p + 1, len - 2);
    return inet_pton(AF_INET6, host, address) == 1 &&
           memcmp(address, &in6addr_loopback, sizeof(address)) == 0;
}

static int is_good_text(const struct setting *t, const char *p, size_t n)
{
    if (!is_word(p, n)) {
        return 0;
    }
    switch (t->type) {
    case PATH:
    case SECRET_PATH:
        return p[0] == '/';
    case SERVER:
        return is_server(p, n);
    case LOOPBACK:
        return is_loopback(p, n);
    default:
        return 1;
    }
}

static int apply_text(struct settings *s, const struct setting *t,
                      const struct line *l)
{
    if (is_none(t, l->value, l->value_len)) {
        set_text(s, t, "", 0);
        return 0;
    }
    if (in_range(t, (int64_t)l->value_len) != 0 ||
        !is_good_text(t, l->value, l->value_len)) {
        return -1;
    }
    set_text(s, t, l->value, l->value_len);
    return 0;
}

static int apply_number(struct settings *s, const struct setting *t,
                        const struct line *l)
{
    int64_t value;
    int bad = t->type == TIME ? read_time(l->value, l->value_len, &value)
                              : read_count(l->value, l->value_len, &value);

    if (bad || in_range(t, value) != 0) {
        return -1;
    }
    set_number(s, t, value);
    return 0;
}

/* ---- errors ---- */

static int fail(struct parse *p, const char *what, const char *expected)
{
    snprintf(p->error, p->error_size, "%s:%d: %s, expected %s", p->file,
             p->number, what, expected);
    return -1;
}

static int fail_unknown(struct parse *p, const struct line *l)
{
    char what[128], keys[320] = "one of";

    snprintf(what, sizeof(what), "there is no setting '%.*s'",
             (int)(l->key_len < 60 ? l->key_len : 60), l->key);
    for (size_t i = 0; i < TABLE_LEN; i++) {
        size_t n = strlen(keys);

        snprintf(keys + n, sizeof(keys) - n, "%s %s", i ? "," : "",
                 table[i].key);
    }
    return fail(p, what, keys);
}

static int fail_again(struct parse *p, const struct setting *t, int line)
{
    char what[128];

    snprintf(what, sizeof(what), "%s is set again after line %d", t->key, line);
    return fail(p, what, "each setting once");
}

static int fail_value(struct parse *p, const struct setting *t,
                      const struct line *l)
{
    char what[128], expected[160];

    snprintf(what, sizeof(what), "%s is '%.*s'", t->key,
             (int)(l->value_len < 60 ? l->value_len : 60), l->value);
    snprintf(expected, sizeof(expected), "%s%s%s", expectation[t->type],
             strcmp(t->range, "none") == 0 ? " or " : ", ", t->range);
    return fail(p, what, expected);
}

/* ---- lines ---- */

static int is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static void trim(const char **p, size_t *n)
{
    while (*n && is_space(**p)) {
        (*p)++;
        (*n)--;
    }
    while (*n && is_space((*p)[*n - 1])) {
        (*n)--;
    }
}

static int split(struct parse *p, const char *text, size_t n, struct line *l)
{
    const char *equals = memchr(text, '=', n);

    if (!equals) {
        return fail(p, "this is no setting", "key = value");
    }
    l->key = text;
    l->key_len = (size_t)(equals - text);
    l->value = equals + 1;
    l->value_len = n - l->key_len - 1;
    trim(&l->key, &l->key_len);
    trim(&l->value, &l->value_len);
    return 0;
}

static void note_line(struct parse *p, const struct setting *t)
{
    struct setting_secret *secret;

    if (t->type == SECRET_PATH) {
        secret = place(p->s, t->secret);
        secret->line = p->number;
    }
}

static int apply(struct parse *p, const struct line *l)
{
    const struct setting *t;
    size_t i = 0;

    while (i < TABLE_LEN && (strlen(table[i].key) != l->key_len ||
                             memcmp(table[i].key, l->key, l->key_len) != 0)) {
        i++;
    }
    if (i == TABLE_LEN) {
        return fail_unknown(p, l);
    }
    t = &table[i];
    if (p->set_in[i]) {
        return fail_again(p, t, p->set_in[i]);
    }
    p->set_in[i] = p->number;
    if (is_text(t) ? apply_text(p->s, t, l) : apply_number(p->s, t, l)) {
        return fail_value(p, t, l);
    }
    note_line(p, t);
    return 0;
}

static int parse_line(struct parse *p, const char *text, size_t n)
{
    const char *comment = memchr(text, '#', n);
    struct line l;

    if (comment) {
        n = (size_t)(comment - text);
    }
    trim(&text, &n);
    if (n == 0) {
        return 0;
    }
    return split(p, text, n, &l) == 0 ? apply(p, &l) : -1;
}

/* The last line that sets one of two settings: errors name it. */
static void at_line_of(struct parse *p, size_t one, size_t other)
{
    p->number = 0;
    for (size_t i = 0; i < TABLE_LEN; i++) {
        if ((table[i].offset == one || table[i].offset == other) &&
            p->set_in[i] > p->number) {
            p->number = p->set_in[i];
        }
    }
}

/* Settings that must fit each other. */
static int check_together(struct parse *p)
{
    const struct settings *s = p->s;

    if (s->stale_ttl_ms && s->stale_ttl_ms < s->fresh_ttl_ms) {
        at_line_of(p, AT(fresh_ttl_ms), AT(stale_ttl_ms));
        return fail(p, "stale_ttl is shorter than fresh_ttl",
                    "0 or at least fresh_ttl");
    }
    if (s->redis[0] && !s->seal_key_file[0]) {
        at_line_of(p, AT(redis), AT(seal_key_file));
        return fail(p, "redis is set without seal_key_file",
                    "both: what goes to Redis is sealed");
    }
    if (s->cli[0] && !s->cli_password_file[0]) {
        at_line_of(p, AT(cli), AT(cli_password_file));
        return fail(p, "cli is set without cli_password_file", "both");
    }
    return 0;
}

int settings_parse(struct settings *s, const char *file, const char *text,
                   size_t len, char *error, size_t error_size)
{
    struct parse p = {
        .s = s, .file = file, .error = error, .error_size = error_size};
    const char *end = text + len, *newline;

    while (text < end) {
        newline = memchr(text, '\n', (size_t)(end - text));
        if (!newline) {
            newline = end;
        }
        p.number++;
        if (parse_line(&p, text, (size_t)(newline - text)) != 0) {
            return -1;
        }
        text = newline + (newline < end);
    }
    return check_together(&p);
}
