/*
 * Open addressing over entries that never change; see realm_numbers.h.
 */

#include "realm_numbers.h"

#include <string.h>

_Static_assert(REALM_NUMBERS_PLACES > REALM_NUMBERS_MAX,
               "there is always a free place, where a search ends");

/* Its place, or the free one where it belongs. */
static unsigned place_of(const struct realm_numbers *n, uint64_t hash,
                         const char *realm, size_t len, unsigned *number)
{
    unsigned i = (unsigned)hash % REALM_NUMBERS_PLACES;

    for (;; i = (i + 1) % REALM_NUMBERS_PLACES) {
        const struct realm_entry *e;

        *number = atomic_load_explicit(&n->places[i], memory_order_acquire);
        if (*number == 0) {
            return i;
        }
        e = realm_of(n, *number);
        if (e->hash == hash && e->len == len &&
            memcmp(e->name, realm, len) == 0) {
            return i;
        }
    }
}

unsigned realm_number(const struct realm_numbers *n, uint64_t hash,
                      const char *realm, size_t len)
{
    unsigned number;

    place_of(n, hash, realm, len, &number);
    return number;
}

unsigned realm_number_add(struct realm_numbers *n, uint64_t hash,
                          const char *realm, size_t len)
{
    unsigned number, place = place_of(n, hash, realm, len, &number);
    struct realm_entry *e;

    if (number || len > USER_REALM_MAX || n->count == REALM_NUMBERS_MAX) {
        return number;
    }
    e = &n->realms[n->count++];
    e->hash = hash;
    e->len = len;
    memcpy(e->name, realm, len);
    e->name[len] = '\0';
    atomic_store_explicit(&n->places[place], (uint16_t)n->count,
                          memory_order_release);
    return n->count;
}
