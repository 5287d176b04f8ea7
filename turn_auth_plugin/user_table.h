/*
 * One table of users: open addressing with linear probing, in memory that no
 * core file holds, wiped when it is given back. Called by user_cache.c, which
 * holds a lock around all of it.
 */

#ifndef USER_TABLE_H
#define USER_TABLE_H

#include <stddef.h>
#include <stdint.h>

#define USER_TABLE_INLINE 16
#define USER_TABLE_KEY 16
/* The end of the times that fit: later ones count as no end. */
#define USER_TABLE_MAX_MS (((int64_t)1 << 48) - 1)

/* One cache line. */
struct user_slot {
    int64_t read_ms : 48; /* may be < 0: before this machine started */
    uint64_t name_len : 10;
    uint64_t queued : 1; /* its end is in the expiry queue */
    uint64_t given : 1;  /* or stored, since the last resync began */
    uint64_t valid_until_ms : 48;
    uint64_t realm : 11; /* its number, from 1; 0: the slot is free */
    uint64_t number;     /* version, with epoch */
    uint32_t epoch;
    uint32_t used_s; /* when last looked up; 0: not, since it changed */
    uint8_t key[USER_TABLE_KEY];
    union {
        char bytes[USER_TABLE_INLINE];
        char *far; /* longer names */
    } name;
};

_Static_assert(sizeof(struct user_slot) == 64, "what user_cache.h promises");

struct user_table {
    struct user_slot *slots; /* on whole pages, the hashes behind them */
    uint32_t *hashes;        /* of each slot; 0: it is free */
    size_t size;
    size_t count;
    size_t hand; /* where the next search for one to give way begins */
    size_t far_bytes;
};

/* Who is meant. hash: keyed, the same every time for realm and name; not 0. */
struct user_place {
    uint32_t hash;
    unsigned realm;
    const char *name;
    size_t name_len;
};

const char *user_slot_name(const struct user_slot *s);

/* NULL when it is not there. Slots move when others are added or removed. */
struct user_slot *user_table_find(const struct user_table *t,
                                  const struct user_place *p);
/* One that is not there yet, all zero but for the name. NULL: no memory. */
struct user_slot *user_table_add(struct user_table *t,
                                 const struct user_place *p);
/*
 * Wipes and removes it. Another may stand in its slot afterwards, one that
 * stood in a later slot (or, seen from the end, in an earlier one).
 */
void user_table_remove(struct user_table *t, struct user_slot *s);
void user_table_end(struct user_table *t);
size_t user_table_bytes(const struct user_table *t);

/*
 * Of the next few, the one with the least rank() gives way; those of rank
 * UINT64_MAX do not. NULL when there is none.
 */
struct user_slot *
user_table_least(struct user_table *t,
                 uint64_t (*rank)(const struct user_slot *s));

#endif
