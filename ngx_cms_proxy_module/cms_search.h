/*
 * Where in a text does one of up to 16 names stand, letter case ignored? For
 * the rewriting, which looks at what stands around it. A few bytes of each
 * are looked for at 16 to 128 places at a time, as the CPU allows. Pure.
 */

#ifndef CMS_SEARCH_H
#define CMS_SEARCH_H

#include <stddef.h>
#include <stdint.h>

#define CMS_SEARCH_NAMES_MAX 16
#define CMS_SEARCH_PLACES    4

typedef struct {
    const unsigned char *p; /* ASCII */
    size_t len;             /* 1 to 255 */
} cms_search_name_t;

/* A name as it is compared: eight bytes at a time. */
typedef struct {
    const unsigned char *p;
    unsigned char len;
    unsigned char at; /* where its places are counted from */
    uint64_t first, first_fold, first_mask;
    uint64_t last, last_fold;
} cms_search_key_t;

typedef struct cms_search_s cms_search_t;

/*
 * From *q on: the first of the next 64 places, as far as they are before
 * q_end, where a name may be, a bit for each; *q moves to the first of those
 * 64. 0 if there is none up to q_end. The text begins at p.
 */
typedef uint64_t (*cms_search_look_t)(const cms_search_t *search,
                                      const unsigned char *p,
                                      const unsigned char **q,
                                      const unsigned char *q_end);

/*
 * Of fixed size, and read-only once compiled; the names must outlive it. Of
 * each name the bytes at the same few places are looked at, which are counted
 * from some byte of it.
 */
struct cms_search_s {
    cms_search_look_t look;
    unsigned char count;
    unsigned char alike;    /* all names have the same first two bytes: */
    unsigned char letter[2]; /* these */
    unsigned char at_min;   /* of the keys' at */
    unsigned char tail_min; /* of the keys' len - at */
    signed char place[CMS_SEARCH_PLACES]; /* the first is 0 */
    /* the names, a bit each, that have such a byte there */
    uint16_t byte[CMS_SEARCH_PLACES][256];
    /* the same by the byte's low nibble; names share the eight bits */
    unsigned char low[CMS_SEARCH_PLACES][16];
    /* the same bits by the byte itself */
    unsigned char ascii[CMS_SEARCH_PLACES][128];
    cms_search_key_t keys[CMS_SEARCH_NAMES_MAX];
};

/* count: 0 (nothing is ever found) to CMS_SEARCH_NAMES_MAX. */
void cms_search_compile(cms_search_t *search, const cms_search_name_t *names,
                        size_t count);

/* How far a search has come. */
typedef struct {
    const unsigned char *at; /* where it goes on */
    uint64_t places;         /* of the 64 before that, where a name may be */
} cms_search_cursor_t;

static inline void
cms_search_begin(cms_search_cursor_t *cursor, const unsigned char *p)
{
    cursor->at = p;
    cursor->places = 0;
}

/*
 * Finds all places at or behind p where a name stands whole before end, one
 * by one: each with a bit in *which for each name that does; NULL if there
 * are no more. The cursor begins at p; while it goes on p may move on too, and
 * what is before it may be written over. Reads nothing at end or behind it. Of
 * names that overlap, one that begins in another, but not behind what may be
 * the rest of an escape, may be left out or come before that other; else they
 * come in their order.
 */
const unsigned char *cms_search_next(const cms_search_t *search,
                                     const unsigned char *p,
                                     cms_search_cursor_t *cursor,
                                     const unsigned char *end,
                                     unsigned *which);

/*
 * The ways to search that this program has: 0 is the simplest and works
 * everywhere, and the last that works here is what cms_search_compile takes.
 */
size_t cms_search_ways(void);
const char *cms_search_way_name(size_t way);

/* For tests: makes a compiled search go this way; 0 if this CPU cannot. */
int cms_search_use(cms_search_t *search, size_t way);

#endif
