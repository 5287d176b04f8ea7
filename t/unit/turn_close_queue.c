/* sources: turn_auth_plugin/close_queue.c turn_auth_plugin/name_hash.c */

#include "close_queue.h"
#include "tap.h"

static struct close_queue *q;

static struct user_name user(const char *name)
{
    return (struct user_name){"r", 1, name, strlen(name)};
}

static int put(const char *name, int64_t now_ms)
{
    struct user_name u = user(name);

    return close_queue_put(q, &u, now_ms);
}

static struct close_entry *taken(int64_t now_ms, const char *want)
{
    struct close_entry *e = close_queue_take(q, now_ms);

    ok(e && e->user.name_len == strlen(want) &&
           memcmp(e->user.name, want, e->user.name_len) == 0,
       "at %ld it is the turn of %s", (long)now_ms, want);
    return e;
}

static void nobody(int64_t now_ms)
{
    ok(!close_queue_take(q, now_ms), "at %ld it is nobody's", (long)now_ms);
}

static void two_looks(void)
{
    struct close_entry *e;

    q = close_queue_create(10);
    nobody(0);
    ok(close_queue_next_ms(q) == INT64_MAX, "nothing is due");
    put("ann", 1000);
    put("bob", 1001);
    is_int(close_queue_next_ms(q), 1000, "the first look is due at once");
    e = taken(1001, "ann");
    close_queue_done(q, e, 1201);
    e = taken(1001, "bob");
    close_queue_done(q, e, 1202);
    nobody(1200);
    is_int(close_queue_next_ms(q), 1201, "a second one later");
    e = taken(1201, "ann");
    put("cid", 1201);
    close_queue_done(q, e, 1401);
    e = taken(1300, "cid");
    close_queue_done(q, e, 1500);
    e = taken(1300, "bob");
    close_queue_done(q, e, 1500);
    is_int((long)close_queue_count(q), 1, "who had two looks is forgotten");
    close_queue_destroy(q);
}

static void each_once(void)
{
    struct close_entry *e;
    struct user_name other = {"s", 1, "ann", 3};

    q = close_queue_create(10);
    put("ann", 1000);
    put("ann", 1005);
    is_int((long)close_queue_count(q), 1, "a name waits once");
    close_queue_put(q, &other, 1005);
    is_int((long)close_queue_count(q), 2, "in each realm");
    e = taken(1005, "ann");
    put("ann", 1010);
    close_queue_done(q, e, 1205);
    e = taken(1010, "ann");
    ok(e && e->user.realm[0] == 's', "the other's turn first");
    close_queue_done(q, e, 1210);
    e = taken(1010, "ann");
    ok(e && !e->second, "put in while looked at: a first look again");
    close_queue_done(q, e, 1210);
    put("ann", 1100);
    e = taken(1210, "ann");
    close_queue_done(q, e, 1410);
    e = taken(1210, "ann");
    ok(e && e->second, "put in before the second look");
    close_queue_done(q, e, 1410);
    e = taken(1210, "ann");
    ok(e && !e->second, "... a first look follows that");
    close_queue_destroy(q);
}

static void bounds(void)
{
    struct close_entry *e;

    q = close_queue_create(2);
    put("ann", 1000);
    put("bob", 2000);
    is_int(put("cid", 2000), -1, "it is full");
    is_int(put("ann", 2000), 0, "who waits may come again");
    e = taken(2000, "ann");
    close_queue_give_back(q, e);
    e = taken(2000, "ann");
    close_queue_give_back(q, e);
    is_int((long)close_queue_expire(q, 2000), 0, "nobody is too old");
    is_int((long)close_queue_expire(q, 2001), 2, "all are");
    nobody(3000);
    is_int(put("cid", 3000), 0, "there is room again");
    close_queue_destroy(q);
}

int main(void)
{
    two_looks();
    each_once();
    bounds();
    return done_testing();
}
