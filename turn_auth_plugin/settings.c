/*
 * The table of settings and its parser; see settings.h.
 */

#include "settings.h"

#include <stdio.h>
#include <string.h>

#define MS 1
#define SECOND 1000
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY ((int64_t)24 * HOUR)

enum type { COUNT, TIME };

/*
 * Every setting. A time is a whole number with its unit (ms, s, m, h, d); 0
 * needs none. Smallest and largest value are allowed.
 */
static const struct setting {
    const char *key;
    enum type type;
    size_t offset;
    int64_t standard;
    int64_t min;
    int64_t max;
    const char *range;
} table[] = {
    /*
     * How many users are held in memory, about 100 bytes each when names have
     * up to 24 bytes; names that do not exist are held besides, at most an
     * eighth as many. When it is full, who was away longest gives way.
     */
    {"cache_size", COUNT, offsetof(struct settings, cache_size), 1000000, 100,
     100000000, "100 to 100000000"},
    /*
     * A key is used this long without asking the database again: how late a
     * changed password or a removed user may be noticed.
     */
    {"fresh_ttl", TIME, offsetof(struct settings, fresh_ttl_ms), 60 * SECOND,
     100 * MS, 1 * DAY, "100ms to 1d"},
    /*
     * How long a key is good for when the database cannot be asked, counted
     * from when it was last read. 0: it is not; a user whose key is no longer
     * fresh is refused while the database is away. Else at least fresh_ttl.
     */
    {"stale_ttl", TIME, offsetof(struct settings, stale_ttl_ms), 24 * HOUR, 0,
     30 * DAY, "0 or up to 30d"},
    /* A name that did not exist is refused this long without asking again. */
    {"negative_ttl", TIME, offsetof(struct settings, negative_ttl_ms),
     5 * SECOND, 0, 1 * HOUR, "0 or up to 1h"},
    /*
     * Deadline of one look-up in the database; longer than the way there and
     * back. A database that answers nothing for this long counts as away until
     * it answers in time; each look-up is then answered from memory at once.
     * Connecting to a host may take four times as long, and 2 s at least; after
     * that time the server gives a question up by itself (statement_timeout).
     */
    {"query_timeout", TIME, offsetof(struct settings, query_timeout_ms),
     500 * MS, 10 * MS, 10 * SECOND, "10ms to 10s"},
    /*
     * How often secrets, OAuth keys, origins, realm options and peer rules are
     * read again. (coturn takes them over every 5 s.)
     */
    {"poll_interval", TIME, offsetof(struct settings, poll_interval_ms),
     5 * SECOND, 100 * MS, 1 * HOUR, "100ms to 1h"},
};

#define FRESH_TTL offsetof(struct settings, fresh_ttl_ms)
#define STALE_TTL offsetof(struct settings, stale_ttl_ms)
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

static int64_t *place(struct settings *s, const struct setting *t)
{
    return (int64_t *)(void *)((char *)s + t->offset);
}

void settings_defaults(struct settings *s)
{
    for (size_t i = 0; i < TABLE_LEN; i++) {
        *place(s, &table[i]) = table[i].standard;
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

static int read_value(const struct setting *t, const struct line *l,
                      int64_t *value)
{
    if (t->type == TIME) {
        return read_time(l->value, l->value_len, value);
    }
    return read_number(l->value, l->value_len, value) == l->value_len &&
                   l->value_len > 0
               ? 0
               : -1;
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
    char what[128], keys[256] = "one of";

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
    snprintf(expected, sizeof(expected), "%s, %s",
             t->type == TIME ? "a time with its unit (ms, s, m, h, d)"
                             : "a whole number",
             t->range);
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

static int apply(struct parse *p, const struct line *l)
{
    int64_t value;
    size_t i = 0;

    while (i < TABLE_LEN && (strlen(table[i].key) != l->key_len ||
                             memcmp(table[i].key, l->key, l->key_len) != 0)) {
        i++;
    }
    if (i == TABLE_LEN) {
        return fail_unknown(p, l);
    }
    if (p->set_in[i]) {
        return fail_again(p, &table[i], p->set_in[i]);
    }
    p->set_in[i] = p->number;
    if (read_value(&table[i], l, &value) || value < table[i].min ||
        value > table[i].max) {
        return fail_value(p, &table[i], l);
    }
    *place(p->s, &table[i]) = value;
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

/* Settings that must fit each other; the error names a line that sets one. */
static int check_together(struct parse *p)
{
    for (size_t i = 0; i < TABLE_LEN; i++) {
        if (p->set_in[i] &&
            (table[i].offset == FRESH_TTL || table[i].offset == STALE_TTL)) {
            p->number = p->set_in[i];
        }
    }
    if (p->s->stale_ttl_ms && p->s->stale_ttl_ms < p->s->fresh_ttl_ms) {
        return fail(p, "stale_ttl is shorter than fresh_ttl",
                    "0 or at least fresh_ttl");
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
