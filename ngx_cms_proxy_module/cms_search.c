/*
 * Finds where names could stand in a text. Called by the rewriting.
 */

#include "cms_search.h"

#include <string.h>

void
cms_search_compile(cms_search_t *search, const cms_search_name_t *names,
                   size_t count)
{
    size_t k;

    memset(search, 0, sizeof(*search));
    search->count = count;
    for (k = 0; k < count; k++) {
        unsigned char c = names[k].p[0];

        search->lens[k] = names[k].len;
        search->first[c] |= 1u << k;
        if ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') {
            search->first[c ^ 0x20] |= 1u << k;
        }
    }
}

const unsigned char *
cms_search_next(const cms_search_t *search, const unsigned char *p,
                const unsigned char *end, unsigned *which)
{
    for (; p < end; p++) {
        unsigned could = search->first[*p], left = could;

        for (; left; left &= left - 1) {
            unsigned k = __builtin_ctz(left);

            if (search->lens[k] > (size_t)(end - p)) {
                could &= ~(1u << k);
            }
        }
        if (could) {
            *which = could;
            return p;
        }
    }
    return NULL;
}
