/*
 * A census: which names are among many, in a few bytes each, where the users
 * themselves do not fit into memory. It never forgets one that was added, and
 * takes about one in 1,000 others for one of them. Called by user_cache.c,
 * which gives a keyed hash for each name and holds a lock.
 */

#ifndef CENSUS_H
#define CENSUS_H

#include <stddef.h>
#include <stdint.h>

struct census;

/*
 * expected: how many names at first; it grows when there are more. NULL when
 * there is no memory.
 */
struct census *census_create(size_t expected);
void census_destroy(struct census *c);

/* Adding one that is there already costs no room. 0: no memory for it. */
int census_add(struct census *c, uint64_t hash);
int census_has(const struct census *c, uint64_t hash);

/* How many were added (but for those it took for known). */
size_t census_count(const struct census *c);
size_t census_bytes(const struct census *c);

#endif
