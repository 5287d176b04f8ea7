/*
 * Finds where names stand in a text: places where a few rare bytes are
 * those of a name, and there the whole name. Called by the
 * rewriting.
 */

#include "cms_search.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define PLACE_MAX 15

/* Where all names have two bytes that are rarer, the others are not needed. */
#define ALIKE_OFTEN 0.001

/* Of 100,000 bytes of pages, scripts and JSON, both letter cases together. */
static const unsigned short frequency[128] = {
    ['-'] = 1112, ['.'] = 1073, ['0'] = 317,  ['1'] = 298,  ['2'] = 209,
    ['3'] = 228,  ['4'] = 126,  ['5'] = 102,  ['6'] = 151,  ['7'] = 61,
    ['8'] = 86,   ['9'] = 92,   ['_'] = 477,  ['a'] = 5315, ['b'] = 1079,
    ['c'] = 3208, ['d'] = 2735, ['e'] = 6848, ['f'] = 1390, ['g'] = 1197,
    ['h'] = 1977, ['i'] = 4107, ['j'] = 342,  ['k'] = 409,  ['l'] = 4137,
    ['m'] = 2251, ['n'] = 4346, ['o'] = 4115, ['p'] = 2453, ['q'] = 68,
    ['r'] = 3973, ['s'] = 5202, ['t'] = 5879, ['u'] = 1540, ['v'] = 770,
    ['w'] = 537,  ['x'] = 726,  ['y'] = 740,  ['z'] = 112,
};

/* Of 1,000 bytes, those with this low nibble. */
static const unsigned short nibble_frequency[16] = {
    134, 57, 80, 89, 88, 85, 24, 20, 31, 55, 30, 10, 79, 49, 87, 68,
};

static int
is_letter(unsigned char c)
{
    c |= 0x20;
    return c >= 'a' && c <= 'z';
}

static unsigned char
folded(unsigned char c)
{
    return is_letter(c) ? c | 0x20 : c;
}

static int
same_folded(const unsigned char *a, const unsigned char *b, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++) {
        if (folded(a[i]) != folded(b[i])) {
            return 0;
        }
    }
    return 1;
}

/* ---- one place ---- */

static uint64_t
eight(const unsigned char *p)
{
    uint64_t x;

    memcpy(&x, p, 8);
    return x;
}

/* 0x20 for each letter of eight ASCII bytes. */
static inline uint64_t
letters(uint64_t x)
{
    const uint64_t each = 0x0101010101010101;
    uint64_t small = x | 0x20 * each;

    return ((small + (0x80 - 'a') * each) & ~(small + (0x7f - 'z') * each) &
            0x80 * each) >> 2;
}

/* The bytes of a long name between its first and its last eight. */
static inline int
middle_stands(const cms_search_key_t *key, const unsigned char *p)
{
    size_t i;

    for (i = 8; i + 8 < key->len; i += 8) {
        uint64_t name = eight(key->p + i), fold = letters(name);

        if ((eight(p + i) | fold) != (name | fold)) {
            return 0;
        }
    }
    return 1;
}

/* Before an end that is nearer than eight bytes. */
static int
few_stand(const cms_search_key_t *key, const unsigned char *p, size_t left)
{
    unsigned char few[8] = {0};

    memcpy(few, p, left);
    return ((eight(few) | key->first_fold) & key->first_mask) == key->first;
}

static inline int
key_stands(const cms_search_key_t *key, const unsigned char *p,
           const unsigned char *end)
{
    size_t left = end - p;

    if (left < key->len) {
        return 0;
    }
    if (left < 8) {
        return few_stand(key, p, left);
    }
    if (((eight(p) | key->first_fold) & key->first_mask) != key->first) {
        return 0;
    }
    if (key->len <= 8) {
        return 1;
    }
    return (eight(p + key->len - 8) | key->last_fold) == key->last &&
           middle_stands(key, p);
}

static inline unsigned
names_at(const cms_search_t *search, const unsigned char *q)
{
    unsigned names = search->byte[0][q[0]];

    if (names) {
        names &= search->byte[1][q[search->place[1]]];
    }
    return names ? names & search->byte[2][q[search->place[2]]] &
                       search->byte[3][q[search->place[3]]]
                 : 0;
}

/* Of more than one name: see stands_at(). */
static const unsigned char *
several_stand_at(const cms_search_t *search, const unsigned char *q,
                 const unsigned char *p, const unsigned char *end,
                 unsigned *which)
{
    unsigned names = names_at(search, q);
    const unsigned char *first = NULL;

    for (; names; names &= names - 1) {
        unsigned k = __builtin_ctz(names);
        const cms_search_key_t *key = &search->keys[k];
        const unsigned char *start = q - key->at;

        if (key->at > q - p || (first && start > first) ||
            !key_stands(key, start, end)) {
            continue;
        }
        if (first == NULL || start < first) {
            first = start;
            *which = 0;
        }
        *which |= 1u << k;
    }
    return first;
}

/*
 * The names whose places are counted from q: where those that begin first do
 * so, and which they are; or NULL.
 */
static inline const unsigned char *
stands_at(const cms_search_t *search, const unsigned char *q,
          const unsigned char *p, const unsigned char *end, unsigned *which)
{
    const cms_search_key_t *key = &search->keys[0];

    if (search->count > 1) {
        return several_stand_at(search, q, p, end, which);
    }
    if (key->at > q - p || !key_stands(key, q - key->at, end)) {
        return NULL;
    }
    *which = 1;
    return q - key->at;
}

const unsigned char *
cms_search_next(const cms_search_t *search, const unsigned char *p,
                cms_search_cursor_t *cursor, const unsigned char *end,
                unsigned *which)
{
    const unsigned char *at = cursor->at, *q_end, *start;
    uint64_t places = cursor->places;

    if (end - p < search->at_min + search->tail_min) {
        return NULL;
    }
    if (at - p < search->at_min) {
        at = p + search->at_min;
        places = 0;
    }
    q_end = end - search->tail_min + 1;
    for (;;) {
        for (; places; places &= places - 1) {
            start = stands_at(search, at - 64 + __builtin_ctzll(places), p,
                              end, which);
            if (start) {
                cursor->at = at;
                cursor->places = places & (places - 1);
                return start;
            }
        }
        if (at >= q_end ||
            (places = search->look(search, p, &at, q_end)) == 0) {
            cursor->at = end;
            return NULL;
        }
        at += 64;
    }
}

/* ---- byte by byte ---- */

static inline int
may_be_at(const cms_search_t *search, const unsigned char *q)
{
    unsigned names = search->byte[0][q[0]];

    return names && names & search->byte[1][q[search->place[1]]];
}

/* The mask of the next places, 64 at most. */
static uint64_t
mask_of_bytes(const cms_search_t *search, const unsigned char *q,
              const unsigned char *q_end)
{
    size_t n = q_end - q < 64 ? q_end - q : 64, i;
    uint64_t mask = 0;

    for (i = 0; i < n; i++) {
        mask |= (uint64_t)may_be_at(search, q + i) << i;
    }
    return mask;
}

static uint64_t
look_at_bytes(const cms_search_t *search, const unsigned char *p,
              const unsigned char **at, const unsigned char *q_end)
{
    const unsigned char *q;

    (void)p;
    for (q = *at; q < q_end; q++) {
        if (may_be_at(search, q)) {
            *at = q;
            return mask_of_bytes(search, q, q_end);
        }
    }
    return 0;
}

static uint64_t
look_at_nothing(const cms_search_t *search, const unsigned char *p,
                const unsigned char **at, const unsigned char *q_end)
{
    (void)search;
    (void)p;
    (void)at;
    (void)q_end;
    return 0;
}

/* ---- 16 bytes, in what gcc and clang make of them on any CPU ---- */

typedef unsigned char bytes16_t __attribute__((vector_size(16)));
typedef uint64_t halves16_t __attribute__((vector_size(16)));

static inline bytes16_t
load16(const unsigned char *p)
{
    bytes16_t v;

    memcpy(&v, p, 16);
    return v;
}

static inline bytes16_t
all16(unsigned char c)
{
    return (bytes16_t){c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c};
}

static uint64_t
look_alike_16(const cms_search_t *search, const unsigned char *p,
              const unsigned char **at, const unsigned char *q_end)
{
    bytes16_t a = all16(search->letter[0]), b = all16(search->letter[1]);
    bytes16_t fold = all16(0x20);
    size_t d = search->place[1];
    const unsigned char *q;
    uint64_t mask;

    for (q = *at; q_end - q >= 16; q += 16) {
        halves16_t hits = (halves16_t)(((load16(q) | fold) == a) &
                                       ((load16(q + d) | fold) == b));

        if (hits[0] | hits[1]) {
            mask = mask_of_bytes(search, q, q_end);
            if (mask) {
                *at = q;
                return mask;
            }
        }
    }
    *at = q;
    return look_at_bytes(search, p, at, q_end);
}

/* ---- AVX2 ---- */

#if defined(__x86_64__)

#define AVX2 __attribute__((target("avx2,bmi")))

static int
avx2_works(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi");
}

AVX2 static inline __m256i
load32(const unsigned char *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

/* Not 0 where the two bytes are that all names have. */
AVX2 static inline __m256i
alike_32(const unsigned char *q, size_t d, __m256i a, __m256i b)
{
    __m256i fold = _mm256_set1_epi8(0x20);

    return _mm256_and_si256(
        _mm256_cmpeq_epi8(_mm256_or_si256(load32(q), fold), a),
        _mm256_cmpeq_epi8(_mm256_or_si256(load32(q + d), fold), b));
}

AVX2 static inline uint64_t
mask_64(__m256i x, __m256i y)
{
    return (uint32_t)_mm256_movemask_epi8(x) |
           (uint64_t)(uint32_t)_mm256_movemask_epi8(y) << 32;
}

/*
 * Goes on to the first 64 places of which MASK is not 0: near by one 64 after
 * the other, and then, over aligned bytes, 128 at a time while NONE of them
 * can be it. The last may overlap those before.
 */
#define LOOK(MASK, NONE)                                                      \
    const unsigned char *q = *at;                                             \
    uint64_t mask;                                                            \
    size_t n;                                                                 \
                                                                              \
    for (n = 0; q_end - q >= 64; n++, q += 64) {                              \
        if (n == 4) {                                                         \
            q -= (uintptr_t)q & 63;                                           \
        }                                                                     \
        if (n >= 4) {                                                         \
            while (q_end - q >= 128 && NONE) {                                \
                q += 128;                                                     \
            }                                                                 \
            if (q_end - q < 64) {                                             \
                break;                                                        \
            }                                                                 \
        }                                                                     \
        mask = MASK;                                                          \
        if (mask) {                                                           \
            *at = q;                                                          \
            return mask;                                                      \
        }                                                                     \
    }                                                                         \
    *at = q;                                                                  \
    n = q_end - q;                                                            \
    if (n == 0 || q_end - p < 64) {                                           \
        return look_at_bytes(search, p, at, q_end);                           \
    }                                                                         \
    q = q_end - 64;                                                           \
    mask = MASK;                                                              \
    return mask >> (64 - n);

AVX2 static inline uint64_t
alike_64(const unsigned char *q, size_t d, __m256i a, __m256i b)
{
    return mask_64(alike_32(q, d, a, b), alike_32(q + 32, d, a, b));
}

AVX2 static inline int
none_alike_128(const unsigned char *q, size_t d, __m256i a, __m256i b)
{
    __m256i x = _mm256_or_si256(alike_32(q, d, a, b),
                                alike_32(q + 32, d, a, b));
    __m256i y = _mm256_or_si256(alike_32(q + 64, d, a, b),
                                alike_32(q + 96, d, a, b));

    x = _mm256_or_si256(x, y);
    return _mm256_testz_si256(x, x);
}

AVX2 static uint64_t
look_alike_avx2(const cms_search_t *search, const unsigned char *p,
                const unsigned char **at, const unsigned char *q_end)
{
    __m256i a = _mm256_set1_epi8(search->letter[0]);
    __m256i b = _mm256_set1_epi8(search->letter[1]);
    size_t d = search->place[1];

    LOOK(alike_64(q, d, a, b), none_alike_128(q, d, a, b))
}

AVX2 static inline __m256i
table32(const unsigned char *p)
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)p));
}

/*
 * The names, by their shared bits, that may be at each byte by the low nibbles
 * at all places; pshufb has none for a byte from 0x80 on.
 */
AVX2 static inline __m256i
any_32(const unsigned char *q, const signed char *place, const __m256i *low)
{
    __m256i x = _mm256_and_si256(
        _mm256_shuffle_epi8(low[0], load32(q)),
        _mm256_shuffle_epi8(low[1], load32(q + place[1])));
    __m256i y = _mm256_and_si256(
        _mm256_shuffle_epi8(low[2], load32(q + place[2])),
        _mm256_shuffle_epi8(low[3], load32(q + place[3])));

    return _mm256_and_si256(x, y);
}

AVX2 static inline uint64_t
any_64(const unsigned char *q, const signed char *place, const __m256i *low)
{
    const __m256i none = _mm256_setzero_si256();
    __m256i x = any_32(q, place, low);
    __m256i y = any_32(q + 32, place, low);

    return ~mask_64(_mm256_cmpeq_epi8(x, none), _mm256_cmpeq_epi8(y, none));
}

AVX2 static inline int
none_any_128(const unsigned char *q, const signed char *place,
             const __m256i *low)
{
    __m256i x = _mm256_or_si256(any_32(q, place, low),
                                any_32(q + 32, place, low));
    __m256i y = _mm256_or_si256(any_32(q + 64, place, low),
                                any_32(q + 96, place, low));

    x = _mm256_or_si256(x, y);
    return _mm256_testz_si256(x, x);
}

AVX2 static uint64_t
look_any_avx2(const cms_search_t *search, const unsigned char *p,
              const unsigned char **at, const unsigned char *q_end)
{
    const __m256i low[4] = {table32(search->low[0]), table32(search->low[1]),
                            table32(search->low[2]), table32(search->low[3])};
    const signed char *place = search->place;

    LOOK(any_64(q, place, low), none_any_128(q, place, low))
}

/* ---- AVX-512 with VBMI ---- */

#define VBMI __attribute__((target("avx512f,avx512bw,avx512vbmi,bmi")))

static int
vbmi_works(void)
{
    return __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vbmi") &&
           __builtin_cpu_supports("bmi");
}

/*
 * The names, by their shared bits, that have the byte itself at a place; of a
 * byte from 0x80 on the lower seven bits count.
 */
VBMI static inline __m512i
names_64(const unsigned char *q, const __m512i *ascii)
{
    return _mm512_permutex2var_epi8(
        ascii[0], _mm512_loadu_si512((const void *)q), ascii[1]);
}

VBMI static inline __m512i
exact_64(const unsigned char *q, const signed char *place,
         const __m512i *ascii)
{
    __m512i x = _mm512_and_si512(names_64(q, ascii),
                                 names_64(q + place[1], ascii + 2));

    __m512i y = _mm512_and_si512(names_64(q + place[2], ascii + 4),
                                 names_64(q + place[3], ascii + 6));

    return _mm512_and_si512(x, y);
}

VBMI static inline int
none_exact_128(const unsigned char *q, const signed char *place,
               const __m512i *ascii)
{
    __m512i x = _mm512_or_si512(exact_64(q, place, ascii),
                                exact_64(q + 64, place, ascii));

    return _mm512_test_epi8_mask(x, x) == 0;
}

VBMI static inline uint64_t
exact_mask(const unsigned char *q, const signed char *place,
           const __m512i *ascii)
{
    __m512i x = exact_64(q, place, ascii);

    return _mm512_test_epi8_mask(x, x);
}

VBMI static uint64_t
look_any_vbmi(const cms_search_t *search, const unsigned char *p,
              const unsigned char **at, const unsigned char *q_end)
{
    const signed char *place = search->place;
    __m512i ascii[2 * CMS_SEARCH_PLACES];
    size_t i;

    for (i = 0; i < 2 * CMS_SEARCH_PLACES; i++) {
        ascii[i] = _mm512_loadu_si512(
            (const void *)&search->ascii[i / 2][i % 2 * 64]);
    }
    LOOK(exact_mask(q, place, ascii), none_exact_128(q, place, ascii))
}

#endif

static int
always_works(void)
{
    return 1;
}

static const struct {
    const char *name;
    int (*works)(void);
    cms_search_look_t alike, any;
} ways[] = {
    {"bytes", always_works, look_at_bytes, look_at_bytes},
    {"16 bytes", always_works, look_alike_16, look_at_bytes},
#if defined(__x86_64__)
    {"AVX2", avx2_works, look_alike_avx2, look_any_avx2},
    {"VBMI", vbmi_works, look_alike_avx2, look_any_vbmi},
#endif
};

#define WAYS (sizeof(ways) / sizeof(*ways))

size_t
cms_search_ways(void)
{
    return WAYS;
}

const char *
cms_search_way_name(size_t way)
{
    return ways[way].name;
}

int
cms_search_use(cms_search_t *search, size_t way)
{
    if (!ways[way].works()) {
        return 0;
    }
    search->look = search->count == 0 ? look_at_nothing
                   : search->alike    ? ways[way].alike
                                      : ways[way].any;
    return 1;
}

/* ---- which bytes ---- */

static int
is_hex(unsigned char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

/* Whether a name may seem to begin with the last n bytes of an escape. */
static int
has_escape_rest(const cms_search_name_t *name, size_t n)
{
    const unsigned char *p = name->p;

    if (name->len <= n) {
        return 0;
    }
    switch (n) {
    case 1: /* \n, and all below */
        return is_hex(p[0]) || (p[0] && strchr("nrtbfv", p[0]));
    case 2: /* %2F */
        return is_hex(p[0]) && is_hex(p[1]);
    case 3: /* \x2F */
        return ((p[0] | 0x20) == 'x' || p[0] == '0') && is_hex(p[1]) &&
               is_hex(p[2]);
    case 4:
        return p[0] == '0' && p[1] == '0' && is_hex(p[2]) && is_hex(p[3]);
    case 5: /* \u002F */
        return (p[0] | 0x20) == 'u' && p[1] == '0' && p[2] == '0' &&
               is_hex(p[3]) && is_hex(p[4]);
    default:
        return 0;
    }
}

/*
 * Whether a name may stand in another behind what may be the rest of an
 * escape: only then both can be met where they overlap.
 */
static int
may_overlap(const cms_search_name_t *names, size_t count)
{
    size_t j, k, n;

    for (j = 0; j < count; j++) {
        for (n = 1; n <= 5; n++) {
            size_t rest = names[j].len - n;

            for (k = 0; k < count && has_escape_rest(&names[j], n); k++) {
                if (same_folded(names[j].p + n, names[k].p,
                                rest < names[k].len ? rest : names[k].len)) {
                    return 1;
                }
            }
        }
    }
    return 0;
}

/*
 * A name that begins with another is looked for by that one's bytes, or it
 * would not be met where the other is.
 */
static void
shorten(cms_search_name_t *stems, const cms_search_name_t *names, size_t count)
{
    size_t j, k;

    for (k = 0; k < count; k++) {
        stems[k] = names[k];
        for (j = 0; j < count; j++) {
            if (names[j].len < stems[k].len &&
                same_folded(names[j].p, names[k].p, names[j].len)) {
                stems[k].len = names[j].len;
            }
        }
    }
}

/* What is chosen: the places, and where in each name they are counted from. */
typedef struct {
    double often; /* how often a byte of a text is met in vain */
    size_t places;
    signed char place[CMS_SEARCH_PLACES];
    size_t at[CMS_SEARCH_NAMES_MAX];
} choice_t;

/* How often the bytes at the places are those of a name. */
static double
often_at(const choice_t *c, const unsigned char *p, int alike)
{
    double often = 1;
    size_t i;

    for (i = 0; i < c->places; i++) {
        unsigned char b = folded(p[c->place[i]]);

        if (i == 0 || c->place[i] != c->place[i - 1]) {
            often *= alike ? (frequency[b & 0x7f] + 1) / 100000.0
                           : nibble_frequency[b & 15] / 1000.0;
        }
    }
    return often;
}

/*
 * Counts the places of each name from where it is met least often; only from
 * its beginning where all that overlap must be met, in their order. Where
 * pair is given, its first two bytes are those.
 */
static int
count_from(choice_t *c, const cms_search_name_t *names, size_t count,
           int from_start, const unsigned char *pair)
{
    size_t last = c->place[c->places - 1], k, i;

    c->often = 0;
    for (k = 0; k < count; k++) {
        double least = 2, often;

        for (i = 0; i + last < names[k].len && !(i && from_start); i++) {
            const unsigned char *p = names[k].p + i;

            if (pair && (folded(p[0]) != folded(pair[0]) ||
                         folded(p[last]) != folded(pair[last]))) {
                continue;
            }
            often = often_at(c, p, pair != NULL);
            if (often < least) {
                least = often;
                c->at[k] = i;
            }
        }
        if (least == 2) {
            return 0;
        }
        c->often += pair ? least / count : least;
    }
    return 1;
}

/* The rarest two bytes that all names have. */
static int
choose_alike(choice_t *best, const cms_search_name_t *names, size_t count,
             int from_start)
{
    choice_t c = {0, 2, {0}, {0}};
    size_t i, d;

    best->often = 1;
    for (d = 0; d <= PLACE_MAX; d++) {
        c.place[1] = d;
        for (i = 0; i + d < names[0].len; i++) {
            if (count_from(&c, names, count, from_start, names[0].p + i) &&
                c.often < best->often) {
                *best = c;
            }
        }
    }
    return best->often < ALIKE_OFTEN;
}

/* Place after place, that where it makes most of a difference. */
static void
choose_any(choice_t *best, const cms_search_name_t *names, size_t count,
           int from_start)
{
    choice_t c = {0, 1, {0}, {0}};

    for (*best = c; c.places < CMS_SEARCH_PLACES; c = *best) {
        int d = c.place[c.places - 1];

        c.places++;
        best->often = 17;
        for (; d <= PLACE_MAX; d++) {
            c.place[c.places - 1] = d;
            if (count_from(&c, names, count, from_start, NULL) &&
                c.often < best->often) {
                *best = c;
            }
        }
    }
}

/* ---- the tables ---- */

/* How many pairs of names have the same bytes at the chosen places and d. */
static size_t
same_pairs(const choice_t *c, const cms_search_name_t *names, size_t count,
           int d)
{
    size_t pairs = 0, i, j, k;

    for (j = 0; j < count; j++) {
        for (k = 0; k < j; k++) {
            const unsigned char *a = names[j].p + c->at[j];
            const unsigned char *b = names[k].p + c->at[k];

            for (i = 0; i < c->places; i++) {
                if (folded(a[c->place[i]]) != folded(b[c->place[i]])) {
                    break;
                }
            }
            pairs += i == c->places && folded(a[d]) == folded(b[d]);
        }
    }
    return pairs;
}

/* Further places, for names that are alike: those that tell them apart. */
static void
tell_apart(choice_t *c, const cms_search_t *search,
           const cms_search_name_t *names, size_t count)
{
    int low = search->at_min < PLACE_MAX ? search->at_min : PLACE_MAX;
    int high = search->tail_min < PLACE_MAX ? search->tail_min : PLACE_MAX;

    while (c->places < CMS_SEARCH_PLACES) {
        size_t best = SIZE_MAX;
        int d;

        for (d = -low; d < high; d++) {
            size_t pairs = same_pairs(c, names, count, d);
            size_t i;

            for (i = 0; i < c->places && c->place[i] != d; i++) {
                /* to the same place */
            }
            pairs = 2 * pairs + (i < c->places);
            if (pairs < best) {
                best = pairs;
                c->place[c->places] = d;
            }
        }
        c->places++;
    }
}

static void
set_key(cms_search_key_t *key, const cms_search_name_t *name, size_t at)
{
    unsigned char word[8] = {0}, fold[8] = {0}, mask[8] = {0};
    size_t i;

    key->p = name->p;
    key->len = name->len;
    key->at = at;
    for (i = 0; i < 8 && i < name->len; i++) {
        word[i] = folded(name->p[i]);
        fold[i] = is_letter(word[i]) ? 0x20 : 0;
        mask[i] = 0xff;
    }
    key->first = eight(word);
    key->first_fold = eight(fold);
    key->first_mask = eight(mask);
    for (i = 0; i < 8 && name->len >= 8; i++) {
        word[i] = folded(name->p[name->len - 8 + i]);
        fold[i] = is_letter(word[i]) ? 0x20 : 0;
    }
    key->last = eight(word);
    key->last_fold = eight(fold);
}

/* How often a shared bit is met, with this name's bytes or without (NULL). */
static double
often_of_bit(const cms_search_t *search, unsigned bit, const unsigned char *p)
{
    double often = 1;
    size_t i, n;

    for (i = 0; i < CMS_SEARCH_PLACES; i++) {
        double sum = 0;

        for (n = 0; n < 16; n++) {
            if (search->low[i][n] & bit ||
                (p && (folded(p[search->place[i]]) & 15) == n)) {
                sum += nibble_frequency[n] / 1000.0;
            }
        }
        often *= sum;
    }
    return often;
}

/* The bit that is met least more often with this name. */
static unsigned
shared_bit(const cms_search_t *search, const unsigned char *p)
{
    unsigned best = 1, b;
    double least = 2;

    for (b = 1; b < 256; b <<= 1) {
        double more = often_of_bit(search, b, p) -
                      often_of_bit(search, b, NULL);

        if (more < least) {
            least = more;
            best = b;
        }
    }
    return best;
}

static void
set_bytes(cms_search_t *search, const unsigned char *p, size_t k)
{
    unsigned bit = 1u << k, shared = shared_bit(search, p);
    size_t i;

    for (i = 0; i < CMS_SEARCH_PLACES; i++) {
        unsigned char c = folded(p[search->place[i]]);

        search->byte[i][c] |= bit;
        search->byte[i][is_letter(c) ? c ^ 0x20 : c] |= bit;
        search->low[i][c & 15] |= shared;
        search->ascii[i][c] |= shared;
        search->ascii[i][is_letter(c) ? c ^ 0x20 : c] |= shared;
    }
}

static void
set_limits(cms_search_t *search, const choice_t *c,
           const cms_search_name_t *names, size_t count)
{
    size_t k;

    search->at_min = search->tail_min = 255;
    for (k = 0; k < count; k++) {
        size_t tail = names[k].len - c->at[k];

        if (c->at[k] < search->at_min) {
            search->at_min = c->at[k];
        }
        if (tail < search->tail_min) {
            search->tail_min = tail;
        }
    }
}

static void
set_tables(cms_search_t *search, const choice_t *c,
           const cms_search_name_t *names, size_t count)
{
    const unsigned char *pair = names[0].p + c->at[0];
    size_t k;

    memcpy(search->place, c->place, sizeof(search->place));
    search->letter[0] = pair[0] | 0x20;
    search->letter[1] = pair[c->place[1]] | 0x20;
    for (k = 0; k < count; k++) {
        set_key(&search->keys[k], &names[k], c->at[k]);
        set_bytes(search, names[k].p + c->at[k], k);
    }
}

void
cms_search_compile(cms_search_t *search, const cms_search_name_t *names,
                   size_t count)
{
    cms_search_name_t stems[CMS_SEARCH_NAMES_MAX];
    choice_t c;
    size_t k;

    memset(search, 0, sizeof(*search));
    search->count = count;
    if (count) {
        int overlap = may_overlap(names, count);

        shorten(stems, names, count);
        search->alike = choose_alike(&c, stems, count, overlap);
        if (!search->alike) {
            choose_any(&c, stems, count, overlap);
        }
        set_limits(search, &c, names, count);
        if (search->alike) {
            tell_apart(&c, search, names, count);
        }
        set_tables(search, &c, names, count);
    }
    for (k = WAYS; !cms_search_use(search, k - 1); k--) {
        /* to the best that works here */
    }
}
