/* sources: turn_auth_plugin/user_cache.c turn_auth_plugin/user_table.c turn_auth_plugin/realm_numbers.c turn_auth_plugin/census.c turn_auth_plugin/expiry_queue.c turn_auth_plugin/name_hash.c turn_auth_plugin/secret_memory.c */

/*
 * Any sequence of stores and look-ups in a small cache: a key that is found is
 * the one that was stored last for this name.
 */

#include "user_cache.h"

#include <stdlib.h>
#include <string.h>

/* Names come from one byte, some too long for a slot. */
static struct user_name name_of(uint8_t byte, char *buffer)
{
    size_t len = byte % 7 == 0 ? 30 + byte : 1 + byte % 24;

    memset(buffer, 'a' + byte % 26, len);
    memcpy(buffer, &byte, 1);
    return (struct user_name){byte % 3 ? "r" : "other", byte % 3 ? 1 : 5,
                              buffer, len};
}

static void step(struct user_cache *c, uint8_t *last, uint8_t who, uint8_t what,
                 int64_t now_ms)
{
    char buffer[300];
    struct user_name u = name_of(who, buffer);
    struct user_record r;

    user_cache_find(c, &u, now_ms, &r);
    if (r.state == USER_VALID && (r.key[0] != last[who] || !last[who])) {
        abort();
    }
    memset(&r, 0, sizeof(r));
    r.state = what ? USER_VALID : USER_ABSENT;
    r.read_ms = now_ms;
    memset(r.key, what, sizeof(r.key));
    user_cache_store(c, &u, user_cache_guard(c, &u), now_ms, &r);
    last[who] = what;
    user_cache_find(c, &u, now_ms, &r);
    if (r.state != (what ? USER_VALID : USER_ABSENT)) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct user_cache *c = user_cache_create(20);
    uint8_t last[256] = {0};

    for (size_t i = 0; i + 2 <= size; i += 2) {
        step(c, last, data[i], data[i + 1], (int64_t)(i * 1000));
    }
    user_cache_destroy(c);
    return 0;
}
