/*
 * SipHash-1-3 (Aumasson, Bernstein), with a seed that tells realms apart; see
 * name_hash.h.
 */

#include "name_hash.h"

#include <string.h>
#include <sys/random.h>
#include <time.h>

struct sip {
    uint64_t v0, v1, v2, v3;
};

void name_hash_key(struct name_hash_key *key)
{
    struct timespec t;

    if (getrandom(key, sizeof(*key), 0) != (ssize_t)sizeof(*key)) {
        /* Only where the kernel has no random source: better than nothing. */
        clock_gettime(CLOCK_MONOTONIC, &t);
        key->k[0] = (uint64_t)t.tv_nsec * 0x9E3779B97F4A7C15u;
        key->k[1] = (uint64_t)(uintptr_t)key;
    }
}

static uint64_t rotate(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

static void mix(struct sip *s)
{
    s->v0 += s->v1;
    s->v1 = rotate(s->v1, 13) ^ s->v0;
    s->v0 = rotate(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotate(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotate(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotate(s->v1, 17) ^ s->v2;
    s->v2 = rotate(s->v2, 32);
}

static void absorb(struct sip *s, uint64_t word)
{
    s->v3 ^= word;
    mix(s);
    s->v0 ^= word;
}

uint64_t name_hash(const struct name_hash_key *key, uint64_t seed,
                   const void *p, size_t len)
{
    uint64_t k0 = key->k[0] ^ seed, k1 = key->k[1], word;
    struct sip s = {k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du,
                    k0 ^ 0x6c7967656e657261u, k1 ^ 0x7465646279746573u};
    const uint8_t *bytes = p;
    size_t i;

    for (i = 0; i + 8 <= len; i += 8) {
        memcpy(&word, bytes + i, 8);
        absorb(&s, word);
    }
    word = (uint64_t)len << 56;
    if (len > i) {
        memcpy(&word, bytes + i, len - i);
        word = (word & 0x00ffffffffffffffu) | (uint64_t)len << 56;
    }
    absorb(&s, word);
    s.v2 ^= 0xff;
    mix(&s);
    mix(&s);
    mix(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
