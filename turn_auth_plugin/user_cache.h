/*
 * What the plugin remembers of users: keys of those that exist, and names that
 * do not. Bounded, for many readers at a time, in memory that no core file
 * holds. Called by look_up.c (auth workers) and by the store thread (store.c,
 * feed.c), which alone writes; it asks nobody, and time is passed in.
 */

#ifndef USER_CACHE_H
#define USER_CACHE_H

#include "expiry_queue.h"
#include "user_name.h"

#define USER_KEY_LEN 16
#define USER_FOREVER INT64_MAX

/*
 * Which of two states of a user is the later one. number grows with each
 * change of the user; epoch (unix seconds) with each history of the database: a
 * failover, a restore, a restart. {0, 0}: not known, older than all.
 */
struct user_version {
    uint32_t epoch;
    uint64_t number;
};

/* < 0, 0, > 0 as a is older than, the same as, newer than b. */
int user_version_compare(struct user_version a, struct user_version b);

enum user_state {
    USER_UNKNOWN, /* nothing is remembered */
    USER_VALID,   /* exists; has a key; until valid_until_ms */
    USER_ABSENT,  /* does not exist, or is disabled, expired, not valid yet */
};

struct user_record {
    enum user_state state;
    int64_t read_ms; /* monotonic: when the database was asked for it */
    /*
     * Unix time up to which this state holds; USER_FOREVER: no end. Of an
     * absent user: when it becomes valid (valid_from); 0 means no end here.
     */
    int64_t valid_until_ms;
    struct user_version version;
    uint8_t key[USER_KEY_LEN];
};

struct user_cache;

/*
 * capacity: how many users with a key it holds; besides, an eighth as many
 * (64 at least) absent names. A user costs at most 128 bytes (names up to 16
 * bytes), and another 128 up to valid_until, where there is one, from the first
 * login on. Where there are more users than it holds, each of them, held or
 * not, costs up to 5 bytes besides (the census), and up to 10 more once it was
 * looked up and had to give way. NULL when there is no memory.
 */
struct user_cache *user_cache_create(size_t capacity);
void user_cache_destroy(struct user_cache *c);

/*
 * When the validity of users ends who logged in here. The cache adds to it, as
 * users log in and as ends are changed; the store thread takes from it and
 * looks (user_cache_peek) whether the end has come. Who is not remembered any
 * more has no other end.
 */
struct expiry_queue *user_cache_expiries(struct user_cache *c);

/* Of a name that is not remembered: does such a user exist? */
enum user_chance {
    USER_CHANCE_NONE,    /* no (as of the last that was fed) */
    USER_CHANCE_GOOD,    /* in all likelihood: there are more than fit */
    USER_CHANCE_UNKNOWN, /* there is no feed, or it has a gap */
};

/*
 * Fills *r; state USER_UNKNOWN when nothing is remembered: then, and only then,
 * the chance that is returned means something. Both are of the same moment, so
 * that nobody who comes or gives way meanwhile is said not to exist. Counts as
 * a use: who is looked up stays when room is needed, and user_cache_store()
 * says when such a user is revoked.
 */
enum user_chance user_cache_find(struct user_cache *c,
                                 const struct user_name *u, int64_t now_ms,
                                 struct user_record *r);
/* The same without being a use. */
enum user_chance user_cache_peek(struct user_cache *c,
                                 const struct user_name *u,
                                 struct user_record *r);

/*
 * A number that changes whenever user_cache_change() may have touched this
 * name. Taken before the database (or Redis) is asked, given with the answer:
 * what was read before a change is never stored after it, whether the name is
 * still remembered or not.
 */
uint64_t user_cache_guard(struct user_cache *c, const struct user_name *u);

enum user_stored {
    USER_STORED,
    USER_STORED_REVOKED, /* who was logged in here lost or changed the key */
    USER_NOT_STORED,     /* older than what is there, or there is no room */
    USER_GUARDED,        /* a change came in between: ask again */
};

/*
 * Remembers *r in place of what was remembered, unless that is newer (version;
 * where versions are equal or one is not known, read_ms). Where the cache is
 * full, another that was not looked up for long gives way and its key is wiped;
 * absent names never push out users, and of absent names those go last that
 * have a version (they were removed or disabled; the others never were).
 */
enum user_stored user_cache_store(struct user_cache *c,
                                  const struct user_name *u, uint64_t guard,
                                  int64_t now_ms, const struct user_record *r);

/*
 * The change feed says so: like user_cache_store() without a guard, and guards
 * taken before it are no longer good. It says each change once, maybe of after
 * read_ms: a version is newer than none. A name that is not remembered is,
 * then: a valid user where there is room or another was never looked up, an
 * absent one as removed. USER_STORED_REVOKED also for a user who was logged in
 * here and had to give way since.
 */
enum user_stored user_cache_change(struct user_cache *c,
                                   const struct user_name *u, int64_t now_ms,
                                   const struct user_record *r);

/*
 * Reading all users. begin_ms: when the snapshot was there (not before it was
 * taken). Between begin and end each is given to user_cache_resync(); at the
 * end whoever was not given, nor stored with a read_ms from begin_ms on, is
 * gone: revoked() is called for those that were logged in here (with no lock
 * held; the name is the callee's to read until it returns). Versions of what
 * was remembered before do not count: the snapshot is the truth. Answers to
 * what was asked before begin_ms are not stored any more (USER_GUARDED).
 * Returns 1 when the cache holds every user (it is complete), 0 when some did
 * not fit (who is to be swept takes up room until the end).
 */
void user_cache_begin_resync(struct user_cache *c, int64_t begin_ms);
enum user_stored user_cache_resync(struct user_cache *c,
                                   const struct user_name *u,
                                   const struct user_record *r);
int user_cache_end_resync(struct user_cache *c,
                          void (*revoked)(void *owner,
                                          const struct user_name *u),
                          void *owner);
/* The reading broke off: what was read stays, nobody is swept. */
void user_cache_break_resync(struct user_cache *c);

/*
 * After a resync without a gap in the feed since: is every valid user in
 * memory? Then a name that is not there does not exist.
 */
int user_cache_complete(struct user_cache *c);

/* The feed has a gap: not complete until the next resync. */
void user_cache_lose_track(struct user_cache *c);

/*
 * One user after the other, for sweeps in the background: *cursor begins as 0;
 * fills *u (bytes of buffer, USER_REALM_MAX + USER_NAME_MAX + 2) and *r, and
 * returns 1; 0 at the end, when *cursor is 0 again. Who is added or moved
 * meanwhile may be left out or come twice. Absent names with a version come,
 * too.
 */
int user_cache_next(struct user_cache *c, uint64_t *cursor, char *buffer,
                    struct user_name *u, struct user_record *r);

/* How many users with a key, and absent names, it holds now. */
size_t user_cache_count(struct user_cache *c, enum user_state state);
/* Bytes of memory it takes now. */
size_t user_cache_bytes(struct user_cache *c);

#endif
