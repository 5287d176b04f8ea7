/*
 * What the plugin remembers of users: keys of those that exist, and names that
 * do not. Bounded, for many readers at a time, in memory that no core file
 * holds. Called by look_up.c (auth workers) and store.c (the store thread);
 * it asks nobody, and time is passed in.
 */

#ifndef USER_CACHE_H
#define USER_CACHE_H

#include <stddef.h>
#include <stdint.h>

#define USER_KEY_LEN 16
#define USER_NAME_MAX 512 /* longer names are not remembered */
#define USER_REALM_MAX 127

struct user_name {
    const char *realm;
    size_t realm_len;
    const char *name;
    size_t name_len;
};

enum user_state {
    USER_UNKNOWN, /* nothing is remembered */
    USER_VALID,   /* exists; has a key */
    USER_ABSENT,  /* did not exist when asked */
};

struct user_record {
    enum user_state state;
    int64_t read_ms; /* when the database was asked for it */
    uint8_t key[USER_KEY_LEN];
};

struct user_cache;

/*
 * capacity: how many users with a key it holds; besides, an eighth as many
 * (64 at least) absent names. NULL when there is no memory.
 */
struct user_cache *user_cache_create(size_t capacity);
void user_cache_destroy(struct user_cache *c);

/* Fills *r; state USER_UNKNOWN when nothing is remembered. */
void user_cache_find(struct user_cache *c, const struct user_name *u,
                     int64_t now_ms, struct user_record *r);

/*
 * Remembers *r in place of what was remembered. Where the cache is full,
 * another that was not looked up for long gives way and its key is wiped;
 * absent names never push out users. What is older (read_ms) than what is
 * there already is not stored.
 */
void user_cache_store(struct user_cache *c, const struct user_name *u,
                      int64_t now_ms, const struct user_record *r);

/* How many users with a key, and absent names, it holds now. */
size_t user_cache_count(struct user_cache *c, enum user_state state);
/* Bytes of memory it takes now. */
size_t user_cache_bytes(struct user_cache *c);

#endif
