/* sources: turn_auth_plugin/user_cache.c */
/* sources: turn_auth_plugin/user_cache_others.c */
/* sources: turn_auth_plugin/user_cache_room.c */
/* sources: turn_auth_plugin/user_cache_resync.c */
/* sources: turn_auth_plugin/user_table.c turn_auth_plugin/realm_numbers.c */
/* sources: turn_auth_plugin/census.c turn_auth_plugin/expiry_queue.c */
/* sources: turn_auth_plugin/name_hash.c turn_auth_plugin/secret_memory.c */

#include "user_cache.h"
#include "tap.h"

#include <stdlib.h>

static struct user_cache *c;

static struct user_name named(const char *realm, const char *name)
{
    return (struct user_name){realm, strlen(realm), name, strlen(name)};
}

static void store(const char *realm, const char *name, enum user_state state,
                  int key, int64_t read_ms)
{
    struct user_name u = named(realm, name);
    struct user_record r = {
        .state = state, .read_ms = read_ms, .valid_until_ms = USER_FOREVER};

    memset(r.key, key, sizeof(r.key));
    user_cache_store(c, &u, user_cache_guard(c, &u), read_ms, &r);
}

static struct user_record find(const char *realm, const char *name,
                               int64_t now_ms)
{
    struct user_name u = named(realm, name);
    struct user_record r;

    user_cache_find(c, &u, now_ms, &r);
    return r;
}

static void basics(void)
{
    struct user_record r;

    c = user_cache_create(1000);
    is_int((long)find("r", "u", 1).state, USER_UNKNOWN, "nothing at first");
    store("r", "u", USER_VALID, 7, 10);
    r = find("r", "u", 11);
    is_int((long)r.state, USER_VALID, "what was stored is found");
    is_int(r.key[0] + r.key[15], 14, "with its key");
    is_int((long)r.read_ms, 10, "and when it was read");
    is_int((long)find("q", "u", 1).state, USER_UNKNOWN, "realms are apart");
    is_int((long)find("r", "U", 1).state, USER_UNKNOWN, "case counts");
    is_int((long)find("r", "", 1).state, USER_UNKNOWN, "no name");
    store("r", "u", USER_VALID, 8, 20);
    is_int(find("r", "u", 21).key[0], 8, "a newer key replaces it");
    store("r", "u", USER_VALID, 9, 15);
    is_int(find("r", "u", 21).key[0], 8, "an older one does not");
    store("r", "u", USER_ABSENT, 0, 15);
    is_int((long)find("r", "u", 21).state, USER_VALID, "nor an older absence");
    store("r", "u", USER_ABSENT, 0, 30);
    is_int((long)find("r", "u", 31).state, USER_ABSENT, "a newer one does");
    is_int(find("r", "u", 31).key[0], 0, "and the key is gone");
    store("r", "u", USER_VALID, 5, 40);
    is_int(find("r", "u", 41).key[0], 5, "and back again");
    is_int((long)user_cache_count(c, USER_VALID), 1, "one is there");
    is_int((long)user_cache_count(c, USER_ABSENT), 0, "none is absent");
    user_cache_destroy(c);
}

static void long_names(void)
{
    char name[USER_NAME_MAX + 2];

    c = user_cache_create(1000);
    memset(name, 'x', sizeof(name));
    name[24] = '\0';
    store("r", name, USER_VALID, 1, 1);
    is_int(find("r", name, 1).key[0], 1, "24 bytes");
    name[24] = 'x';
    name[25] = '\0';
    store("r", name, USER_VALID, 2, 1);
    is_int(find("r", name, 1).key[0], 2, "25 bytes");
    name[25] = 'x';
    name[USER_NAME_MAX] = '\0';
    store("r", name, USER_VALID, 3, 1);
    is_int(find("r", name, 1).key[0], 3, "512 bytes");
    name[USER_NAME_MAX] = 'x';
    name[USER_NAME_MAX + 1] = '\0';
    store("r", name, USER_VALID, 4, 1);
    is_int((long)find("r", name, 1).state, USER_UNKNOWN, "513: not remembered");
    user_cache_destroy(c);
}

static void many_realms(void)
{
    char realm[32];
    int found = 0;

    c = user_cache_create(5000);
    for (int i = 0; i < 2000; i++) {
        snprintf(realm, sizeof(realm), "realm%d", i);
        store(realm, "u", USER_VALID, i & 127, 1);
        found += find(realm, "u", 1).key[0] == (i & 127) &&
                 find(realm, "u", 1).state == USER_VALID;
    }
    is_int(found, 1024, "the first 1024 realms are remembered, no more");
    user_cache_destroy(c);
}

/* Against a plain array, with evictions and changes at random. */
static void random_walk(void)
{
    enum { NAMES = 4000, CAPACITY = 1000 };
    static int key[NAMES]; /* 0 unknown or absent */
    int wrong = 0, valid = 0;
    char name[80];

    srand(1);
    c = user_cache_create(CAPACITY);
    for (int step = 1; step < 200000; step++) {
        int i = rand() % NAMES, absent = rand() % 4 == 0;
        struct user_record r;

        snprintf(name, sizeof(name), "user%d%s", i,
                 i % 5 ? "" : "-with-a-name-that-does-not-fit-inside");
        r = find("r", name, step);
        wrong += r.state == USER_VALID && r.key[3] != key[i];
        key[i] = absent ? 0 : 1 + rand() % 200;
        store("r", name, absent ? USER_ABSENT : USER_VALID, key[i], step);
        r = find("r", name, step);
        wrong += r.state != (absent ? USER_ABSENT : USER_VALID);
    }
    is_int(wrong, 0, "200000 random steps: never a wrong key");
    ok(user_cache_count(c, USER_VALID) <= CAPACITY + 64,
       "as many as it may hold (%zu)", user_cache_count(c, USER_VALID));
    ok(user_cache_count(c, USER_VALID) >= CAPACITY - 64, "and no fewer");
    ok(user_cache_count(c, USER_ABSENT) <= CAPACITY / 8 + 64,
       "absent names are bounded (%zu)", user_cache_count(c, USER_ABSENT));
    for (int i = 0; i < NAMES; i++) {
        snprintf(name, sizeof(name), "user%d%s", i,
                 i % 5 ? "" : "-with-a-name-that-does-not-fit-inside");
        valid += find("r", name, 200000).state == USER_VALID;
    }
    is_int(valid, (long)user_cache_count(c, USER_VALID), "and all are found");
    user_cache_destroy(c);
}

static void flood(void)
{
    char name[32];
    int kept = 0;

    c = user_cache_create(1000);
    for (int i = 0; i < 900; i++) {
        snprintf(name, sizeof(name), "user%d", i);
        store("r", name, USER_VALID, 1, 1000);
    }
    for (int i = 0; i < 100000; i++) {
        snprintf(name, sizeof(name), "nobody%d", i);
        store("r", name, USER_ABSENT, 0, 2000);
    }
    for (int i = 0; i < 900; i++) {
        snprintf(name, sizeof(name), "user%d", i);
        kept += find("r", name, 2000).state == USER_VALID;
    }
    is_int(kept, 900, "a flood of absent names pushes nobody out");
    user_cache_destroy(c);
}

static void hot_ones_stay(void)
{
    char name[32];
    int kept = 0;

    c = user_cache_create(2000);
    for (int i = 0; i < 20000; i++) {
        int64_t now_ms = 1000 * (int64_t)i;

        snprintf(name, sizeof(name), "cold%d", i);
        store("r", name, USER_VALID, 1, now_ms);
        snprintf(name, sizeof(name), "hot%d", i % 50);
        if (find("r", name, now_ms).state != USER_VALID) {
            store("r", name, USER_VALID, 2, now_ms);
        } else {
            kept++;
        }
    }
    ok(kept > 19800, "who logs in often is not pushed out (%d of 20000)", kept);
    user_cache_destroy(c);
}

static void memory(void)
{
    enum { USERS = 200000 };
    char name[32];

    c = user_cache_create(USERS);
    for (int i = 0; i < USERS; i++) {
        snprintf(name, sizeof(name), "user%d", i);
        store("r", name, USER_VALID, 1, 1);
    }
    is_int((long)user_cache_count(c, USER_VALID), USERS, "holds all");
    ok(user_cache_bytes(c) / USERS <= 128, "at most 128 bytes each (%zu)",
       user_cache_bytes(c) / USERS);
    user_cache_destroy(c);
}

/* ---- versions, guards, the feed ---- */

static struct user_record record(enum user_state state, int key,
                                 int64_t read_ms, uint32_t epoch,
                                 uint64_t number)
{
    struct user_record r = {.state = state,
                            .read_ms = read_ms,
                            .valid_until_ms =
                                state == USER_VALID ? USER_FOREVER : 0,
                            .version = {epoch, number}};

    memset(r.key, key, sizeof(r.key));
    return r;
}

static long answer(const char *name, enum user_state state, int key,
                   int64_t read_ms, uint32_t epoch, uint64_t number)
{
    struct user_name u = named("r", name);
    struct user_record r = record(state, key, read_ms, epoch, number);

    return (long)user_cache_store(c, &u, user_cache_guard(c, &u), read_ms, &r);
}

static long change(const char *name, enum user_state state, int key,
                   int64_t read_ms, uint32_t epoch, uint64_t number)
{
    struct user_name u = named("r", name);
    struct user_record r = record(state, key, read_ms, epoch, number);

    return (long)user_cache_change(c, &u, read_ms, &r);
}

static long resync(const char *name, enum user_state state, int key,
                   uint32_t epoch, uint64_t number)
{
    struct user_name u = named("r", name);
    struct user_record r = record(state, key, 100, epoch, number);

    return (long)user_cache_resync(c, &u, &r);
}

static struct user_record peek(const char *name)
{
    struct user_name u = named("r", name);
    struct user_record r;

    user_cache_peek(c, &u, &r);
    return r;
}

static long state(const char *name)
{
    return (long)peek(name).state;
}

static long chance(const char *name)
{
    struct user_name u = named("r", name);
    struct user_record r;

    return (long)user_cache_peek(c, &u, &r);
}

/* How many were told to be revoked, and who was last. */
static int revoked_count;
static char revoked_name[64];

static void revoked(void *owner, const struct user_name *u)
{
    (void)owner;
    revoked_count++;
    snprintf(revoked_name, sizeof(revoked_name), "%s %s", u->realm, u->name);
}

static int end_resync(void)
{
    revoked_count = 0;
    return user_cache_end_resync(c, revoked, NULL);
}

static void versions(void)
{
    c = user_cache_create(1000);
    is_int(answer("u", USER_VALID, 1, 10, 5, 7), USER_STORED, "version 5/7");
    is_int(answer("u", USER_VALID, 2, 99, 5, 6), USER_NOT_STORED,
           "5/6 is older, though read later");
    is_int(answer("u", USER_VALID, 2, 99, 4, 99), USER_NOT_STORED,
           "so is 4/99, of an earlier history");
    is_int(answer("u", USER_ABSENT, 0, 99, 5, 6), USER_NOT_STORED,
           "and an absence");
    is_int(peek("u").key[0], 1, "what is there stays");
    is_int(answer("u", USER_ABSENT, 0, 5, 5, 8), USER_STORED_REVOKED,
           "5/8 is newer, though read before: revoked");
    is_int(answer("u", USER_VALID, 1, 200, 5, 7), USER_NOT_STORED,
           "5/7 does not come back after its removal");
    is_int(state("u"), USER_ABSENT, "it stays removed");
    is_int(answer("u", USER_VALID, 3, 1, 6, 1), USER_STORED,
           "6/1, of a later history, does");
    is_int(peek("u").version.epoch == 6 && peek("u").version.number == 1, 1,
           "and has its version");
    is_int(answer("u", USER_ABSENT, 0, 0, 6, 1), USER_NOT_STORED,
           "the same version read before");
    is_int(answer("u", USER_ABSENT, 0, 2, 6, 1), USER_STORED_REVOKED,
           "the same version read later counts: its time had come");
    is_int(answer("u", USER_VALID, 4, 3, 0, 0), USER_STORED,
           "where the version is not known, the time decides");
    is_int(change("u", USER_VALID, 5, 2, 6, 1), USER_STORED_REVOKED,
           "but what the feed says was asked before and happened after");
    user_cache_destroy(c);
}

static void ends(void)
{
    struct user_record r = record(USER_VALID, 1, 10, 1, 1);
    struct user_name u = named("r", "u");
    struct expiry e;

    c = user_cache_create(1000);
    is_int(peek("u").valid_until_ms == 0, 1, "no end of nobody");
    r.valid_until_ms = 1800000000123;
    user_cache_change(c, &u, 10, &r);
    is_int(peek("u").valid_until_ms == 1800000000123, 1, "an end");
    is_int((long)expiry_queue_count(user_cache_expiries(c)), 0,
           "who did not log in is not waited for");
    find("r", "u", 20);
    find("r", "u", 21);
    is_int((long)expiry_queue_count(user_cache_expiries(c)), 1,
           "who logged in is, once");
    r.valid_until_ms = 1700000000000;
    r.version.number = 2;
    user_cache_change(c, &u, 30, &r);
    is_int((long)expiry_queue_count(user_cache_expiries(c)), 1,
           "and once when the end moves, without a login");
    is_int(expiry_queue_take(user_cache_expiries(c), 1700000000000, &e), 1,
           "the new end comes");
    ok(strcmp(e.name.realm, "r") == 0 && strcmp(e.name.name, "u") == 0,
       "with the name");
    r.valid_until_ms = USER_FOREVER;
    r.version.number = 3;
    user_cache_change(c, &u, 40, &r);
    is_int(find("r", "u", 50).valid_until_ms == USER_FOREVER, 1, "no end");
    is_int((long)expiry_queue_count(user_cache_expiries(c)), 0,
           "and nothing more to wait for");
    r = record(USER_ABSENT, 0, 60, 1, 4);
    user_cache_change(c, &u, 60, &r);
    is_int(peek("u").valid_until_ms == USER_FOREVER, 1, "absent for good");
    r.valid_until_ms = 1900000000000;
    r.version.number = 5;
    user_cache_change(c, &u, 60, &r);
    is_int(peek("u").valid_until_ms == 1900000000000, 1, "absent up to then");
    r.read_ms = -5000000;
    r.version.number = 6;
    user_cache_change(c, &u, 60, &r);
    is_int(peek("u").read_ms, -5000000, "read before this machine started");
    user_cache_destroy(c);
}

static void guards(void)
{
    struct user_name u = named("r", "u"), other = named("r", "other");
    struct user_record old = record(USER_VALID, 1, 10, 0, 0);
    uint64_t guard, others;

    c = user_cache_create(1000);
    guard = user_cache_guard(c, &u);
    others = user_cache_guard(c, &other);
    is_int(user_cache_guard(c, &u) == guard, 1, "a guard stays as it is");
    is_int(change("u", USER_ABSENT, 0, 20, 1, 2), USER_STORED,
           "a change of a name that is not remembered");
    is_int((long)user_cache_store(c, &u, guard, 30, &old), USER_GUARDED,
           "what was asked before is not stored");
    is_int(state("u"), USER_ABSENT, "the removal is remembered");
    old.read_ms = 40;
    is_int((long)user_cache_store(c, &other, others, 30, &old), USER_STORED,
           "other names are not touched");
    guard = user_cache_guard(c, &u);
    user_cache_begin_resync(c, 50);
    is_int((long)user_cache_store(c, &u, guard, 30, &old), USER_GUARDED,
           "nor is what was asked before a resync");
    user_cache_destroy(c);
}

static void revocations(void)
{
    c = user_cache_create(1000);
    change("u", USER_VALID, 1, 10, 1, 1);
    is_int(change("u", USER_VALID, 2, 11, 1, 2), USER_STORED,
           "another key for one who never logged in: nothing to revoke");
    find("r", "u", 12);
    is_int(change("u", USER_VALID, 2, 13, 1, 3), USER_STORED,
           "logged in, the same key: nothing");
    is_int(change("u", USER_VALID, 3, 14, 1, 4), USER_STORED_REVOKED,
           "another key: revoked");
    is_int(change("u", USER_ABSENT, 0, 15, 1, 5), USER_STORED,
           "and then removed: nobody logged in since");
    change("u", USER_VALID, 4, 16, 1, 6);
    peek("u");
    is_int(change("u", USER_ABSENT, 0, 17, 1, 7), USER_STORED,
           "a peek is no login");
    is_int(change("x", USER_ABSENT, 0, 17, 1, 8), USER_STORED,
           "nobody was ever logged in by that name");
    answer("y", USER_VALID, 5, 18, 1, 9);
    is_int(change("y", USER_ABSENT, 0, 19, 1, 10), USER_STORED_REVOKED,
           "an answer of the database is a login");
    user_cache_destroy(c);
}

/* An end of somebody who is not remembered any more. */
static void ends_early(const char *name)
{
    struct user_record r = record(USER_VALID, 7, 1000000, 1, 3);
    struct user_name u = named("r", name);

    r.valid_until_ms = 1700000000000;
    user_cache_change(c, &u, 1000000, &r);
    is_int(expiry_queue_next_ms(user_cache_expiries(c)) == 1700000000000, 1,
           "a new end: it is waited for");
}

/* Who logged in, and gave way to others who did. */
static void revocations_of_forgotten(void)
{
    char name[32];
    int wrong = 0;

    c = user_cache_create(100);
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof(name), "user%d", i);
        answer(name, USER_VALID, 7, 1000 * i, 1, 1);
    }
    is_int(state("user1"), USER_UNKNOWN, "the first gave way");
    is_int(change("user1", USER_VALID, 7, 1000000, 1, 2), USER_NOT_STORED,
           "changed, but for the key: nothing to revoke");
    is_int(state("user1"), USER_UNKNOWN, "nor does another give way for it");
    is_int(change("user2", USER_VALID, 8, 1000000, 1, 2), USER_STORED_REVOKED,
           "another key: revoked");
    is_int(change("user3", USER_ABSENT, 8, 1000000, 1, 2), USER_STORED_REVOKED,
           "removed: revoked");
    ends_early("user4");
    change("user999", USER_ABSENT, 0, 1000000, 1, 2);
    is_int(change("user5", USER_VALID, 7, 1000000, 1, 2), USER_STORED,
           "there is room again for one who gave way");
    is_int(change("user5", USER_VALID, 8, 1000000, 1, 3), USER_STORED_REVOKED,
           "who has another key then: revoked");
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof(name), "other%d", i);
        wrong += change(name, USER_ABSENT, 0, 1000000, 1, 2) != USER_STORED;
    }
    ok(wrong < 10, "hardly anybody else (%d of 1000)", wrong);
    user_cache_destroy(c);
}

/* ---- reading all users ---- */

static void a_resync(void)
{
    c = user_cache_create(1000);
    answer("gone", USER_VALID, 1, 10, 9, 100);
    answer("unseen", USER_VALID, 1, 10, 9, 100);
    find("r", "gone", 11);
    change("never-used", USER_VALID, 1, 10, 9, 100);
    answer("restored", USER_VALID, 1, 10, 9, 100);
    answer("same", USER_VALID, 1, 10, 9, 100);
    answer("nobody", USER_ABSENT, 0, 10, 0, 0);
    is_int(user_cache_complete(c), 0, "not complete at first");
    is_int(chance("x"), USER_CHANCE_UNKNOWN, "nobody knows who else there is");

    user_cache_begin_resync(c, 100);
    is_int(resync("restored", USER_VALID, 2, 3, 1), USER_STORED_REVOKED,
           "the snapshot counts, whatever its version; another key: revoked");
    is_int(resync("same", USER_VALID, 1, 3, 2), USER_STORED, "the same key");
    is_int(resync("new", USER_VALID, 3, 3, 3), USER_STORED, "a new one");
    is_int(resync("removed", USER_ABSENT, 0, 3, 4), USER_STORED, "a removal");
    is_int(answer("late", USER_VALID, 4, 101, 3, 5), USER_STORED,
           "stored meanwhile");
    is_int(answer("unseen", USER_ABSENT, 0, 99, 9, 101), USER_STORED_REVOKED,
           "one that was read before");
    is_int(chance("x"), USER_CHANCE_UNKNOWN, "not yet known");
    is_int(end_resync(), 1, "complete");
    is_int(revoked_count, 1, "one who was logged in is gone");
    ok(strcmp(revoked_name, "r gone") == 0, "by name (%s)", revoked_name);
    is_int(state("gone"), USER_UNKNOWN, "it is not remembered");
    is_int(state("never-used"), USER_UNKNOWN, "nor who never logged in");
    is_int(state("nobody"), USER_UNKNOWN, "nor an absence from before");
    is_int(state("unseen"), USER_UNKNOWN, "nor one read before");
    is_int(peek("restored").key[0], 2, "the snapshot's key");
    is_int(state("late"), USER_VALID, "what was stored meanwhile stays");
    is_int(state("removed"), USER_ABSENT, "a removal is remembered");
    is_int(user_cache_complete(c), 1, "complete");
    is_int(chance("x"), USER_CHANCE_NONE, "others do not exist");
    is_int(answer("removed", USER_VALID, 1, 200, 3, 3), USER_NOT_STORED,
           "an older version of who was removed is refused");
    user_cache_lose_track(c);
    is_int(user_cache_complete(c), 0, "a gap: not complete");
    is_int(chance("x"), USER_CHANCE_UNKNOWN, "and nothing known of others");

    user_cache_begin_resync(c, 300);
    resync("same", USER_VALID, 1, 3, 2);
    resync("late", USER_VALID, 4, 3, 5);
    user_cache_break_resync(c);
    is_int(state("new"), USER_VALID, "broken off: nobody is swept");
    is_int(user_cache_complete(c), 0, "and it is not complete");
    user_cache_begin_resync(c, 400);
    resync("same", USER_VALID, 1, 3, 2);
    is_int(end_resync(), 1, "the next one is");
    is_int(state("late"), USER_UNKNOWN, "who was in the broken one only: gone");
    is_int((long)user_cache_count(c, USER_VALID), 1, "with one user");
    user_cache_destroy(c);
}

/* Users without number, of every length of name, and a random half is gone. */
static void a_big_sweep(void)
{
    enum { NAMES = 20000 };
    char name[80];
    int kept = 0, wrong = 0, logged_in = 0;

    c = user_cache_create(NAMES);
    for (int round = 0; round < 2; round++) {
        user_cache_begin_resync(c, 100);
        srand(7);
        for (int i = 0; i < NAMES; i++) {
            int gone = round && rand() % 2;

            snprintf(name, sizeof(name), "u%0*d", 1 + i % 30, i);
            if (!gone) {
                resync(name, USER_VALID, 1 + i % 100, 1, 1);
                kept += round;
            } else {
                logged_in += i % 3 == 0;
            }
        }
        wrong += !end_resync();
        for (int i = 0; !round && i < NAMES; i += 3) {
            snprintf(name, sizeof(name), "u%0*d", 1 + i % 30, i);
            find("r", name, 5000);
        }
    }
    is_int((long)user_cache_count(c, USER_VALID), kept, "who is left");
    is_int(revoked_count, logged_in, "who was logged in is told of");
    srand(7);
    for (int i = 0; i < NAMES; i++) {
        int gone = rand() % 2;

        snprintf(name, sizeof(name), "u%0*d", 1 + i % 30, i);
        wrong += gone ? state(name) != USER_UNKNOWN
                      : peek(name).key[5] != 1 + i % 100;
    }
    is_int(wrong, 0, "everybody is found, or gone");
    user_cache_destroy(c);
}

static void more_than_fit(void)
{
    char name[32];
    int found = 0, good = 0, strangers = 0;

    c = user_cache_create(1000);
    answer("hot", USER_VALID, 1, 10, 1, 1);
    user_cache_begin_resync(c, 100);
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof(name), "user%d", i);
        resync(name, USER_VALID, 1, 1, 1);
    }
    resync("hot", USER_VALID, 1, 1, 1);
    is_int(end_resync(), 0, "not complete");
    is_int(state("hot"), USER_VALID, "who logged in before stays");
    ok(user_cache_count(c, USER_VALID) <= 1000, "no more than it may hold");
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof(name), "user%d", i);
        if (state(name) == USER_VALID) {
            found++;
        } else {
            good += chance(name) == USER_CHANCE_GOOD;
        }
        snprintf(name, sizeof(name), "stranger%d", i);
        strangers += chance(name) == USER_CHANCE_GOOD;
    }
    is_int(found + good, 5000, "all others are known by name");
    ok(strangers < 25, "and hardly any stranger (%d of 5000)", strangers);
    is_int(chance("stranger1"), USER_CHANCE_NONE, "a stranger does not exist");
    change("stranger1", USER_VALID, 1, 200, 1, 2);
    is_int(state("stranger1"), USER_VALID, "until it is fed");
    change("stranger1", USER_ABSENT, 0, 201, 1, 3);
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof(name), "user%d", i);
        answer(name, USER_VALID, 1, 1000 * i, 1, 1);
    }
    good = 0;
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof(name), "user%d", i);
        good += state(name) == USER_VALID || chance(name) == USER_CHANCE_GOOD;
    }
    is_int(good, 5000, "also when they took each other's place");
    user_cache_lose_track(c);
    is_int(chance("stranger2"), USER_CHANCE_UNKNOWN, "a gap: they may exist");
    is_int(chance("hot") == USER_CHANCE_GOOD || state("hot") == USER_VALID, 1,
           "who did is a good guess still");
    user_cache_begin_resync(c, 10000000);
    for (int i = 4990; i < 5000; i++) {
        snprintf(name, sizeof(name), "user%d", i);
        resync(name, USER_VALID, 1, 1, 1);
    }
    is_int(end_resync(), 1, "fewer users: complete");
    is_int(chance("user4989"), USER_CHANCE_NONE, "and the others are no more");
    user_cache_destroy(c);
}

static void grown_out_of(void)
{
    char name[32];
    int good = 0;

    c = user_cache_create(100);
    user_cache_begin_resync(c, 100);
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "user%d", i);
        resync(name, USER_VALID, 1, 1, 1);
    }
    is_int(end_resync(), 1, "just fits: complete");
    change("user7", USER_VALID, 2, 150, 1, 2);
    is_int(user_cache_complete(c), 1, "a change of one of them: as before");
    change("new", USER_VALID, 1, 200, 1, 2);
    is_int(user_cache_complete(c), 0, "one more: no longer");
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "user%d", i);
        good += state(name) == USER_VALID || chance(name) == USER_CHANCE_GOOD;
    }
    is_int(good, 100, "but everybody is known by name");
    is_int(chance("stranger"), USER_CHANCE_NONE, "and strangers are strangers");
    user_cache_destroy(c);
}

static void begins_later(void)
{
    struct user_record r = record(USER_ABSENT, 0, 100, 1, 1);
    char name[32];
    int good = 0;

    c = user_cache_create(100);
    r.valid_until_ms = 1800000000000;
    user_cache_begin_resync(c, 100);
    for (int i = 0; i < 200; i++) {
        struct user_name u = named("r", name);

        snprintf(name, sizeof(name), "user%d", i);
        u.name_len = strlen(name);
        user_cache_resync(c, &u, &r);
    }
    is_int(end_resync(), 0, "more users to come than fit: not complete");
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof(name), "user%d", i);
        good += state(name) == USER_ABSENT || chance(name) == USER_CHANCE_GOOD;
    }
    is_int(good, 200, "each is remembered, or known by name");
    user_cache_destroy(c);
}

static void removals_go_last(void)
{
    char name[32];
    int kept = 0;

    c = user_cache_create(1000);
    for (int i = 0; i < 60; i++) {
        snprintf(name, sizeof(name), "removed%d", i);
        change(name, USER_ABSENT, 0, 100, 1, 1);
    }
    for (int i = 0; i < 10000; i++) {
        snprintf(name, sizeof(name), "nobody%d", i);
        answer(name, USER_ABSENT, 0, 1000000, 0, 0);
    }
    for (int i = 0; i < 60; i++) {
        snprintf(name, sizeof(name), "removed%d", i);
        kept += state(name) == USER_ABSENT;
    }
    is_int(kept, 60, "a flood of strangers pushes out nobody who was removed");
    user_cache_destroy(c);
}

static void one_after_the_other(void)
{
    char name[32], buffer[USER_REALM_MAX + USER_NAME_MAX + 2];
    int users = 0, removed = 0, keys = 0;
    uint64_t cursor = 0;
    struct user_name u;
    struct user_record r;

    c = user_cache_create(10000);
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof(name), "user-of-some-length-%d", i);
        change(name, i % 3 ? USER_VALID : USER_ABSENT, 9, 100, 1, 1);
    }
    answer("nobody", USER_ABSENT, 0, 100, 0, 0);
    while (user_cache_next(c, &cursor, buffer, &u, &r)) {
        users += r.state == USER_VALID;
        removed += r.state == USER_ABSENT;
        keys += r.key[15] == 9 && strncmp(u.name, "user-of-", 8) == 0 &&
                strlen(u.name) == u.name_len && strcmp(u.realm, "r") == 0;
    }
    is_int(users, 2000, "a walk sees all users");
    is_int(removed, 1000, "and all removals, but not who never was");
    is_int(keys, 3000, "with names and records");
    is_int((long)cursor, 0, "and begins again");
    user_cache_destroy(c);
}

int main(void)
{
    basics();
    long_names();
    many_realms();
    random_walk();
    flood();
    hot_ones_stay();
    memory();
    versions();
    ends();
    guards();
    revocations();
    revocations_of_forgotten();
    a_resync();
    a_big_sweep();
    more_than_fit();
    grown_out_of();
    begins_later();
    removals_go_last();
    one_after_the_other();
    return done_testing();
}
