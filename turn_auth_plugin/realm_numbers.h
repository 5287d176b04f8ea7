/*
 * A small number for each realm, so that a remembered user need not hold its
 * realm's name. One thread adds; any number look up at the same time, without
 * a lock. Called by user_cache.c.
 */

#ifndef REALM_NUMBERS_H
#define REALM_NUMBERS_H

#include "user_name.h"

#include <stdatomic.h>
#include <stdint.h>

#define REALM_NUMBERS_MAX 1024
#define REALM_NUMBERS_PLACES 2048

struct realm_numbers {
    /* Of each place, the number of the realm there; 0: none. */
    _Atomic uint16_t places[REALM_NUMBERS_PLACES];
    unsigned count; /* the adding thread's */
    /* Written before the number appears in places[], and never again. */
    struct realm_entry {
        uint64_t hash;
        size_t len;
        char name[USER_REALM_MAX + 1];
    } realms[REALM_NUMBERS_MAX];
};

/* From 1; 0: not known. hash: of the realm's name, the same every time. */
unsigned realm_number(const struct realm_numbers *n, uint64_t hash,
                      const char *realm, size_t len);
/* The same, and it is added; 0: there are too many, or it is too long. */
unsigned realm_number_add(struct realm_numbers *n, uint64_t hash,
                          const char *realm, size_t len);

/* Of a number that one of the above gave. */
static inline const struct realm_entry *realm_of(const struct realm_numbers *n,
                                                 unsigned number)
{
    return &n->realms[number - 1];
}

#endif
