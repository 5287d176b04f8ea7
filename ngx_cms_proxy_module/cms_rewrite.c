/*
 * Replaces inside authorities by the guest's. Called by the header filter for
 * each header that can hold one.
 */

#include "cms_rewrite.h"

#include "cms_authority.h"

#include <stdio.h>
#include <string.h>

typedef struct {
    const unsigned char *in;
    size_t len;
} text_t;

static int
hex_value(unsigned char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Part of a host name for a reader: "." joins labels, non-ASCII is IDN. */
static int
is_name_char(int c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
           (c >= 'A' && c <= 'Z') || c == '-' || c == '_' || c == '.' ||
           c >= 0x80;
}

static int
hex_pair(const unsigned char *p)
{
    int hi = hex_value(p[0]), lo = hex_value(p[1]);

    return hi < 0 || lo < 0 ? -1 : hi * 16 + lo;
}

/*
 * The character that begins at i, whether plain, %XX or \u00XX, and how many
 * bytes it takes; -1 at the end of the text.
 */
static int
char_at(const text_t *t, size_t i, size_t *taken)
{
    const unsigned char *p = t->in + i;
    size_t left = t->len - i;
    int c;

    if (left == 0) {
        *taken = 0;
        return -1;
    }
    if (*p == '%' && left >= 3 && (c = hex_pair(p + 1)) >= 0) {
        *taken = 3;
        return c;
    }
    if (*p == '\\' && left >= 6 && (p[1] | 0x20) == 'u' && p[2] == '0' &&
        p[3] == '0' && (c = hex_pair(p + 4)) >= 0) {
        *taken = 6;
        return c;
    }
    *taken = 1;
    return *p;
}

/* The character that ends before i, likewise; -1 at the start. */
static int
char_before(const text_t *t, size_t i, size_t *taken)
{
    int c;

    if (i >= 6 && t->in[i - 6] == '\\') {
        c = char_at(t, i - 6, taken);
        if (*taken == 6) {
            return c;
        }
    }
    if (i >= 3 && t->in[i - 3] == '%') {
        c = char_at(t, i - 3, taken);
        if (*taken == 3) {
            return c;
        }
    }
    *taken = 1;
    return i ? t->in[i - 1] : -1;
}

/*
 * A port behind a host: 1 with its number and its end, 0 if there is none
 * (also for ":" without digits), -1 if what stands there is no port.
 */
static int
port_at(const text_t *t, size_t i, unsigned *port, size_t *end)
{
    size_t taken, digits = 0;
    unsigned n = 0;

    if (char_at(t, i, &taken) != ':') {
        return 0;
    }
    for (i += taken; i < t->len && t->in[i] >= '0' && t->in[i] <= '9'; i++) {
        n = n * 10 + (t->in[i] - '0');
        if (++digits > 5) {
            return -1;
        }
    }
    if (digits == 0) {
        return 0;
    }
    *port = n;
    *end = i;
    return is_name_char(char_at(t, i, &taken)) ? -1 : 1;
}

/* A name ends here: nothing, or no name character, or a dot and then none. */
static int
name_ends(const text_t *t, size_t i)
{
    size_t taken;
    int c = char_at(t, i, &taken);

    if (c == '.') {
        i += taken;
        c = char_at(t, i, &taken);
    }
    return c < 0 || !is_name_char(c);
}

static int
own_port(const cms_rewrite_mapping_t *m, unsigned port)
{
    return m->from_port ? port == m->from_port : port == 443 || port == 80;
}

/*
 * Behind a root dot: where the authority goes on, or ends in a URL. A dot
 * before anything else may end a sentence, and is not the name's.
 */
static size_t
skip_root_dot(const text_t *t, size_t i)
{
    size_t taken, next;
    int c;

    if (char_at(t, i, &taken) != '.') {
        return i;
    }
    c = char_at(t, i + taken, &next);
    return c == '/' || c == ':' || c == '?' || c == '#' || c == '\\' ? i + taken
                                                                    : i;
}

/* The end of what mapping m replaces at i, or 0. */
static size_t
match_at(const text_t *t, size_t i, const cms_rewrite_mapping_t *m)
{
    size_t taken, end = i + m->from_len;
    unsigned port;
    int before;

    if (t->len - i < m->from_len ||
        !cms_authority_same_host(t->in + i, m->from_len, m->from,
                                 m->from_len)) {
        return 0;
    }
    before = char_before(t, i, &taken);
    if (is_name_char(before) || !name_ends(t, end)) {
        return 0;
    }
    if (m->kind == CMS_REWRITE_DOMAIN) {
        return before == '@' ? end : 0;
    }
    end = skip_root_dot(t, end);
    switch (port_at(t, end, &port, &end)) {
    case 0:
        return end;
    case 1:
        return own_port(m, port) ? end : 0;
    default:
        return 0;
    }
}

static size_t
put(unsigned char *out, size_t at, const void *p, size_t len)
{
    if (out) {
        memcpy(out + at, p, len);
    }
    return at + len;
}

/* The colon is spelled as the text around it is: ":" or "%3A". */
static size_t
put_authority(const text_t *t, size_t i, const cms_rewrite_mapping_t *m,
              unsigned char *out, size_t at)
{
    char port[16];
    int n;

    at = put(out, at, m->to, m->to_len);
    if (m->kind == CMS_REWRITE_AUTHORITY && m->to_port) {
        int escaped = i >= 3 && t->in[i - 3] == '%';

        n = snprintf(port, sizeof(port), "%s%u", escaped ? "%3A" : ":",
                     m->to_port);
        at = put(out, at, port, n);
    }
    return at;
}

/*
 * The first match of mapping m that starts at i or behind: 1, its start and
 * its end. Most names have a dot and most values few, so dots are looked for.
 */
static int
find_mapping(const text_t *t, size_t i, const cms_rewrite_mapping_t *m,
             size_t *start, size_t *end)
{
    const unsigned char *dot = memchr(m->from, '.', m->from_len), *p;
    size_t skip = dot ? (size_t)(dot - m->from) : 0;

    for (; t->len - i >= m->from_len; i++) {
        if (dot) {
            p = memchr(t->in + i + skip, '.', t->len - i - skip);
            if (p == NULL) {
                return 0;
            }
            i = p - t->in - skip;
        }
        *end = match_at(t, i, m);
        if (*end) {
            *start = i;
            return 1;
        }
    }
    return 0;
}

size_t
cms_rewrite(const unsigned char *in, size_t len,
            const cms_rewrite_mapping_t *mappings, size_t count,
            unsigned char *out, size_t *matches)
{
    text_t t = {in, len};
    size_t copied = 0, at = 0, start, end, k;

    *matches = 0;
    for (;;) {
        const cms_rewrite_mapping_t *best = NULL;
        size_t best_start = len, best_end = len;

        for (k = 0; k < count; k++) {
            if (find_mapping(&t, copied, &mappings[k], &start, &end) &&
                start < best_start) {
                best = &mappings[k];
                best_start = start;
                best_end = end;
            }
        }
        at = put(out, at, in + copied, best_start - copied);
        if (best == NULL) {
            return at;
        }
        at = put_authority(&t, best_start, best, out, at);
        copied = best_end;
        (*matches)++;
    }
}

static int
is_space(unsigned char c)
{
    return c == ' ' || c == '\t';
}

int
cms_cookie_domain(const unsigned char *in, size_t len, size_t *pos,
                  size_t *start, size_t *end)
{
    const unsigned char *name = (const unsigned char *)"domain";
    size_t i = *pos, s, e;

    while (i < len) {
        while (i < len && in[i] != ';') {
            i++;
        }
        if (i < len) {
            i++;
        }
        for (s = i; s < len && is_space(in[s]); s++) {
            /* to the attribute's name */
        }
        if (len - s < 6 || !cms_authority_same_host(in + s, 6, name, 6)) {
            continue;
        }
        for (s += 6; s < len && is_space(in[s]); s++) {
            /* to "=" */
        }
        if (s == len || in[s] != '=') {
            continue;
        }
        for (s++; s < len && is_space(in[s]); s++) {
            /* to the value */
        }
        if (s < len && in[s] == '.') {
            s++;
        }
        for (e = s; e < len && in[e] != ';' && !is_space(in[e]); e++) {
            /* to its end */
        }
        *start = s;
        *end = e;
        *pos = e;
        return 1;
    }
    return 0;
}

int
cms_cookie_domain_covers(const unsigned char *domain, size_t domain_len,
                         const unsigned char *host, size_t host_len)
{
    size_t cut;

    if (domain_len == host_len) {
        return cms_authority_same_host(domain, domain_len, host, host_len);
    }
    if (domain_len == 0 || domain_len > host_len ||
        memchr(domain, '.', domain_len) == NULL) {
        return 0;
    }
    cut = host_len - domain_len;
    return host[cut - 1] == '.' &&
           cms_authority_same_host(domain, domain_len, host + cut, domain_len);
}
