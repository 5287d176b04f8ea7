/*
 * Where in a text could one of up to 16 names stand? Says "could": who calls
 * (the rewriting) looks closer. Pure.
 */

#ifndef CMS_SEARCH_H
#define CMS_SEARCH_H

#include <stddef.h>

#define CMS_SEARCH_NAMES_MAX 16

typedef struct {
    const unsigned char *p;
    size_t len; /* not 0 */
} cms_search_name_t;

/* Of fixed size, and read-only once compiled. */
typedef struct {
    size_t count;
    size_t lens[CMS_SEARCH_NAMES_MAX];
    unsigned short first[256]; /* the names that begin so, one bit each */
} cms_search_t;

/* count: 0 (nothing is ever found) to CMS_SEARCH_NAMES_MAX. */
void cms_search_compile(cms_search_t *search, const cms_search_name_t *names,
                        size_t count);

/*
 * The first place at or behind p where a name could stand whole before end,
 * letter case ignored, and a bit in *which for each that could; NULL if there
 * is none. Reads nothing at end or behind it.
 */
const unsigned char *cms_search_next(const cms_search_t *search,
                                     const unsigned char *p,
                                     const unsigned char *end,
                                     unsigned *which);

#endif
