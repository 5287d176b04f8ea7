/*
 * Masks query values in place. Called for the variable $cms_request and for
 * each line that nginx writes to its error log about a guest's request.
 */

#include "cms_mask.h"

#include <string.h>

#define NAME_MAX_LEN 32 /* a longer argument name is no name but a secret */

typedef struct {
    unsigned char *text;
    size_t len;
    size_t in;
    size_t out;
} mask_t;

static int
is_digit(unsigned char c)
{
    return c >= '0' && c <= '9';
}

/*
 * A quote before what nginx writes behind a quoted URL, or before the end.
 * Just a quote and a comma could be the client's.
 */
static int
ends_quoted(const unsigned char *p, size_t left)
{
    static const char *const next[] = {
        "\", subrequest: \"", "\", upstream: \"", "\", host: \"",
        "\", referrer: \"",
    };
    size_t i;

    for (i = 0; i < sizeof(next) / sizeof(*next); i++) {
        size_t n = strlen(next[i]);

        if (left > n && memcmp(p, next[i], n) == 0) {
            return 1;
        }
    }
    return left == 1 || p[1] == '\n';
}

/* " HTTP/1.1" at the end of the text or of the quotes around it */
static int
is_protocol(const unsigned char *p, size_t left)
{
    return left >= 9 && memcmp(p, " HTTP/", 6) == 0 && is_digit(p[6]) &&
           p[7] == '.' && is_digit(p[8]) &&
           (left == 9 || (p[9] == '"' && ends_quoted(p + 9, left - 9)));
}

static int
ends_url(const mask_t *m, size_t i)
{
    const unsigned char *p = m->text + i;
    size_t left = m->len - i;

    switch (*p) {
    case '\r':
    case '\n':
        return 1;
    case '"':
        return ends_quoted(p, left);
    case ' ':
        return is_protocol(p, left);
    default:
        return 0;
    }
}

static size_t
url_end(const mask_t *m, size_t i)
{
    while (i < m->len && !ends_url(m, i)) {
        i++;
    }
    return i;
}

static void
copy_to(mask_t *m, size_t end)
{
    memmove(m->text + m->out, m->text + m->in, end - m->in);
    m->out += end - m->in;
    m->in = end;
}

static void
star_to(mask_t *m, size_t end)
{
    if (end > m->in) {
        m->text[m->out++] = '*';
        m->in = end;
    }
}

static int
is_call_id(const unsigned char *name, size_t name_len,
           const unsigned char *value, size_t value_len)
{
    size_t i;

    if (name_len != 2 || (name[0] | 0x20) != 'i' || (name[1] | 0x20) != 'd' ||
        value_len > 20) {
        return 0;
    }
    for (i = 0; i < value_len; i++) {
        if (!is_digit(value[i])) {
            return 0;
        }
    }
    return 1;
}

/* A plain argument name; anything else may be (part of) a secret. */
static int
is_name(const unsigned char *p, size_t len)
{
    size_t i;

    if (len == 0 || len > NAME_MAX_LEN) {
        return 0;
    }
    for (i = 0; i < len; i++) {
        unsigned char c = p[i] | 0x20;

        if (!((c >= 'a' && c <= 'z') || is_digit(p[i]) || p[i] == '_' ||
              p[i] == '-' || p[i] == '.')) {
            return 0;
        }
    }
    return 1;
}

static void
mask_argument(mask_t *m, size_t end)
{
    const unsigned char *arg = m->text + m->in;
    const unsigned char *eq = memchr(arg, '=', end - m->in);
    size_t name_len;

    /* "c2VjcmV0=" is a token with its padding, not a name without a value */
    if (eq == NULL || eq + 1 == m->text + end || !is_name(arg, eq - arg)) {
        star_to(m, end);
        return;
    }
    name_len = eq - arg;
    if (is_call_id(arg, name_len, eq + 1, end - m->in - name_len - 1)) {
        copy_to(m, end);
        return;
    }
    copy_to(m, m->in + name_len + 1);
    star_to(m, end);
}

static void
mask_query(mask_t *m, size_t end)
{
    while (m->in < end) {
        unsigned char *amp = memchr(m->text + m->in, '&', end - m->in);
        size_t stop = amp ? (size_t)(amp - m->text) : end;

        mask_argument(m, stop);
        if (amp) {
            copy_to(m, stop + 1);
        }
    }
}

/* A separator that should not be in a path hides a query from us. */
static int
hides_query(const mask_t *m, size_t i)
{
    const unsigned char *p = m->text + i;
    unsigned char c;

    if (*p == '#' || *p == '&' || *p == ';') {
        return 1;
    }
    if (*p != '%' || m->len - i < 3) {
        return 0;
    }
    c = p[2] | 0x20;
    return (p[1] == '3' && (c == 'f' || c == 'b')) ||
           (p[1] == '2' && (p[2] == '3' || p[2] == '6'));
}

static int
starts_token(const mask_t *m, size_t i)
{
    return i > 0 && m->text[i - 1] == '/' && m->len - i > 3 &&
           memcmp(m->text + i, "eyJ", 3) == 0;
}

static size_t
segment_end(const mask_t *m, size_t i)
{
    while (i < m->len && !ends_url(m, i) && m->text[i] != '/' &&
           m->text[i] != '?' && !hides_query(m, i)) {
        i++;
    }
    return i;
}

size_t
cms_mask(unsigned char *text, size_t len)
{
    mask_t m = {text, len, 0, 0};
    size_t i = 0;

    while (i < len) {
        if (starts_token(&m, i)) {
            copy_to(&m, i);
            i = segment_end(&m, i);
            star_to(&m, i);
        } else if (text[i] == '?') {
            copy_to(&m, i + 1);
            i = url_end(&m, i + 1);
            mask_query(&m, i);
        } else if (hides_query(&m, i)) {
            copy_to(&m, i + (text[i] == '%' ? 3 : 1));
            i = url_end(&m, m.in);
            star_to(&m, i);
        } else {
            i++;
        }
    }
    copy_to(&m, len);
    return m.out;
}
