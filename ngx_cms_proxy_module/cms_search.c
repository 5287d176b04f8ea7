/*
 * Finds where names stand in a text: places where two bytes, far apart enough
 * and rare, are those of a name, and there the whole name. Called by the
 * rewriting.
 */

#include "cms_search.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define DISTANCE_MAX 15
#define NO_PAIR      UINT64_MAX

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

static inline int
key_stands(const cms_search_key_t *key, const unsigned char *p,
           const unsigned char *end)
{
    unsigned char few[8] = {0};
    size_t left = end - p;

    if (left < key->len) {
        return 0;
    }
    if (left < 8) {
        memcpy(few, p, left);
        return ((eight(few) | key->first_fold) & key->first_mask) ==
               key->first;
    }
    if (((eight(p) | key->first_fold) & key->first_mask) != key->first) {
        return 0;
    }
    if (key->len <= 8) {
        return 1;
    }
    return (eight(p + key->len - 8) | key->last_fold) == key->last &&
           (key->len <= 16 ||
            same_folded(p + 8, key->p + 8, key->len - 16));
}

/*
 * The names whose two bytes begin at q: where those that begin first do so,
 * and which they are; or NULL.
 */
static inline const unsigned char *
stands_at(const cms_search_t *search, const unsigned char *q,
          const unsigned char *p, const unsigned char *end, unsigned *which)
{
    unsigned buckets = search->byte[0][*q] &
                       search->byte[1][q[search->distance]];
    const unsigned char *first = NULL;

    for (; buckets; buckets &= buckets - 1) {
        unsigned names = search->bucket[__builtin_ctz(buckets)];

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
    }
    return first;
}

/* The places where two bytes may begin, if any. */
static inline int
places(const cms_search_t *search, const unsigned char *p,
       const unsigned char *end, const unsigned char **q,
       const unsigned char **q_end)
{
    if (end - p < search->at_min + search->tail_min) {
        return 0;
    }
    *q = p + search->at_min;
    *q_end = end - search->tail_min + 1;
    return 1;
}

/* Place after place. */
static const unsigned char *
scan_rest(const cms_search_t *search, const unsigned char *q,
          const unsigned char *q_end, const unsigned char *p,
          const unsigned char *end, unsigned *which)
{
    for (; q < q_end; q++) {
        if (search->byte[0][*q] & search->byte[1][q[search->distance]]) {
            const unsigned char *start = stands_at(search, q, p, end, which);

            if (start) {
                return start;
            }
        }
    }
    return NULL;
}

static const unsigned char *
scan_bytes(const cms_search_t *search, const unsigned char *p,
           const unsigned char *end, unsigned *which)
{
    const unsigned char *q, *q_end;

    return places(search, p, end, &q, &q_end)
               ? scan_rest(search, q, q_end, p, end, which)
               : NULL;
}

static const unsigned char *
scan_nothing(const cms_search_t *search, const unsigned char *p,
             const unsigned char *end, unsigned *which)
{
    (void)search;
    (void)p;
    (void)end;
    (void)which;
    return NULL;
}

/*
 * What all vectorised ways do: BLOCK places at a time, of which CANDIDATES
 * gives a mask; the last block overlaps the one before. Few places are looked
 * at one by one.
 */
#define SCAN(BLOCK, CANDIDATES)                                               \
    const unsigned char *q, *q_end, *start;                                   \
                                                                              \
    if (!places(search, p, end, &q, &q_end)) {                                \
        return NULL;                                                          \
    }                                                                         \
    if (q_end - q < BLOCK) {                                                  \
        return scan_rest(search, q, q_end, p, end, which);                    \
    }                                                                         \
    for (;;) {                                                                \
        uint64_t mask = CANDIDATES;                                           \
                                                                              \
        for (; mask; mask &= mask - 1) {                                      \
            start = stands_at(search, q + __builtin_ctzll(mask), p, end,      \
                              which);                                         \
            if (start) {                                                      \
                return start;                                                 \
            }                                                                 \
        }                                                                     \
        q += BLOCK;                                                           \
        if (q_end - q < BLOCK) {                                              \
            if (q >= q_end) {                                                 \
                return NULL;                                                  \
            }                                                                 \
            q = q_end - BLOCK;                                                \
        }                                                                     \
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

static const unsigned char *
scan_alike_16(const cms_search_t *search, const unsigned char *p,
              const unsigned char *end, unsigned *which)
{
    bytes16_t c0 = all16(search->letter[0]), f0 = all16(search->fold[0]);
    bytes16_t c1 = all16(search->letter[1]), f1 = all16(search->fold[1]);
    size_t distance = search->distance;
    const unsigned char *q, *q_end, *start;

    if (!places(search, p, end, &q, &q_end)) {
        return NULL;
    }
    for (; q_end - q >= 16; q += 16) {
        halves16_t hits = (halves16_t)(((load16(q) | f0) == c0) &
                                       ((load16(q + distance) | f1) == c1));

        if (hits[0] | hits[1]) {
            start = scan_rest(search, q, q + 16, p, end, which);
            if (start) {
                return start;
            }
        }
    }
    return scan_rest(search, q, q_end, p, end, which);
}

/* ---- AVX2 and AVX-512 ---- */

#if defined(__x86_64__)

#define AVX2 __attribute__((target("avx2,bmi,bmi2,lzcnt,popcnt")))
#define AVX512                                                                \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi,bmi,bmi2")))

static int
avx2_works(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi");
}

static int
avx512_works(void)
{
    return __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vbmi") &&
           __builtin_cpu_supports("bmi");
}

AVX2 static inline __m256i
alike_32(const unsigned char *q, size_t distance, const __m256i c[2],
         const __m256i f[2])
{
    __m256i a = _mm256_loadu_si256((const __m256i *)q);
    __m256i b = _mm256_loadu_si256((const __m256i *)(q + distance));

    return _mm256_and_si256(
        _mm256_cmpeq_epi8(_mm256_or_si256(a, f[0]), c[0]),
        _mm256_cmpeq_epi8(_mm256_or_si256(b, f[1]), c[1]));
}

AVX2 static inline uint64_t
mask_64(__m256i a, __m256i b)
{
    if (_mm256_testz_si256(_mm256_or_si256(a, b), _mm256_set1_epi8(-1))) {
        return 0;
    }
    return (uint32_t)_mm256_movemask_epi8(a) |
           (uint64_t)(uint32_t)_mm256_movemask_epi8(b) << 32;
}

AVX2 static const unsigned char *
scan_alike_avx2(const cms_search_t *search, const unsigned char *p,
                const unsigned char *end, unsigned *which)
{
    const __m256i c[2] = {_mm256_set1_epi8(search->letter[0]),
                          _mm256_set1_epi8(search->letter[1])};
    const __m256i f[2] = {_mm256_set1_epi8(search->fold[0]),
                          _mm256_set1_epi8(search->fold[1])};
    size_t distance = search->distance;

    SCAN(64, mask_64(alike_32(q, distance, c, f),
                     alike_32(q + 32, distance, c, f)))
}

/* The buckets of 32 bytes: pshufb takes a byte from 0x80 on for none. */
AVX2 static inline __m256i
buckets_32(const unsigned char *q, __m256i low, __m256i high)
{
    __m256i x = _mm256_loadu_si256((const __m256i *)q);
    __m256i h = _mm256_and_si256(_mm256_srli_epi16(x, 4),
                                 _mm256_set1_epi8(0x0f));

    return _mm256_and_si256(_mm256_shuffle_epi8(low, x),
                            _mm256_shuffle_epi8(high, h));
}

AVX2 static inline __m256i
table_32(const unsigned char *p)
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)p));
}

AVX2 static inline uint32_t
any_32(const unsigned char *q, size_t distance, const __m256i t[4])
{
    __m256i b = _mm256_and_si256(buckets_32(q, t[0], t[1]),
                                 buckets_32(q + distance, t[2], t[3]));

    return ~(uint32_t)_mm256_movemask_epi8(
        _mm256_cmpeq_epi8(b, _mm256_setzero_si256()));
}

AVX2 static const unsigned char *
scan_any_avx2(const cms_search_t *search, const unsigned char *p,
              const unsigned char *end, unsigned *which)
{
    const __m256i t[4] = {table_32(search->low[0]), table_32(search->high[0]),
                          table_32(search->low[1]), table_32(search->high[1])};
    size_t distance = search->distance;

    SCAN(32, any_32(q, distance, t))
}

AVX512 static inline uint64_t
alike_64(const unsigned char *q, size_t distance, const __m512i c[2],
         const __m512i f[2])
{
    __m512i a = _mm512_loadu_si512(q);
    __m512i b = _mm512_loadu_si512(q + distance);

    return _mm512_mask_cmpeq_epi8_mask(
        _mm512_cmpeq_epi8_mask(_mm512_or_si512(a, f[0]), c[0]),
        _mm512_or_si512(b, f[1]), c[1]);
}

AVX512 static const unsigned char *
scan_alike_avx512(const cms_search_t *search, const unsigned char *p,
                  const unsigned char *end, unsigned *which)
{
    const __m512i c[2] = {_mm512_set1_epi8(search->letter[0]),
                          _mm512_set1_epi8(search->letter[1])};
    const __m512i f[2] = {_mm512_set1_epi8(search->fold[0]),
                          _mm512_set1_epi8(search->fold[1])};
    size_t distance = search->distance;

    SCAN(64, alike_64(q, distance, c, f))
}

/* A byte from 0x80 on is taken for its lower half: looked at once more. */
AVX512 static inline uint64_t
any_64(const unsigned char *q, size_t distance, const __m512i t[4])
{
    __m512i a = _mm512_loadu_si512(q);
    __m512i b = _mm512_loadu_si512(q + distance);

    return _mm512_test_epi8_mask(_mm512_permutex2var_epi8(t[0], a, t[1]),
                                 _mm512_permutex2var_epi8(t[2], b, t[3]));
}

AVX512 static const unsigned char *
scan_any_avx512(const cms_search_t *search, const unsigned char *p,
                const unsigned char *end, unsigned *which)
{
    const __m512i t[4] = {_mm512_loadu_si512(search->byte[0]),
                          _mm512_loadu_si512(search->byte[0] + 64),
                          _mm512_loadu_si512(search->byte[1]),
                          _mm512_loadu_si512(search->byte[1] + 64)};
    size_t distance = search->distance;

    SCAN(64, any_64(q, distance, t))
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
    cms_search_scan_t alike, any;
} ways[] = {
    {"bytes", always_works, scan_bytes, scan_bytes},
    {"16 bytes", always_works, scan_alike_16, scan_bytes},
#if defined(__x86_64__)
    {"AVX2", avx2_works, scan_alike_avx2, scan_any_avx2},
    {"AVX-512", avx512_works, scan_alike_avx512, scan_any_avx512},
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
    search->scan = search->count == 0 ? scan_nothing
                   : search->alike    ? ways[way].alike
                                      : ways[way].any;
    return 1;
}

/* ---- which two bytes ---- */

/* Of 10^10 places, how many have two such bytes; or one, for want of two. */
static uint64_t
how_many(const unsigned char *p, size_t distance)
{
    uint64_t a = frequency[folded(p[0]) & 0x7f] + 1;
    uint64_t b = frequency[folded(p[distance]) & 0x7f] + 1;

    return distance ? a * b : a * 100000;
}

static int
is_hex(unsigned char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

/* The rest of an escape that a name may seem to begin with: 0 for none. */
static size_t
escape_rest(const unsigned char *p, size_t len, size_t n)
{
    switch (n) {
    case 1: /* of \n */
        return len > 1 && strchr("nrtbfv", p[0]);
    case 2: /* of %2F */
        return len > 2 && is_hex(p[0]) && is_hex(p[1]);
    case 3: /* of \x2F */
        return len > 3 && (p[0] | 0x20) == 'x' && is_hex(p[1]) && is_hex(p[2]);
    default: /* of \u002F */
        return n == 5 && len > 5 && (p[0] | 0x20) == 'u' && p[1] == '0' &&
               p[2] == '0' && is_hex(p[3]) && is_hex(p[4]);
    }
}

/*
 * Whether a name may stand in another, behind what is the rest of an escape
 * or the beginning of that other name: both must be found then, in order.
 */
static int
in_order(const cms_search_name_t *names, size_t count)
{
    size_t j, k, n;

    for (j = 0; j < count; j++) {
        for (k = 0; k < count; k++) {
            for (n = 1; n <= 5; n++) {
                size_t rest = names[j].len - n;

                if (escape_rest(names[j].p, names[j].len, n) &&
                    same_folded(names[j].p + n, names[k].p,
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
 * would not be found where the other is.
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

/* Where in a name two bytes that far apart are rarest, or are a and b. */
static uint64_t
rarest_at(const cms_search_name_t *name, size_t distance, int only_first,
          const unsigned char *pair, size_t *at)
{
    uint64_t best = NO_PAIR, r;
    size_t i;

    for (i = 0; i + distance < name->len && (i == 0 || !only_first); i++) {
        if (pair && (folded(name->p[i]) != folded(pair[0]) ||
                     folded(name->p[i + distance]) != folded(pair[distance]))) {
            continue;
        }
        r = how_many(name->p + i, distance);
        if (r < best) {
            best = r;
            *at = i;
        }
    }
    return best;
}

/* How often these names' pairs are to be met: the sum over all. */
static uint64_t
choose(const cms_search_name_t *names, size_t count, size_t distance,
       int only_first, const unsigned char *pair, size_t *at)
{
    uint64_t sum = 0;
    size_t k;

    for (k = 0; k < count; k++) {
        uint64_t r = rarest_at(&names[k], distance, only_first, pair, &at[k]);

        if (r == NO_PAIR) {
            return NO_PAIR;
        }
        sum += r;
    }
    return sum;
}

typedef struct {
    uint64_t cost;
    size_t distance;
    size_t at[CMS_SEARCH_NAMES_MAX];
} choice_t;

static void
consider(choice_t *best, const cms_search_name_t *names, size_t count,
         size_t distance, int only_first, const unsigned char *pair)
{
    choice_t c = {0, distance, {0}};

    c.cost = choose(names, count, distance, only_first, pair, c.at);
    if (c.cost < best->cost) {
        *best = c;
    }
}

/* The best pair that all names have, and the best where each has its own. */
static void
consider_all(const cms_search_name_t *names, size_t count, choice_t *alike,
             choice_t *any)
{
    cms_search_name_t stems[CMS_SEARCH_NAMES_MAX];
    int only_first = in_order(names, count);
    size_t d, i;

    shorten(stems, names, count);
    alike->cost = any->cost = NO_PAIR;
    for (d = 0; d <= DISTANCE_MAX; d++) {
        consider(any, stems, count, d, only_first, NULL);
        for (i = 0; i + d < stems[0].len; i++) {
            consider(alike, stems, count, d, only_first, stems[0].p + i);
        }
    }
}

/* ---- the tables ---- */

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

static void
set_byte(cms_search_t *search, int which, unsigned char c, unsigned bucket)
{
    unsigned char l = folded(c), u = is_letter(c) ? l ^ 0x20 : l;
    unsigned char bit = 1u << bucket;

    search->byte[which][l] |= bit;
    search->byte[which][u] |= bit;
    search->low[which][l & 15] |= bit;
    search->high[which][l >> 4] |= bit;
    search->high[which][u >> 4] |= bit;
}

/* The bucket of a name with this pair: that of the same pair, or the next. */
static unsigned
bucket_of(const cms_search_t *search, const unsigned char *pair, size_t k)
{
    size_t j, d = search->distance;

    for (j = 0; j < k; j++) {
        const cms_search_key_t *key = &search->keys[j];
        const unsigned char *other = key->p + key->at;
        unsigned b;

        if (folded(other[0]) == folded(pair[0]) &&
            folded(other[d]) == folded(pair[d])) {
            for (b = 0; !(search->bucket[b] & 1u << j); b++) {
                /* to the other's */
            }
            return b;
        }
    }
    return k % CMS_SEARCH_BUCKETS;
}

static void
add(cms_search_t *search, const cms_search_name_t *name, size_t k, size_t at)
{
    const unsigned char *pair = name->p + at;
    unsigned b = bucket_of(search, pair, k);

    search->bucket[b] |= 1u << k;
    set_byte(search, 0, pair[0], b);
    set_byte(search, 1, pair[search->distance], b);
    set_key(&search->keys[k], name, at);
    if (k == 0 || at < search->at_min) {
        search->at_min = at;
    }
    if (k == 0 || name->len - at < search->tail_min) {
        search->tail_min = name->len - at;
    }
}

void
cms_search_compile(cms_search_t *search, const cms_search_name_t *names,
                   size_t count)
{
    choice_t alike, any, *c;
    size_t k;
    int i;

    memset(search, 0, sizeof(*search));
    search->count = count;
    if (count) {
        consider_all(names, count, &alike, &any);
        /* a pair of all is met for each name alike: looked at once */
        search->alike = alike.cost != NO_PAIR &&
                        alike.cost / count < 20000000;
        c = search->alike ? &alike : &any;
        search->distance = c->distance;
        for (k = 0; k < count; k++) {
            add(search, &names[k], k, c->at[k]);
        }
        for (i = 0; i < 2; i++) {
            unsigned char l = names[0].p[c->at[0] + i * c->distance];

            search->letter[i] = folded(l);
            search->fold[i] = is_letter(l) ? 0x20 : 0;
        }
    }
    for (k = WAYS; !cms_search_use(search, k - 1); k--) {
        /* to the best that works here */
    }
}
