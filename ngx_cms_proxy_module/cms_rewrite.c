/*
 * Replaces inside authorities by the guest's, in a text that comes in pieces.
 * Called by the header and body filters and for WebSocket messages.
 */

#include "cms_rewrite.h"

#include "cms_authority.h"

#include <stdio.h>
#include <string.h>

/* What a character can be besides a byte. */
enum {
    NONE = -1, /* past the text's end */
    OPEN = -2, /* what has come does not tell */
};

/* How a character was spelled before a name. */
typedef struct {
    int c;
    int percent;
} before_t;

/* Contiguous bytes of a text, and what is known around them. */
typedef struct {
    const unsigned char *begin; /* begin - behind .. begin is text as well, */
    const unsigned char *end;   /* at behind_end - behind */
    const unsigned char *behind_end;
    size_t behind;
    int last;
} view_t;

typedef enum { NO, YES, UNKNOWN } answer_t;

/* Where names stand, one by one. */
typedef struct {
    const unsigned char *start; /* NULL: nowhere any more */
    unsigned which;             /* the mappings whose names those are */
    cms_search_cursor_t cursor;
} hit_t;

/* What a byte, taken for itself, says of a name before or behind it. */
enum {
    NAME_CHAR = 1,  /* part of a host name for a reader: "." joins labels, */
                    /* and what is not ASCII is IDN */
    ESCAPE_END = 2, /* the last byte of an escape or of UTF-8, maybe */
    GOES_ON = 4,    /* behind a name: there is more to look at */
};

#define N NAME_CHAR
#define E (NAME_CHAR | ESCAPE_END)

static const unsigned char byte_class[256] = {
    ['0' ... '9'] = E, ['A' ... 'F'] = E, ['G' ... 'Z'] = N, ['a' ... 'f'] = E,
    ['g' ... 'm'] = N, ['n'] = E, ['o' ... 'q'] = N, ['r'] = E, ['s'] = N,
    ['t'] = E, ['u'] = N, ['v'] = E, ['w' ... 'z'] = N, ['-'] = N, ['_'] = N,
    ['.'] = N | GOES_ON, [':'] = GOES_ON, ['%'] = GOES_ON, ['\\'] = GOES_ON,
    [0x80 ... 0xbf] = E, [0xc0 ... 0xff] = N,
};

#undef N
#undef E

/* What is not ASCII and no name character: see cms_rewrite.h. */
static const struct {
    unsigned short from, to;
} separators[] = {
    {0x80, 0xa9},     {0xab, 0xb4},     {0xb6, 0xb9},     {0xbb, 0xbf},
    {0x2000, 0x207f}, {0x3000, 0x3004}, {0x3008, 0x301f}, {0xfeff, 0xfeff},
    {0xff01, 0xff0c}, {0xff0f, 0xff0f}, {0xff1a, 0xff20},
};

/* What all separators are read as. */
#define SEPARATOR '\n'

static int
hex_value(unsigned char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int
hex_pair(const unsigned char *p)
{
    int hi = hex_value(p[0]), lo = hex_value(p[1]);

    return hi < 0 || lo < 0 ? -1 : hi * 16 + lo;
}

static int
is_name_char(int c)
{
    return c >= 0 && (byte_class[c] & NAME_CHAR);
}

/* Whether one of the code points from first to last separates. */
static int
has_separator(unsigned first, unsigned last)
{
    size_t i;

    for (i = 0; i < sizeof(separators) / sizeof(*separators); i++) {
        if (first <= separators[i].to && last >= separators[i].from) {
            return 1;
        }
    }
    return 0;
}

/* What a code point below 256 is to a name. */
static int
latin1_char(int c)
{
    return c >= 0x80 && has_separator(c, c) ? SEPARATOR : c;
}

/*
 * The length of the UTF-8 separator that the n bytes at p begin with, or 0 if
 * they do not; or more than n if they may, with bytes that follow.
 */
static size_t
utf8_separator(const unsigned char *p, size_t n)
{
    size_t len = p[0] == 0xc2                                     ? 2
                 : p[0] == 0xe2 || p[0] == 0xe3 || p[0] == 0xef ? 3
                                                                 : 0;
    unsigned first = p[0] & 0xf, last = first;
    size_t i;

    for (i = 1; i < len; i++) {
        if (i < n && (p[i] & 0xc0) != 0x80) {
            return 0;
        }
        first = first << 6 | (i < n ? p[i] & 0x3f : 0);
        last = last << 6 | (i < n ? p[i] & 0x3f : 0x3f);
    }
    return len && has_separator(first, last) ? len : 0;
}

/*
 * The escape at p: its length with its value in *c, or 0 if there is none,
 * or 0 with *c OPEN if it may become one.
 */
static size_t
escape_at(const unsigned char *p, const unsigned char *end, int *c)
{
    static const char *const forms[] = {"%hh", "\\u00hh", "\\xhh"};
    size_t i, k;

    *c = NONE;
    for (k = 0; k < sizeof(forms) / sizeof(*forms); k++) {
        for (i = 0; forms[k][i]; i++) {
            unsigned char want = forms[k][i];

            if (p + i == end) {
                *c = OPEN;
                break;
            }
            if (want == 'h' ? hex_value(p[i]) < 0
                            : p[i] != want &&
                                  (want < 'a' || (p[i] | 0x20) != want)) {
                break;
            }
        }
        if (forms[k][i] == 0) {
            *c = hex_pair(p + i - 2);
            if (k > 0) {
                *c = latin1_char(*c);
            }
            return i;
        }
    }
    return 0;
}

/* The character at p, whether plain or escaped, and the bytes it takes. */
static int
char_at(const view_t *v, const unsigned char *p, size_t *taken)
{
    size_t n = v->end - p;
    int c;

    *taken = 0;
    if (n == 0) {
        return v->last ? NONE : OPEN;
    }
    if (*p >= 0x80 && (*taken = utf8_separator(p, n))) {
        if (*taken <= n) {
            return SEPARATOR;
        }
        if (!v->last) {
            return OPEN;
        }
    }
    if (*p == '%' || *p == '\\') {
        *taken = escape_at(p, v->end, &c);
        if (*taken || (c == OPEN && !v->last)) {
            return c;
        }
    }
    *taken = 1;
    return *p;
}

/* The value of the \uHHHH or \xHH that ends at end, or -1. */
static int
js_escape_ending(const unsigned char *end, size_t n)
{
    int lo = hex_pair(end - 2), hi;

    if (n >= 4 && end[-4] == '\\' && (end[-3] | 0x20) == 'x') {
        return lo;
    }
    if (n >= 6 && end[-6] == '\\' && (end[-5] | 0x20) == 'u' &&
        (hi = hex_pair(end - 4)) >= 0) {
        return hi << 8 | lo;
    }
    return -1;
}

/* The character that ends at end, with n bytes of text before it. */
static before_t
char_ending(const unsigned char *end, size_t n)
{
    before_t b = {NONE, 0};
    int u;

    if (n >= 3 && (b.c = hex_pair(end - 2)) >= 0) {
        b.percent = end[-3] == '%';
        if (b.percent) {
            return b;
        }
        u = js_escape_ending(end, n);
        if (u >= 0 && (u < 0x100 || has_separator(u, u))) {
            b.c = u < 0x100 ? latin1_char(u) : SEPARATOR;
            return b;
        }
    }
    b.c = n ? end[-1] : NONE;
    if ((n >= 2 && end[-2] == '\\' && b.c && strchr("nrtbfv", b.c)) ||
        (n >= 2 && b.c >= 0x80 && utf8_separator(end - 2, 2) == 2) ||
        (n >= 3 && b.c >= 0x80 && utf8_separator(end - 3, 3) == 3)) {
        b.c = SEPARATOR;
    }
    return b;
}

/* The character before p, where it may be an escape or in what was before. */
static before_t
look_before(const view_t *v, const unsigned char *p)
{
    unsigned char window[2 * CMS_REWRITE_BEHIND];
    size_t n = p - v->begin;

    if (n >= CMS_REWRITE_BEHIND || v->behind == 0) {
        return char_ending(p, n);
    }
    memcpy(window, v->behind_end - v->behind, v->behind);
    memcpy(window + v->behind, v->begin, n);
    return char_ending(window + v->behind + n, v->behind + n);
}

static inline before_t
char_before(const view_t *v, const unsigned char *p)
{
    if (p > v->begin && !(byte_class[p[-1]] & ESCAPE_END)) {
        return (before_t){p[-1], 0};
    }
    return look_before(v, p);
}

/* Whether a name ends at p: with no name character, or a dot and then none. */
static answer_t
name_ends(const view_t *v, const unsigned char *p)
{
    size_t taken;
    int c = char_at(v, p, &taken);

    if (c == '.') {
        c = char_at(v, p + taken, &taken);
    }
    return c == OPEN ? UNKNOWN : is_name_char(c) ? NO : YES;
}

/*
 * Behind a root dot, in *p: where the authority goes on, or ends in a URL. A
 * dot before anything else may end a sentence, and is not the name's.
 */
static answer_t
skip_root_dot(const view_t *v, const unsigned char **p)
{
    size_t dot, taken;
    const unsigned char *next;
    int c;

    if (char_at(v, *p, &dot) != '.') {
        return YES;
    }
    next = *p + dot;
    c = char_at(v, next, &taken);
    if (c == '\\' && taken == 1) { /* of "\/" */
        c = next + 1 < v->end ? next[1] == '/' ? '/' : NONE
            : v->last         ? NONE
                              : OPEN;
    }
    if (c == '/' || c == ':' || c == '?' || c == '#') {
        *p = next;
    }
    return c == OPEN ? UNKNOWN : YES;
}

static int
own_port(const cms_rewrite_mapping_t *m, unsigned port, unsigned also_port)
{
    if (m->from_port) {
        return port == m->from_port;
    }
    return port == 443 || port == 80 || (also_port && port == also_port);
}

/* Whether the port behind a host is none or its own; *p moves behind it. */
static answer_t
port_fits(const view_t *v, const cms_rewrite_mapping_t *m, unsigned also_port,
          const unsigned char **p)
{
    const unsigned char *digits, *e;
    unsigned port = 0;
    size_t taken;
    answer_t ends;
    int c = char_at(v, *p, &taken);

    if (c != ':') {
        return c == OPEN ? UNKNOWN : YES;
    }
    digits = *p + taken;
    for (e = digits; e < v->end && *e >= '0' && *e <= '9'; e++) {
        if (e - digits == 5) {
            return NO;
        }
        port = port * 10 + (*e - '0');
    }
    if (e == v->end && !v->last) {
        return UNKNOWN;
    }
    if (e == digits) {
        return YES;
    }
    *p = e;
    ends = name_ends(v, e);
    return ends == YES && !own_port(m, port, also_port) ? NO : ends;
}

/* Behind the name of mapping m that stands before *end; moves *end. */
static answer_t
mapping_fits(const cms_rewrite_t *rw, const view_t *v,
             const cms_rewrite_mapping_t *m, const unsigned char **end)
{
    const unsigned char *e = *end;
    answer_t a;

    if (e < v->end && !(byte_class[*e] & (NAME_CHAR | GOES_ON))) {
        return YES;
    }
    a = name_ends(v, e);
    if (a != YES || m->kind == CMS_REWRITE_DOMAIN) {
        return a;
    }
    if (skip_root_dot(v, end) == UNKNOWN) {
        return UNKNOWN;
    }
    return port_fits(v, m, rw->also_port, end);
}

static inline void
set_put(cms_rewrite_t *rw, const cms_rewrite_mapping_t *m, before_t before)
{
    const cms_rewrite_to_t *to = m->to.plain ? &m->to : rw->to;
    int coded = before.percent && m->kind == CMS_REWRITE_AUTHORITY;

    rw->put = coded ? to->coded : to->plain;
    rw->put_len = coded ? to->coded_len : to->plain_len;
}

/*
 * Whether one of the mappings in which, whose names stand at p, is to be
 * applied; if so, *end is where the text goes on, and rw->put what comes
 * first.
 */
static inline answer_t
match_at(cms_rewrite_t *rw, const view_t *v, const unsigned char *p,
         unsigned which, const unsigned char **end)
{
    before_t before;

    if (p > v->begin && (byte_class[p[-1]] & (NAME_CHAR | ESCAPE_END)) ==
                            NAME_CHAR) {
        return NO;
    }
    before = char_before(v, p);
    if (is_name_char(before.c)) {
        return NO;
    }
    for (; which; which &= which - 1) {
        const cms_rewrite_mapping_t *m =
            &rw->set->mappings[__builtin_ctz(which)];
        answer_t a;

        if (m->kind == CMS_REWRITE_DOMAIN && before.c != '@') {
            continue;
        }
        *end = p + m->from_len;
        a = mapping_fits(rw, v, m, end);
        if (a == YES) {
            set_put(rw, m, before);
        }
        if (a != NO) {
            return a;
        }
    }
    return NO;
}

/* Whether a name begins at p that goes on behind the end. */
static int
begins_name(const cms_rewrite_t *rw, const view_t *v, const unsigned char *p)
{
    before_t before = char_before(v, p);
    size_t n = v->end - p, k;

    for (k = 0; k < rw->set->count && !is_name_char(before.c); k++) {
        const cms_rewrite_mapping_t *m = &rw->set->mappings[k];

        if (m->from_len > n &&
            (m->kind == CMS_REWRITE_AUTHORITY || before.c == '@') &&
            cms_authority_same_host(p, n, m->from, n)) {
            return 1;
        }
    }
    return 0;
}

/*
 * Where a name begins that goes on behind the end, or NULL.
 * From there on there are ASCII name characters only, and before it none, or
 * the last of an escape.
 */
static const unsigned char *
find_open(const cms_rewrite_t *rw, const view_t *v)
{
    const unsigned char *p = v->begin, *run = v->end;
    size_t i;

    if ((size_t)(v->end - p) > rw->set->longest + CMS_REWRITE_BEHIND) {
        p = v->end - rw->set->longest - CMS_REWRITE_BEHIND;
    }
    while (run > p && run[-1] < 0x80 && is_name_char(run[-1])) {
        run--;
    }
    for (i = 0; i < CMS_REWRITE_BEHIND && run < v->end; i++, run++) {
        if (begins_name(rw, v, run)) {
            return run;
        }
    }
    return NULL;
}

static inline void
next_hit(hit_t *hit, const cms_rewrite_t *rw, const unsigned char *from,
         const unsigned char *end)
{
    hit->start = cms_search_next(&rw->set->search, from, &hit->cursor, end,
                                 &hit->which);
}

static inline void
first_hit(hit_t *hit, const cms_rewrite_t *rw, const unsigned char *from,
          const unsigned char *end)
{
    cms_search_begin(&hit->cursor, from);
    next_hit(hit, rw, from, end);
}

/* The first place from the hit on where a name is (YES) or may be (UNKNOWN). */
static answer_t
find(cms_rewrite_t *rw, const view_t *v, hit_t *hit,
     const unsigned char **start, const unsigned char **end)
{
    for (; hit->start; next_hit(hit, rw, v->begin, v->end)) {
        answer_t a = match_at(rw, v, hit->start, hit->which, end);

        if (a != NO) {
            *start = hit->start;
            return a;
        }
    }
    return NO;
}

/* find(), but with names that are not yet complete. */
static answer_t
find_any(cms_rewrite_t *rw, const view_t *v, hit_t *hit,
         const unsigned char **start, const unsigned char **end)
{
    const unsigned char *open;
    answer_t a = find(rw, v, hit, start, end);

    if (a == YES || v->last || !(open = find_open(rw, v))) {
        return a;
    }
    if (a == NO || open < *start) {
        *start = open;
    }
    return UNKNOWN;
}

/* ---- copying few bytes ---- */

typedef unsigned char bytes16_t __attribute__((vector_size(16)));

static inline bytes16_t
load16(const unsigned char *p)
{
    bytes16_t v;

    memcpy(&v, p, 16);
    return v;
}

static inline void
store16(unsigned char *p, bytes16_t v)
{
    memcpy(p, &v, 16);
}

/* 32 bytes or more, and then the last 32, which may overlap those. */
static inline void
move_down_32(unsigned char *to, const unsigned char *from, size_t n)
{
    bytes16_t y = load16(from + n - 32), z = load16(from + n - 16);
    size_t i;

    for (i = 0; i + 32 < n; i += 32) {
        bytes16_t a = load16(from + i), b = load16(from + i + 16);

        store16(to + i, a);
        store16(to + i + 16, b);
    }
    store16(to + n - 32, y);
    store16(to + n - 16, z);
}

/*
 * memmove() to a place at or before, in line: the lengths are all different,
 * and what memmove() does to tell them is more than the copying. Where it is
 * the same place nothing is done.
 */
static inline void
move_down(unsigned char *to, const unsigned char *from, size_t n)
{
    if (to == from) {
        return;
    }
    if (n >= 32) {
        move_down_32(to, from, n);

    } else if (n >= 16) {
        bytes16_t a = load16(from), z = load16(from + n - 16);

        store16(to, a);
        store16(to + n - 16, z);

    } else {
        memmove(to, from, n);
    }
}

static cms_rewrite_piece_t
keep(const unsigned char *from, size_t n, const unsigned char **p, size_t *len)
{
    *p = from;
    *len = n;
    return CMS_REWRITE_KEEP;
}

static cms_rewrite_piece_t
put(cms_rewrite_t *rw, const unsigned char **p, size_t *len)
{
    *p = rw->put;
    *len = rw->put_len;
    rw->put = NULL;
    return CMS_REWRITE_PUT;
}

/* The last of the n bytes before to are what the next decision may need. */
static void
remember(cms_rewrite_t *rw, const unsigned char *to, size_t n)
{
    if (n >= CMS_REWRITE_BEHIND) {
        memcpy(rw->carry, to - CMS_REWRITE_BEHIND, CMS_REWRITE_BEHIND);
        rw->behind = CMS_REWRITE_BEHIND;
        return;
    }
    memmove(rw->carry, rw->carry + n, CMS_REWRITE_BEHIND - n);
    memcpy(rw->carry + CMS_REWRITE_BEHIND - n, to - n, n);
    rw->behind = rw->behind + n < CMS_REWRITE_BEHIND ? rw->behind + n
                                                     : CMS_REWRITE_BEHIND;
}

/* Lets go of the first n bytes that are held back. */
static void
release(cms_rewrite_t *rw, size_t n)
{
    rw->at += n;
    rw->held -= n;
    rw->behind = rw->behind + n < CMS_REWRITE_BEHIND ? rw->behind + n
                                                     : CMS_REWRITE_BEHIND;
}

/* Brings what is held back to the beginning of the carry. */
static void
settle(cms_rewrite_t *rw)
{
    memmove(rw->carry, rw->carry + rw->at - CMS_REWRITE_BEHIND,
            CMS_REWRITE_BEHIND + rw->held);
    rw->at = CMS_REWRITE_BEHIND;
}

/* Where nothing is held back: from the hit on. */
static cms_rewrite_piece_t
next_of_input(cms_rewrite_t *rw, const unsigned char **in, hit_t *hit,
              const unsigned char *end, int last, const unsigned char **p,
              size_t *len)
{
    const unsigned char *from = *in, *start = end, *to = end;
    view_t v = {from, end, rw->carry + CMS_REWRITE_BEHIND, rw->behind, last};
    answer_t a = find_any(rw, &v, hit, &start, &to);

    if (a == UNKNOWN) {
        remember(rw, start, start - from);
        rw->held = end - start;
        memcpy(rw->carry + CMS_REWRITE_BEHIND, start, rw->held);
        *in = end;
        return start > from ? keep(from, start - from, p, len)
                            : CMS_REWRITE_MORE;
    }
    *in = a == YES ? to : end;
    remember(rw, *in, *in - from);
    return start > from ? keep(from, start - from, p, len) : put(rw, p, len);
}

/* Where bytes are held back: as much input as decides comes to them. */
static cms_rewrite_piece_t
next_of_carry(cms_rewrite_t *rw, const unsigned char **in,
              const unsigned char *end, int last, const unsigned char **p,
              size_t *len)
{
    unsigned char *from = rw->carry + CMS_REWRITE_BEHIND;
    const unsigned char *start = from + rw->held, *to = start;
    size_t n = CMS_REWRITE_AHEAD - rw->held;
    view_t v;
    hit_t hit;
    answer_t a;

    if (n > (size_t)(end - *in)) {
        n = end - *in;
    }
    memcpy(from + rw->held, *in, n);
    v = (view_t){from, from + rw->held + n, from, rw->behind,
                 last && *in + n == end};
    first_hit(&hit, rw, from, v.end);
    a = find_any(rw, &v, &hit, &start, &to);
    if (a == UNKNOWN && start == from) {
        rw->held += n;
        *in += n;
        return CMS_REWRITE_MORE;
    }
    if (a != YES) {
        n = start < from + rw->held ? (size_t)(start - from) : rw->held;
        release(rw, n);
        return keep(from, n, p, len);
    }
    n = to - from;
    if (n > rw->held) {
        *in += n - rw->held;
        rw->held = n;
    }
    release(rw, n);
    return start > from ? keep(from, start - from, p, len) : put(rw, p, len);
}

/*
 * The most frequent case: whether the hit is an authority whose bytes before
 * and behind it tell at once that it is one. Then rw->put is set, what the
 * next decision may need is remembered, and its end returned; else NULL.
 */
static inline const unsigned char *
plain_end(cms_rewrite_t *rw, const unsigned char *from,
          const unsigned char *end, const hit_t *hit)
{
    const unsigned char *s = hit->start, *e;
    const cms_rewrite_mapping_t *m;
    before_t before = {'/', 0};

    if (s == NULL) {
        return NULL;
    }
    m = &rw->set->mappings[__builtin_ctz(hit->which)];
    e = s + m->from_len;
    if (s - from < CMS_REWRITE_BEHIND || e == end ||
        m->kind != CMS_REWRITE_AUTHORITY ||
        byte_class[*e] & (NAME_CHAR | GOES_ON)) {
        return NULL;
    }
    if (byte_class[s[-1]] & NAME_CHAR) {
        before = char_ending(s, s - from);
        if (is_name_char(before.c)) {
            return NULL;
        }
    }
    set_put(rw, m, before);
    memcpy(rw->carry, e - CMS_REWRITE_BEHIND, CMS_REWRITE_BEHIND);
    rw->behind = CMS_REWRITE_BEHIND;
    return e;
}

/* Whether all input is taken, or what is held back comes first. */
static inline int
is_special(cms_rewrite_t *rw, const unsigned char *in,
           const unsigned char *end)
{
    if (rw->at > CMS_REWRITE_BEHIND) {
        settle(rw);
    }
    return rw->held || in == end;
}

cms_rewrite_piece_t
cms_rewrite_look(cms_rewrite_t *rw, const unsigned char **in,
                 const unsigned char *end, int last, const unsigned char **p,
                 size_t *len)
{
    const unsigned char *from = *in, *e;
    hit_t hit;

    if (is_special(rw, from, end)) {
        return rw->held ? next_of_carry(rw, in, end, last, p, len)
                        : CMS_REWRITE_MORE;
    }
    first_hit(&hit, rw, from, end);
    e = plain_end(rw, from, end, &hit);
    if (e == NULL) {
        return next_of_input(rw, in, &hit, end, last, p, len);
    }
    *in = e;
    return keep(from, hit.start - from, p, len);
}

cms_rewrite_piece_t
cms_rewrite_move(cms_rewrite_t *rw, const unsigned char **in,
                 const unsigned char *end, int last, unsigned char **to,
                 size_t longest, const unsigned char **p, size_t *len)
{
    const unsigned char *from = *in, *e;
    unsigned char *w = *to;
    size_t n;
    hit_t hit;

    if (rw->put || is_special(rw, from, end)) {
        return cms_rewrite_next(rw, in, end, last, p, len);
    }
    cms_search_begin(&hit.cursor, from);
    for (;;) {
        next_hit(&hit, rw, from, end);
        e = plain_end(rw, from, end, &hit);
        n = hit.start - from;
        if (e == NULL || n > longest) {
            break;
        }
        move_down(w, from, n);
        w += n;
        from = e;
        if ((size_t)(e - w) < rw->put_len) {
            break;
        }
        move_down(w, rw->put, rw->put_len);
        w += rw->put_len;
        rw->put = NULL;
    }
    *to = w;
    *in = from;
    if (e == NULL) {
        return next_of_input(rw, in, &hit, end, last, p, len);
    }
    if (from == e) {
        return put(rw, p, len);
    }
    *in = e;
    return keep(from, n, p, len);
}

size_t
cms_rewrite_held(const cms_rewrite_t *rw)
{
    return rw->held;
}

void
cms_rewrite_begin(cms_rewrite_t *rw, const cms_rewrite_set_t *set,
                  const cms_rewrite_to_t *to, unsigned also_port)
{
    rw->set = set;
    rw->to = to;
    rw->put = NULL;
    rw->also_port = also_port;
    rw->at = CMS_REWRITE_BEHIND;
    rw->held = 0;
    rw->behind = 0;
}

void
cms_rewrite_compile(cms_rewrite_set_t *set,
                    const cms_rewrite_mapping_t *mappings, size_t count)
{
    cms_search_name_t names[CMS_REWRITE_MAPPINGS_MAX];
    size_t k;

    set->count = count;
    set->longest = 0;
    for (k = 0; k < count; k++) {
        set->mappings[k] = mappings[k];
        names[k].p = mappings[k].from;
        names[k].len = mappings[k].from_len;
        if (mappings[k].from_len > set->longest) {
            set->longest = mappings[k].from_len;
        }
    }
    cms_search_compile(&set->search, names, count);
}

void
cms_rewrite_to_write(cms_rewrite_to_t *to, unsigned char *buffer,
                     const unsigned char *host, size_t host_len, unsigned port)
{
    char text[16];
    size_t n = 0;

    if (port) {
        n = snprintf(text, sizeof(text), "%%3A%u", port & 0xffff);
    }
    memcpy(buffer, host, host_len);
    memcpy(buffer + host_len, text, n);
    to->coded = buffer;
    to->coded_len = host_len + n;
    if (n == 0) {
        to->plain = buffer;
        to->plain_len = host_len;
        return;
    }
    buffer += to->coded_len;
    memcpy(buffer, host, host_len);
    buffer[host_len] = ':';
    memcpy(buffer + host_len + 1, text + 3, n - 3);
    to->plain = buffer;
    to->plain_len = host_len + n - 2;
}

size_t
cms_rewrite(const cms_rewrite_set_t *set, const cms_rewrite_to_t *to,
            unsigned also_port, const unsigned char *in, size_t len,
            unsigned char *out, size_t *matches)
{
    const unsigned char *end = in + len, *p;
    cms_rewrite_piece_t piece;
    cms_rewrite_t rw;
    size_t at = 0, n;

    *matches = 0;
    cms_rewrite_begin(&rw, set, to, also_port);
    while ((piece = cms_rewrite_next(&rw, &in, end, 1, &p, &n)) !=
           CMS_REWRITE_MORE) {
        if (out) {
            memcpy(out + at, p, n);
        }
        at += n;
        *matches += piece == CMS_REWRITE_PUT;
    }
    return at;
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
