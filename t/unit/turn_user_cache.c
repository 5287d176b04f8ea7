/* sources: turn_auth_plugin/user_cache.c turn_auth_plugin/user_table.c turn_auth_plugin/realm_numbers.c turn_auth_plugin/census.c turn_auth_plugin/expiry_queue.c turn_auth_plugin/name_hash.c turn_auth_plugin/secret_memory.c */

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
    struct user_record r = {.state = state,
                            .read_ms = read_ms,
                            .valid_until_ms = USER_FOREVER};

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

int main(void)
{
    basics();
    long_names();
    many_realms();
    random_walk();
    flood();
    hot_ones_stay();
    memory();
    return done_testing();
}
