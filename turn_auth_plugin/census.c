/*
 * Bloom filters of one cache line a name (eight words, one bit in each), one
 * filter after the other, each for twice as many names; see census.h.
 */

#include "census.h"

#include <stdlib.h>

#define WORDS 8
#define LAYERS 16
#define FEWEST 1024
/* Bits for each name; sets how often a stranger is taken for a known one. */
#define BITS 20

struct layer {
    uint64_t (*blocks)[WORDS];
    uint64_t size; /* in blocks */
    size_t room;   /* how many names are to come in */
};

struct census {
    struct layer layers[LAYERS];
    unsigned used; /* how many of them; the last is being filled */
    size_t count;
};

/* Odd numbers without a pattern: each takes other bits of the hash. */
static const uint64_t salts[WORDS] = {
    0x9e3779b97f4a7c15u, 0xc2b2ae3d27d4eb4fu, 0x165667b19e3779f9u,
    0xd6e8feb86659fd93u, 0xa0761d6478bd642fu, 0xe7037ed1a0b428dbu,
    0x8ebc6af09c88c6e3u, 0x589965cc75374cc3u,
};

static uint64_t *block_of(const struct layer *l, uint64_t hash)
{
    return l->blocks[(__uint128_t)hash * l->size >> 64];
}

static uint64_t bit_of(uint64_t hash, int word)
{
    return (uint64_t)1 << (hash * salts[word] >> 58);
}

static int layer_has(const struct layer *l, uint64_t hash)
{
    const uint64_t *block = block_of(l, hash);
    uint64_t missing = 0;

    for (int i = 0; i < WORDS; i++) {
        missing |= ~block[i] & bit_of(hash, i);
    }
    return !missing;
}

static int add_layer(struct census *c, size_t names)
{
    struct layer *l = &c->layers[c->used];

    if (c->used == LAYERS) {
        return 0;
    }
    l->size = names * BITS / (WORDS * 64) + 1;
    l->room = names;
    l->blocks = calloc(l->size, sizeof(*l->blocks));
    if (!l->blocks) {
        return 0;
    }
    c->used++;
    return 1;
}

struct census *census_create(size_t expected)
{
    struct census *c = calloc(1, sizeof(*c));

    if (c && !add_layer(c, expected < FEWEST ? FEWEST : expected)) {
        free(c);
        return NULL;
    }
    return c;
}

void census_destroy(struct census *c)
{
    for (unsigned i = 0; c && i < c->used; i++) {
        free(c->layers[i].blocks);
    }
    free(c);
}

int census_add(struct census *c, uint64_t hash)
{
    struct layer *l = &c->layers[c->used - 1];
    uint64_t *block;

    if (census_has(c, hash)) {
        return 1;
    }
    if (l->room == 0) {
        if (!add_layer(c, 2 * (l->size - 1) * WORDS * 64 / BITS)) {
            return 0;
        }
        l++;
    }
    block = block_of(l, hash);
    for (int i = 0; i < WORDS; i++) {
        block[i] |= bit_of(hash, i);
    }
    l->room--;
    c->count++;
    return 1;
}

int census_has(const struct census *c, uint64_t hash)
{
    for (unsigned i = 0; i < c->used; i++) {
        if (layer_has(&c->layers[i], hash)) {
            return 1;
        }
    }
    return 0;
}

size_t census_count(const struct census *c)
{
    return c->count;
}

size_t census_bytes(const struct census *c)
{
    size_t n = sizeof(*c);

    for (unsigned i = 0; i < c->used; i++) {
        n += c->layers[i].size * sizeof(*c->layers[i].blocks);
    }
    return n;
}
