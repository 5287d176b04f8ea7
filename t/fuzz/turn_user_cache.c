/* sources: turn_auth_plugin/user_cache.c */
/* sources: turn_auth_plugin/user_cache_others.c */
/* sources: turn_auth_plugin/user_cache_room.c */
/* sources: turn_auth_plugin/user_cache_resync.c */
/* sources: turn_auth_plugin/user_table.c turn_auth_plugin/realm_numbers.c */
/* sources: turn_auth_plugin/census.c turn_auth_plugin/expiry_queue.c */
/* sources: turn_auth_plugin/name_hash.c turn_auth_plugin/secret_memory.c */

/*
 * Any sequence of look-ups, answers, changes and resyncs in a cache that is too
 * small for all, beside a database of 256 names: a key that is found is the
 * one of the last change that was fed, and nobody who exists is said not to.
 */

#include "user_cache.h"

#include <stdlib.h>
#include <string.h>

struct model {
    struct user_cache *cache;
    uint8_t keys[256]; /* of the database; 0: no such user */
    uint64_t versions[256];
    uint64_t version;
    int64_t now_ms;
    int tracked; /* since a resync */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int good)
{
    if (!good) {
        abort();
    }
}

/* Names come from one byte, some too long for a slot. */
static struct user_name name_of(uint8_t byte, char *buffer)
{
    size_t len = byte % 7 == 0 ? 30 + byte : 1 + byte % 24;

    memset(buffer, 'a' + byte % 26, len);
    memcpy(buffer, &byte, 1);
    return (struct user_name){byte % 3 ? "r" : "other", byte % 3 ? 1 : 5,
                              buffer, len};
}

static struct user_record record_of(const struct model *m, uint8_t who)
{
    struct user_record r = {
        .state = m->keys[who] ? USER_VALID : USER_ABSENT,
        .read_ms = m->now_ms,
        .valid_until_ms = m->keys[who] % 5 == 1 ? m->keys[who] : USER_FOREVER,
        .version = {1, m->versions[who]},
    };

    memset(r.key, m->keys[who], sizeof(r.key));
    return r;
}

static void look_up(struct model *m, uint8_t who, int is_use)
{
    char buffer[300];
    struct user_name u = name_of(who, buffer);
    struct user_record r;
    enum user_chance chance =
        is_use ? user_cache_find(m->cache, &u, m->now_ms, &r)
               : user_cache_peek(m->cache, &u, &r);

    check(r.state != USER_VALID || (m->keys[who] && r.key[0] == m->keys[who]));
    check(r.state != USER_ABSENT || !m->keys[who]);
    if (r.state == USER_UNKNOWN && m->keys[who]) {
        check(chance != USER_CHANCE_NONE);
    }
    if (!m->tracked) {
        check(!user_cache_complete(m->cache));
    }
}

static void answer(struct model *m, uint8_t who)
{
    char buffer[300];
    struct user_name u = name_of(who, buffer);
    struct user_record r = record_of(m, who);

    user_cache_store(m->cache, &u, user_cache_guard(m->cache, &u), m->now_ms,
                     &r);
    user_cache_peek(m->cache, &u, &r);
    check(!m->keys[who] || r.state == USER_VALID);
}

static void change(struct model *m, uint8_t who, uint8_t key)
{
    char buffer[300];
    struct user_name u = name_of(who, buffer);
    uint64_t guard = user_cache_guard(m->cache, &u);
    struct user_record before = record_of(m, who), r;

    m->keys[who] = key;
    m->versions[who] = ++m->version;
    r = record_of(m, who);
    user_cache_change(m->cache, &u, m->now_ms, &r);
    check(user_cache_store(m->cache, &u, guard, m->now_ms, &before) ==
          USER_GUARDED);
}

static void revoked(void *owner, const struct user_name *u)
{
    struct model *m = owner;

    check(m->keys[(uint8_t)u->name[0]] == 0 && u->name[u->name_len] == '\0');
}

/* Changes nobody was told of, and then all is read again. */
static void resync(struct model *m, uint8_t who, uint8_t key)
{
    char buffer[300];

    user_cache_lose_track(m->cache);
    m->keys[who] = key;
    m->versions[who] = ++m->version;
    user_cache_begin_resync(m->cache, m->now_ms);
    for (int i = 0; i < 256; i++) {
        struct user_name u = name_of((uint8_t)i, buffer);
        struct user_record r = record_of(m, (uint8_t)i);

        if (m->keys[i]) {
            user_cache_resync(m->cache, &u, &r);
        }
        if (i == who && key % 8 == 0) {
            answer(m, who);
        }
    }
    user_cache_end_resync(m->cache, revoked, m);
    m->tracked = 1;
}

static void walk(struct model *m)
{
    char buffer[USER_REALM_MAX + USER_NAME_MAX + 2];
    uint64_t cursor = 0;
    struct user_name u;
    struct user_record r;
    size_t users = 0;

    while (user_cache_next(m->cache, &cursor, buffer, &u, &r)) {
        users += r.state == USER_VALID;
        check(m->keys[(uint8_t)u.name[0]] == r.key[0]);
    }
    check(users == user_cache_count(m->cache, USER_VALID));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct model m = {.cache = user_cache_create(20), .now_ms = 1000000};

    for (size_t i = 0; i + 3 <= size; i += 3) {
        m.now_ms += 500;
        switch (data[i] % 16) {
        case 0:
            resync(&m, data[i + 1], data[i + 2]);
            break;
        case 1:
            walk(&m);
            break;
        case 2:
        case 3:
        case 4:
        case 5:
            change(&m, data[i + 1], data[i + 2]);
            break;
        case 6:
        case 7:
        case 8:
        case 9:
            answer(&m, data[i + 1]);
            break;
        default:
            look_up(&m, data[i + 1], data[i] & 1);
        }
    }
    user_cache_destroy(m.cache);
    return 0;
}
