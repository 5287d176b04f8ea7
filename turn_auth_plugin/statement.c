/*
 * A table of coturn's statements and the matcher for it; see statement.h.
 */

#include "statement.h"

#include <string.h>

/* '?' stands for a literal or a parameter. Lower case, no double spaces. */
static const struct {
    enum statement_kind kind;
    const char *text;
} known[] = {
    {STATEMENT_USER_KEY,
     "select hmackey from turnusers_lt where name=? and realm=?"},
    {STATEMENT_REALM_SECRETS, "select value from turn_secret where realm=?"},
    {STATEMENT_PING, "select value from turn_secret"},
    {STATEMENT_OAUTH_KEY,
     "select ikm_key,timestamp,lifetime,as_rs_alg,realm from oauth_key "
     "where kid=?"},
    {STATEMENT_ORIGINS, "select origin,realm from turn_origin_to_realm"},
    {STATEMENT_REALM_OPTIONS, "select realm,opt,value from turn_realm_option"},
    {STATEMENT_ALLOWED_PEERS, "select ip_range,realm from allowed_peer_ip"},
    {STATEMENT_DENIED_PEERS, "select ip_range,realm from denied_peer_ip"},
    /* What coturn tries when the one above failed. */
    {STATEMENT_ALLOWED_PEERS, "select ip_range,'' from allowed_peer_ip"},
    {STATEMENT_DENIED_PEERS, "select ip_range,'' from denied_peer_ip"},
};

struct reader {
    const char *p;
    const char *end;
    const char *const *params;
    int count;
};

static int is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c;
}

static void skip_spaces(struct reader *r)
{
    while (r->p < r->end && is_space(*r->p)) {
        r->p++;
    }
}

static int read_literal(struct reader *r, struct statement_value *value)
{
    value->p = ++r->p;
    while (r->p < r->end && *r->p != '\'') {
        if (*r->p == '\\' || *r->p == '\0') {
            return 0;
        }
        r->p++;
    }
    if (r->p == r->end) {
        return 0;
    }
    value->len = (size_t)(r->p++ - value->p);
    /* A doubled quote would be part of the value. */
    return r->p == r->end || *r->p != '\'';
}

static int read_parameter(struct reader *r, struct statement_value *value)
{
    int n = 0;

    r->p++;
    while (r->p < r->end && *r->p >= '0' && *r->p <= '9' && n < 100) {
        n = 10 * n + *r->p++ - '0';
    }
    if (n < 1 || n > r->count || !r->params[n - 1]) {
        return 0;
    }
    value->p = r->params[n - 1];
    value->len = strlen(value->p);
    return 1;
}

static int read_value(struct reader *r, struct statement_value *value)
{
    if (r->p < r->end && *r->p == '\'') {
        return read_literal(r, value);
    }
    if (r->p < r->end && *r->p == '$') {
        return read_parameter(r, value);
    }
    return 0;
}

static int at_end(struct reader *r)
{
    skip_spaces(r);
    if (r->p < r->end && *r->p == ';') {
        r->p++;
        skip_spaces(r);
    }
    return r->p == r->end;
}

static int matches(struct statement *s, struct reader r, const char *form)
{
    int n = 0;

    for (; *form; form++) {
        if (is_space(*form)) {
            continue;
        }
        skip_spaces(&r);
        if (*form == '?') {
            if (!read_value(&r, &s->values[n++])) {
                return 0;
            }
        } else if (r.p == r.end || lower(*r.p++) != *form) {
            return 0;
        }
    }
    return at_end(&r);
}

void statement_recognise(struct statement *s, const char *text, size_t len,
                         const char *const *params, int count)
{
    struct reader r = {text, text + len, params, count};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        memset(s, 0, sizeof(*s));
        if (matches(s, r, known[i].text)) {
            s->kind = known[i].kind;
            return;
        }
    }
    memset(s, 0, sizeof(*s));
}
