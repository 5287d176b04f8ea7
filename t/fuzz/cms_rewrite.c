/* sources: ngx_cms_proxy_module/cms_rewrite.c ngx_cms_proxy_module/cms_search.c */
/* sources: ngx_cms_proxy_module/cms_authority.c */

/*
 * A text becomes what a plain reference, written from the rules alone and
 * with the whole text before it, makes of it: whole, and in pieces of random
 * sizes that are overwritten once they are taken, or rewritten in place; with
 * random mappings. And a cookie's Domain lies inside the cookie.
 */

#include "cms_rewrite.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NAME(s) (const unsigned char *)(s), sizeof(s) - 1
#define ALSO_PORT 7443
#define TEXT_MAX 6000

/* Bytes of the input from 0xb0 on stand for these (80 at most). */
static const char *const tokens[] = {
    "h.in.l", "H.In.L", "in.l", "h.in", "x.h.in.l", "2fh.in.l", "nh.in.l",
    "%2F", "%2f%2F", "%40", "%3A", "%2E", "\\u002f", "\\u002F", "\\U0040",
    "\\u003a", "\\u002e", "\\u0061", "\\x2f", "\\X40", "\\x3A", "\\x2e",
    "\\x61", "\\n", "\\t", "\\a", "\\\\", "\\/", "https://", "wss:\\/\\/",
    ":443", ":80", ":7443", ":8443", ":84", ":00443", ":000443", ":65535",
    ".", "..", "./", ".:", ":", "@", "u@in.l", "u%40in.l", "-", "_",
    "\xc3\xbc", "/", "\"", "'", " ", "<", "p", "p:84", "cms.octavio.test",
    "cms1.octavio.test", "cms2.octavio.test", ".octavio.test", "octavio.test",
    "a-very-long-name.a-very-long-name.a-very-long-name.a-very-long-name."
    "a-very-long-name.a-very-long-name.a-very-long-name.a-very-long-name."
    "a-very-long-name.a-very-long-name.a-very-long-name.a-very-long-name."
    "a-very-long-name.a-very-long-name.a-very-long-name",
    "a-very-long-name.a-very-long-name.a-very-long-name.a-very-long-name.",
    "00h.in.l", "b.c", "%2aa.a", "x.b.c.zq",
    "\xe2\x80\x9c", "\xc2\xa0", "\xe3\x80\x82", "\xef\xbc\x9a", "\xe2",
    "\xe2\x80", "\xe2\x82\xac", "\xc2", "\xef", "\xbc", "\\u201c", "\\xab",
};

static const cms_rewrite_mapping_t *mappings;
static size_t mapping_count;
static cms_rewrite_to_t run_time_to;
static const unsigned char *text, *text_end;

/* ---- the reference ---- */

static int
ref_hex(const unsigned char *p)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *a, *b;

    if (p[0] == 0 || p[1] == 0) {
        return -1;
    }
    a = strchr(digits, p[0]);
    b = strchr(digits, p[1]);
    return a && b ? (int)((a - digits) % 16 * 16 + (b - digits) % 16) : -1;
}

static int
ref_escape(const unsigned char *p, const unsigned char *end, size_t *len)
{
    if (end - p >= 3 && p[0] == '%') {
        *len = 3;
        return ref_hex(p + 1);
    }
    if (end - p >= 4 && p[0] == '\\' && (p[1] == 'x' || p[1] == 'X')) {
        *len = 4;
        return ref_hex(p + 2);
    }
    if (end - p >= 6 && p[0] == '\\' && (p[1] == 'u' || p[1] == 'U') &&
        p[2] == '0' && p[3] == '0') {
        *len = 6;
        return ref_hex(p + 4);
    }
    return -1;
}

static int
ref_within(int c, int from, int to)
{
    return c >= from && c <= to;
}

/* The bytes of the UTF-8 punctuation or space at p. */
static size_t
ref_punctuation(const unsigned char *p, const unsigned char *end)
{
    int a = p < end ? p[0] : 0, b = end - p > 1 ? p[1] : 0;
    int c = end - p > 2 ? p[2] : 0;

    if (a == 0xc2 && ref_within(b, 0x80, 0xbf)) {
        return b == 0xaa || b == 0xb5 || b == 0xba ? 0 : 2;
    }
    return (a == 0xe2 && (b == 0x80 || b == 0x81) &&
            ref_within(c, 0x80, 0xbf)) ||
                   (a == 0xe3 && b == 0x80 && ref_within(c, 0x80, 0x9f) &&
                    !ref_within(c, 0x85, 0x87)) ||
                   (a == 0xef && b == 0xbb && c == 0xbf) ||
                   (a == 0xef && b == 0xbc &&
                    (ref_within(c, 0x81, 0x8c) || c == 0x8f ||
                     ref_within(c, 0x9a, 0xa0)))
               ? 3
               : 0;
}

/* What an escape stands for: %HH for a byte, the others for a character. */
static int
ref_unescaped(int c, size_t len)
{
    unsigned char utf8[2] = {0xc0 | c >> 6, 0x80 | (c & 0x3f)};

    return len > 3 && c >= 0x80 && ref_punctuation(utf8, utf8 + 2) ? ' ' : c;
}

static int
ref_char(const unsigned char *p, size_t *len)
{
    int c = ref_escape(p, text_end, len);

    if (c >= 0) {
        return ref_unescaped(c, *len);
    }
    *len = ref_punctuation(p, text_end);
    if (*len) {
        return ' ';
    }
    *len = p < text_end;
    return p < text_end ? *p : -1;
}

/* Whether \uHHHH ends before p and is punctuation beyond U+00FF. */
static int
ref_unicode_before(const unsigned char *p)
{
    unsigned char utf8[3];
    int hi, lo;

    if (p - text < 6 || p[-6] != '\\' || (p[-5] != 'u' && p[-5] != 'U') ||
        (hi = ref_hex(p - 4)) < 8 || (lo = ref_hex(p - 2)) < 0) {
        return 0;
    }
    utf8[0] = 0xe0 | hi >> 4;
    utf8[1] = 0x80 | (hi & 0xf) << 2 | lo >> 6;
    utf8[2] = 0x80 | (lo & 0x3f);
    return ref_punctuation(utf8, utf8 + 3) == 3;
}

static int
ref_before(const unsigned char *p, int *percent)
{
    size_t back, len;
    int c;

    *percent = 0;
    for (back = 6; back >= 3; back--) {
        if ((size_t)(p - text) >= back &&
            (c = ref_escape(p - back, p, &len)) >= 0 && len == back) {
            *percent = back == 3;
            return ref_unescaped(c, len);
        }
    }
    if (p - text >= 2 && p[-2] == '\\' && p[-1] && strchr("nrtbfv", p[-1])) {
        return ' ';
    }
    if ((p - text >= 2 && ref_punctuation(p - 2, p) == 2) ||
        (p - text >= 3 && ref_punctuation(p - 3, p) == 3) ||
        ref_unicode_before(p)) {
        return ' ';
    }
    return p > text ? p[-1] : -1;
}

static int
ref_name_char(int c)
{
    return c >= 0x80 || (c > 0 && strchr("abcdefghijklmnopqrstuvwxyz"
                                         "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                         "0123456789.-_",
                                         c));
}

static int
ref_ends(const unsigned char *p)
{
    size_t len;
    int c = ref_char(p, &len);

    return !ref_name_char(c) ||
           (c == '.' && !ref_name_char(ref_char(p + len, &len)));
}

/* The end of what m replaces at p, or NULL. */
static const unsigned char *
ref_match(const cms_rewrite_mapping_t *m, const unsigned char *p)
{
    const unsigned char *e = p + m->from_len;
    size_t len, next, digits = 0;
    unsigned port = 0;
    int percent, c;

    if ((size_t)(text_end - p) < m->from_len ||
        strncasecmp((const char *)p, (const char *)m->from, m->from_len) ||
        ref_name_char(ref_before(p, &percent)) || !ref_ends(e)) {
        return NULL;
    }
    if (m->kind == CMS_REWRITE_DOMAIN) {
        return ref_before(p, &percent) == '@' ? e : NULL;
    }
    if (ref_char(e, &len) == '.') {
        c = ref_char(e + len, &next);
        if (c == '/' || c == ':' || c == '?' || c == '#' ||
            (text_end - e - len >= 2 && memcmp(e + len, "\\/", 2) == 0)) {
            e += len;
        }
    }
    if (ref_char(e, &len) != ':') {
        return e;
    }
    for (p = e + len; p < text_end && *p >= '0' && *p <= '9'; p++) {
        port = digits++ < 6 ? port * 10 + (*p - '0') : 0;
    }
    if (digits == 0) {
        return e;
    }
    if (digits > 5 || !ref_ends(p)) {
        return NULL;
    }
    if (m->from_port) {
        return port == m->from_port ? p : NULL;
    }
    return port == 443 || port == 80 || port == ALSO_PORT ? p : NULL;
}

static size_t
reference(unsigned char *out)
{
    const unsigned char *p = text, *e;
    size_t at = 0, k;

    while (p < text_end) {
        for (k = 0, e = NULL; k < mapping_count && e == NULL; k++) {
            const cms_rewrite_mapping_t *m = &mappings[k];
            const cms_rewrite_to_t *to = m->to.plain ? &m->to : &run_time_to;
            int percent;

            if ((e = ref_match(m, p))) {
                ref_before(p, &percent);
                percent = percent && m->kind == CMS_REWRITE_AUTHORITY;
                memcpy(out + at, percent ? to->coded : to->plain,
                       percent ? to->coded_len : to->plain_len);
                at += percent ? to->coded_len : to->plain_len;
            }
        }
        if (e == NULL) {
            out[at++] = *p;
            e = p + 1;
        }
        p = e;
    }
    return at;
}

/* ---- the inputs ---- */

static unsigned seed;

static unsigned
pick(unsigned n)
{
    seed = seed * 1103515245 + 12345;
    return (seed >> 16) % n;
}

/* Names that are in the text with those that only look like them. */
static void
pick_mappings(cms_rewrite_mapping_t *m)
{
    static const struct {
        const unsigned char *p;
        size_t len;
    } names[] = {
        {NAME("h.in.l")}, {NAME("in.l")}, {NAME("h.in")}, {NAME("p")},
        {NAME("cms.octavio.test")}, {NAME("cms1.octavio.test")},
        {NAME("cms2.octavio.test")}, {NAME("octavio.test")},
        {NAME("x.h.in.l")}, {NAME("2fh.in.l")}, {NAME("nh.in.l")},
        {NAME("x2fh.in.l")}, {NAME("a")}, {NAME("443")}, {NAME("u")},
        {NAME("u002fh.in.l")}, {NAME("b.c")}, {NAME("x.b.c.zq")},
        {NAME("b.c.zq")}, {NAME("aa.a")}, {NAME("a.a")},
        {NAME("CMS3.Octavio.Test")},
        {NAME("a-very-long-name.a-very-long-name.a-very-long-name.a-very-"
              "long-name.a-very-long-name.a-very-long-name.a-very-long-name."
              "a-very-long-name.a-very-long-name.a-very-long-name.a-very-long"
              "-name.a-very-long-name.a-very-long-name.a-very-long-name.a-ve"
              "ry-long-name")},
    };
    static const cms_rewrite_to_t tos[] = {
        {NULL, 0, NULL, 0},
        {NAME("in.l"), NAME("in.l")},
        {NAME("g:8"), NAME("g%3A8")},
        {NAME("outside.example"), NAME("outside.example")},
    };
    size_t k;

    mapping_count = pick(4) ? pick(3) + 1 : pick(17);
    for (k = 0; k < mapping_count; k++) {
        unsigned n = pick(sizeof(names) / sizeof(*names));

        m[k].kind = pick(4) ? CMS_REWRITE_AUTHORITY : CMS_REWRITE_DOMAIN;
        m[k].from = names[n].p;
        m[k].from_len = names[n].len;
        m[k].from_port = pick(3) ? 0 : 84;
        m[k].to = tos[m[k].kind == CMS_REWRITE_DOMAIN ? 3 : pick(4)];
    }
    mappings = m;
}

static size_t
write_text(unsigned char *to, const uint8_t *data, size_t size)
{
    size_t at = 0;

    for (; size; data++, size--) {
        size_t len = 1;
        const void *from = data;

        if (*data >= 0xb0 &&
            *data - 0xb0u < sizeof(tokens) / sizeof(*tokens)) {
            from = tokens[*data - 0xb0];
            len = strlen(from);
        }
        if (at + len > TEXT_MAX) {
            break;
        }
        memcpy(to + at, from, len);
        at += len;
    }
    return at;
}

static void
differs(const char *how, const unsigned char *want, size_t want_len,
        size_t at)
{
    fprintf(stderr, "%s: differs at %d of '%.*s' -> '%.*s'\n", how, (int)at,
            (int)(text_end - text), text, (int)want_len, want);
    abort();
}

static void
in_pieces(const cms_rewrite_set_t *set, unsigned longest,
          const unsigned char *want, size_t want_len)
{
    const unsigned char *from = text;
    size_t at = 0, n, taken;
    cms_rewrite_t rw;
    int last;

    cms_rewrite_begin(&rw, set, &run_time_to, ALSO_PORT);
    do {
        unsigned char *piece;
        const unsigned char *in, *seen, *p;

        n = pick(longest + 1);
        if (n > (size_t)(text_end - from)) {
            n = text_end - from;
        }
        last = from + n == text_end;
        piece = malloc(n ? n : 1);
        memcpy(piece, from, n);
        from += n;
        in = seen = piece;
        while (cms_rewrite_next(&rw, &in, piece + n, last, &p, &taken) !=
               CMS_REWRITE_MORE) {
            if (taken > want_len - at || memcmp(want + at, p, taken) != 0) {
                differs("pieces", want, want_len, at);
            }
            at += taken;
            memset(piece + (seen - piece), 'x', in - seen);
            seen = in;
        }
        free(piece);
    } while (!last);
    if (at != want_len) {
        differs("pieces", want, want_len, at);
    }
}

/* What came out, after what did before. */
static void
came_out(const unsigned char *p, size_t len, const unsigned char *want,
         size_t want_len, size_t *at)
{
    if (len > want_len - *at || memcmp(want + *at, p, len) != 0) {
        differs("in place", want, want_len, *at);
    }
    *at += len;
}

/* Each piece is rewritten in its own memory; what has no room comes out. */
static void
in_place(const cms_rewrite_set_t *set, unsigned longest,
         const unsigned char *want, size_t want_len)
{
    const unsigned char *from = text;
    size_t at = 0, n, len;
    cms_rewrite_t rw;
    int last;

    cms_rewrite_begin(&rw, set, &run_time_to, ALSO_PORT);
    do {
        unsigned char *piece, *start, *to;
        const unsigned char *in, *p;

        n = pick(longest + 1);
        if (n > (size_t)(text_end - from)) {
            n = text_end - from;
        }
        last = from + n == text_end;
        piece = malloc(n ? n : 1);
        memcpy(piece, from, n);
        from += n;
        in = start = to = piece;
        while (cms_rewrite_move(&rw, &in, piece + n, last, &to, pick(200), &p,
                                &len) != CMS_REWRITE_MORE) {
            if (to > in) {
                differs("beyond", want, want_len, at);
            }
            if (len > (size_t)(in - to)) {
                came_out(start, to - start, want, want_len, &at);
                came_out(p, len, want, want_len, &at);
                start = to;
            } else {
                memmove(to, p, len);
                to += len;
            }
        }
        came_out(start, to - start, want, want_len, &at);
        free(piece);
    } while (!last);
    if (at != want_len) {
        differs("in place", want, want_len, at);
    }
}

static void
whole(const cms_rewrite_set_t *set, const unsigned char *want, size_t want_len)
{
    size_t len = text_end - text, counted, n = 0;
    unsigned char *out = malloc(want_len + 1);

    if (cms_rewrite(set, &run_time_to, ALSO_PORT, text, len, NULL, &counted) !=
            want_len ||
        cms_rewrite(set, &run_time_to, ALSO_PORT, text, len, out, &n) !=
            want_len ||
        n != counted || memcmp(out, want, want_len) != 0) {
        differs("whole", want, want_len, 0);
    }
    if (n == 0 && (want_len != len || memcmp(out, text, len) != 0)) {
        abort();
    }
    free(out);
}

static void
cookie(const uint8_t *data, size_t size)
{
    size_t pos = 0, start, end;

    while (cms_cookie_domain(data, size, &pos, &start, &end)) {
        if (start > end || end > size || pos < end) {
            abort();
        }
        cms_cookie_domain_covers(data + start, end - start, NAME("h.in.l"));
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned char to_buffer[64], built[TEXT_MAX];
    static unsigned char want[TEXT_MAX * 20];
    cms_rewrite_mapping_t m[CMS_REWRITE_MAPPINGS_MAX];
    cms_rewrite_set_t set;
    unsigned char *exact;
    size_t len, want_len, way;

    cookie(data, size);
    if (size < 4) {
        return 0;
    }
    memcpy(&seed, data, 4);
    len = write_text(built, data + 4, size - 4);
    exact = malloc(len ? len : 1);
    memcpy(exact, built, len);
    text = exact;
    text_end = exact + len;
    cms_rewrite_to_write(&run_time_to, to_buffer, NAME("guest.example"),
                         pick(2) ? 9443 : 0);
    pick_mappings(m);
    cms_rewrite_compile(&set, m, mapping_count);
    want_len = reference(want);
    for (way = 0; way < cms_search_ways(); way++) {
        if (cms_search_use(&set.search, way)) {
            whole(&set, want, want_len);
            in_pieces(&set, pick(2) ? 8 : 1, want, want_len);
            in_pieces(&set, 400, want, want_len);
            in_place(&set, pick(2) ? 400 : TEXT_MAX, want, want_len);
        }
    }
    free(exact);
    return 0;
}
