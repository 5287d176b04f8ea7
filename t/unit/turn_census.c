/* sources: turn_auth_plugin/census.c turn_auth_plugin/name_hash.c */

#include "census.h"
#include "name_hash.h"
#include "tap.h"

static uint64_t hash(uint64_t seed, int i)
{
    static const struct name_hash_key key = {{1, 2}};

    return name_hash(&key, seed, &i, sizeof(i));
}

/* expected at first, and how many came. */
static void size(size_t expected, int names)
{
    struct census *c = census_create(expected);
    int missing = 0, strangers = 0;

    for (int i = 0; i < names; i++) {
        census_add(c, hash(0, i));
    }
    for (int i = 0; i < names; i++) {
        missing += !census_has(c, hash(0, i));
    }
    for (int i = 0; i < 100000; i++) {
        strangers += census_has(c, hash(1, i));
    }
    is_int(missing, 0, "all of them are counted");
    ok(strangers < 300, "%d names, %zu expected: %d of 100000 strangers", names,
       expected, strangers);
    ok(census_bytes(c) <= (size_t)names * 7 + 10000, "%.1f bytes each",
       (double)census_bytes(c) / names);
    for (int i = 0; i < names; i++) {
        census_add(c, hash(0, i));
    }
    ok(census_count(c) <= (size_t)names, "once, however often they come");
    census_destroy(c);
}

int main(void)
{
    struct census *c = census_create(0);

    is_int(census_has(c, hash(0, 1)), 0, "nobody is there at first");
    census_destroy(c);
    census_destroy(NULL);
    size(0, 10);
    size(1000, 1000);
    size(0, 100000);
    size(200000, 500000);
    return done_testing();
}
