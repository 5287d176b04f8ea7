/* sources: turn_auth_plugin/redis_use.c turn_auth_plugin/user_cache.c */
/* sources: turn_auth_plugin/user_cache_others.c */
/* sources: turn_auth_plugin/user_cache_room.c */
/* sources: turn_auth_plugin/user_cache_resync.c */
/* sources: turn_auth_plugin/user_table.c turn_auth_plugin/realm_numbers.c */
/* sources: turn_auth_plugin/census.c turn_auth_plugin/expiry_queue.c */
/* sources: turn_auth_plugin/name_hash.c turn_auth_plugin/secret_memory.c */

#include "redis_use.h"
#include "tap.h"

#define NOW 1000000

static const struct user_record unknown;

static struct user_record valid(int64_t read_ms, uint32_t epoch,
                                uint64_t number)
{
    return (struct user_record){
        .state = USER_VALID, .read_ms = read_ms, .version = {epoch, number}};
}

static void while_live(void)
{
    struct redis_use_view v = {
        .now_ms = NOW, .fresh_ttl_ms = 60000, .live_since_ms = NOW - 30000};
    struct user_record r = valid(NOW - 20000, 1, 5);

    is_int(redis_use_of(&v, &r, &unknown), REDIS_USE_AT_ONCE,
           "known since the feed is live, and not changed since: used");
    v.changed_ms = NOW - 20000;
    is_int(redis_use_of(&v, &r, &unknown), REDIS_USE_INSTEAD,
           "changed at about that time: the database is asked");
    v.changed_ms = NOW - 10000;
    is_int(redis_use_of(&v, &r, &unknown), REDIS_USE_INSTEAD,
           "changed since: the database is asked");
    v.changed_ms = 0;
    r = valid(NOW - 40000, 1, 5);
    is_int(redis_use_of(&v, &r, &unknown), REDIS_USE_INSTEAD,
           "known before the feed was live: the database is asked");
    v.live_since_ms = INT64_MAX;
    r = valid(NOW - 1, 1, 5);
    is_int(redis_use_of(&v, &r, &unknown), REDIS_USE_INSTEAD,
           "the feed is broken: the database is asked");
    r = unknown;
    is_int(redis_use_of(&v, &r, &unknown), REDIS_USE_IGNORE,
           "Redis knows nothing");
}

static void without_feed(void)
{
    struct redis_use_view v = {.now_ms = NOW,
                               .fresh_ttl_ms = 60000,
                               .no_feed = 1,
                               .live_since_ms = INT64_MAX};
    struct user_record r = valid(NOW - 59999, 0, 0);

    is_int(redis_use_of(&v, &r, &unknown), REDIS_USE_AT_ONCE,
           "no feed: used while it is fresh");
    r = valid(NOW - 60000, 0, 0);
    is_int(redis_use_of(&v, &r, &unknown), REDIS_USE_INSTEAD,
           "... and then the database is asked");
}

static void what_memory_knows(void)
{
    struct redis_use_view v = {
        .now_ms = NOW, .fresh_ttl_ms = 60000, .live_since_ms = INT64_MAX};
    struct user_record r = valid(NOW - 10, 2, 5), known;

    known = valid(NOW - 90000, 2, 6);
    is_int(redis_use_of(&v, &r, &known), REDIS_USE_IGNORE,
           "memory knows a later version");
    known = valid(NOW - 90000, 3, 1);
    is_int(redis_use_of(&v, &r, &known), REDIS_USE_IGNORE,
           "... of a later epoch");
    known = valid(NOW - 10, 2, 5);
    is_int(redis_use_of(&v, &r, &known), REDIS_USE_IGNORE,
           "... the same, known as long");
    known = valid(NOW - 90000, 2, 5);
    is_int(redis_use_of(&v, &r, &known), REDIS_USE_INSTEAD,
           "the same, confirmed later");
    known = valid(NOW - 1, 2, 4);
    is_int(redis_use_of(&v, &r, &known), REDIS_USE_INSTEAD,
           "memory knows an earlier one");
}

int main(void)
{
    while_live();
    without_feed();
    what_memory_knows();
    return done_testing();
}
