/* sources: turn_auth_plugin/user_cache.c */
/* sources: turn_auth_plugin/user_cache_others.c */
/* sources: turn_auth_plugin/user_cache_room.c */
/* sources: turn_auth_plugin/user_cache_resync.c */
/* sources: turn_auth_plugin/user_table.c turn_auth_plugin/realm_numbers.c */
/* sources: turn_auth_plugin/census.c turn_auth_plugin/expiry_queue.c */
/* sources: turn_auth_plugin/name_hash.c turn_auth_plugin/secret_memory.c */

/*
 * Auth workers look users up while the store thread feeds changes, reads all
 * users again and again, and lets some give way. Run under the thread
 * sanitizer as well (t/unit-threads.t).
 */

#include "user_cache.h"
#include "tap.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { READERS = 3, STABLE = 500, FLEETING = 500, ROUNDS = 12 };

static struct user_cache *c;
static atomic_int stop;
static atomic_int wrong_keys, lost, finds;

static struct user_name numbered(const char *what, int i, char *buffer)
{
    int len = snprintf(buffer, 64, "%s%d%s", what, i,
                       i % 4 ? "" : "-with-a-name-that-is-far");

    return (struct user_name){i % 2 ? "r" : "other", i % 2 ? 1 : 5, buffer,
                              (size_t)len};
}

/* All bytes of a key are the same; a stable user's are always 1 + i % 100. */
static struct user_record record(int key, uint64_t number)
{
    struct user_record r = {
        .state = key ? USER_VALID : USER_ABSENT,
        .read_ms = 1,
        .valid_until_ms = key % 3 ? USER_FOREVER : 1000 + key,
        .version = {1, number},
    };

    memset(r.key, key, sizeof(r.key));
    return r;
}

static void look(int i, int is_stable)
{
    struct user_record r;
    char buffer[64];
    struct user_name u = numbered(is_stable ? "stable" : "fleeting", i, buffer);
    enum user_chance chance = user_cache_find(c, &u, 5000, &r);

    atomic_fetch_add(&finds, 1);
    if (r.state == USER_VALID) {
        int key = is_stable ? 1 + i % 100 : r.key[0];

        wrong_keys += r.key[0] != key || r.key[15] != key;
    } else if (is_stable) {
        lost += r.state == USER_ABSENT || chance == USER_CHANCE_NONE;
    }
}

static void *read_on(void *arg)
{
    unsigned seed = (unsigned)(size_t)arg;

    while (!atomic_load(&stop)) {
        int i = rand_r(&seed);

        look(i % STABLE, i / 1000 % 3 != 0);
    }
    return NULL;
}

static void feed(int i, int key, uint64_t number)
{
    char buffer[64];
    struct user_name u = numbered("fleeting", i, buffer);
    struct user_record r = record(key, number);

    user_cache_change(c, &u, 5000, &r);
    if (key) {
        user_cache_store(c, &u, user_cache_guard(c, &u), 5000, &r);
    }
}

static void revoked(void *owner, const struct user_name *u)
{
    (void)owner;
    (void)u;
}

static int read_all(uint64_t number)
{
    char buffer[64];

    user_cache_begin_resync(c, 2);
    for (int i = 0; i < STABLE + FLEETING / 2; i++) {
        int is_stable = i < STABLE, key = 1 + i % 100;
        struct user_name u = numbered(is_stable ? "stable" : "fleeting",
                                      is_stable ? i : i - STABLE, buffer);
        struct user_record r = record(key, number);

        user_cache_resync(c, &u, &r);
    }
    return user_cache_end_resync(c, revoked, NULL);
}

static void write_on(void)
{
    uint64_t number = 1;
    unsigned seed = 9;
    struct expiry e;

    for (int round = 0; round < ROUNDS; round++) {
        read_all(number++);
        for (int i = 0; i < 2000; i++) {
            feed(rand_r(&seed) % FLEETING, rand_r(&seed) % 101, number++);
        }
        while (expiry_queue_take(user_cache_expiries(c), 5000, &e)) {
        }
        user_cache_bytes(c);
    }
}

static void together(size_t capacity, const char *what)
{
    pthread_t readers[READERS];

    atomic_store(&stop, 0);
    wrong_keys = lost = finds = 0;
    c = user_cache_create(capacity);
    for (size_t i = 0; i < READERS; i++) {
        pthread_create(&readers[i], NULL, read_on, (void *)(i + 1));
    }
    write_on();
    atomic_store(&stop, 1);
    for (size_t i = 0; i < READERS; i++) {
        pthread_join(readers[i], NULL);
    }
    is_int(wrong_keys, 0, "no key is another's or half written");
    is_int(lost, 0, "nobody who exists is said not to");
    ok(finds > 100, "in %d look-ups, %s", finds, what);
    user_cache_destroy(c);
}

/* ---- one who always exists, held or not, complete or not ---- */

static const struct user_name here = {"r", 1, "here", 4};
static const struct user_name other = {"r", 1, "other", 5};

static void *look_on(void *arg)
{
    struct user_record r;

    (void)arg;
    while (!atomic_load(&stop)) {
        enum user_chance chance = user_cache_find(c, &here, 5000, &r);

        lost += r.state == USER_UNKNOWN && chance == USER_CHANCE_NONE;
        atomic_fetch_add(&finds, 1);
    }
    return NULL;
}

/* Reads all; another logs in, for whom the one gives way; and is removed. */
static void come_and_go(uint64_t number)
{
    struct user_record valid = record(1, number), gone = record(0, number + 1);

    user_cache_begin_resync(c, 2);
    user_cache_resync(c, &here, &valid);
    user_cache_end_resync(c, revoked, NULL);
    user_cache_store(c, &other, user_cache_guard(c, &other), 9000, &valid);
    user_cache_change(c, &other, 9000, &gone);
}

static void completeness_comes_and_goes(void)
{
    enum { TIMES = 30000 };
    pthread_t readers[READERS];

    atomic_store(&stop, 0);
    lost = finds = 0;
    c = user_cache_create(1);
    come_and_go(1);
    for (size_t i = 0; i < READERS; i++) {
        pthread_create(&readers[i], NULL, look_on, NULL);
    }
    for (uint64_t i = 1; i < TIMES; i++) {
        come_and_go(2 * i);
    }
    atomic_store(&stop, 1);
    for (size_t i = 0; i < READERS; i++) {
        pthread_join(readers[i], NULL);
    }
    is_int(lost, 0, "who gave way is never said not to exist");
    ok(finds > TIMES, "in %d look-ups", finds);
    user_cache_destroy(c);
}

int main(void)
{
    together(2000, "all fit");
    together(600, "some give way");
    completeness_comes_and_goes();
    return done_testing();
}
