/* sources: turn_auth_plugin/expiry_queue.c turn_auth_plugin/name_hash.c */

#include "expiry_queue.h"
#include "tap.h"

#include <stdlib.h>

static struct user_name named(const char *realm, const char *name)
{
    return (struct user_name){realm, strlen(realm), name, strlen(name)};
}

static void order(void)
{
    struct expiry_queue *q = expiry_queue_create(100);
    struct user_name a = named("r", "a"), b = named("other", "");
    struct expiry e;

    is_int(expiry_queue_next_ms(q) == INT64_MAX, 1, "nothing to wait for");
    is_int(expiry_queue_take(q, INT64_MAX, &e), 0, "nothing to take");
    is_int(expiry_queue_add(q, 200, EXPIRY_ENDS, &a), 1, "one at 200 ms");
    is_int(expiry_queue_add(q, 100, EXPIRY_BEGINS, &b), 1, "one at 100 ms");
    is_int(expiry_queue_next_ms(q), 100, "the earlier comes first");
    is_int(expiry_queue_take(q, 99, &e), 0, "not before its time");
    is_int(expiry_queue_take(q, 100, &e), 1, "but from then on");
    ok(e.when_ms == 100 && e.kind == EXPIRY_BEGINS, "with time and kind");
    ok(strcmp(e.name.realm, "other") == 0 && e.name.realm_len == 5 &&
           e.name.name_len == 0 && e.name.name[0] == '\0',
       "and whose it is");
    is_int(expiry_queue_next_ms(q), 200, "then the later");
    is_int(expiry_queue_take(q, 1000, &e), 1, "late");
    ok(strcmp(e.name.name, "a") == 0, "as well");
    is_int((long)expiry_queue_count(q), 0, "and it is empty");
    expiry_queue_destroy(q);
}

static void bounds(void)
{
    struct expiry_queue *q = expiry_queue_create(3);
    char text[USER_NAME_MAX + 2];
    struct user_name u = named("r", "u");
    struct expiry e;

    for (int i = 0; i < 3; i++) {
        snprintf(text, sizeof(text), "%d", i);
        u = named("r", text);
        expiry_queue_add(q, 10 + i, EXPIRY_ENDS, &u);
    }
    u = named("r", "u");
    is_int(expiry_queue_add(q, 12, EXPIRY_ENDS, &u), 0,
           "no more than its limit");
    is_int(expiry_queue_add(q, 9, EXPIRY_ENDS, &u), 1,
           "but a later one gives way to an earlier");
    is_int((long)expiry_queue_count(q), 3, "as many as before");
    expiry_queue_take(q, 9, &e);
    ok(strcmp(e.name.name, "u") == 0, "which comes");
    expiry_queue_take(q, 20, &e);
    expiry_queue_take(q, 20, &e);
    is_int(e.when_ms, 11, "and the latest does not");
    memset(text, 'x', sizeof(text));
    u.name = text;
    u.name_len = USER_NAME_MAX + 1;
    is_int(expiry_queue_add(q, 0, EXPIRY_ENDS, &u), 0, "too long a name");
    u.name_len = USER_NAME_MAX;
    u.realm = text;
    u.realm_len = USER_REALM_MAX + 1;
    is_int(expiry_queue_add(q, 0, EXPIRY_ENDS, &u), 0, "too long a realm");
    u.realm_len = USER_REALM_MAX;
    is_int(expiry_queue_add(q, 0, EXPIRY_ENDS, &u), 1, "the longest");
    is_int(expiry_queue_take(q, 0, &e), 1, "come");
    ok(e.name.name_len == USER_NAME_MAX &&
           strlen(e.name.name) == USER_NAME_MAX &&
           strlen(e.name.realm) == USER_REALM_MAX,
       "back whole");
    expiry_queue_destroy(q);
}

static void again(void)
{
    struct expiry_queue *q = expiry_queue_create(3);
    struct user_name u = named("r", "u"), other = named("r", "other");
    struct expiry e;

    for (int i = 0; i < 100; i++) {
        is_int(expiry_queue_add(q, 1000 + i, EXPIRY_ENDS, &u), 1, "moved");
    }
    expiry_queue_add(q, 1050, EXPIRY_ENDS, &other);
    is_int((long)expiry_queue_count(q), 2, "each user is there once");
    expiry_queue_take(q, 2000, &e);
    is_int(e.when_ms, 1050, "somebody else's comes");
    expiry_queue_take(q, 2000, &e);
    is_int(e.when_ms, 1099, "before one that was moved behind it");
    expiry_queue_add(q, 500, EXPIRY_ENDS, &u);
    expiry_queue_add(q, 400, EXPIRY_ENDS, &u);
    expiry_queue_add(q, 300, EXPIRY_BEGINS, &u);
    expiry_queue_take(q, 2000, &e);
    is_int(e.kind, EXPIRY_BEGINS, "an end is no beginning");
    expiry_queue_take(q, 2000, &e);
    is_int(e.when_ms, 400, "and moved forth");
    is_int((long)expiry_queue_count(q), 0, "that was all");
    expiry_queue_destroy(q);
}

static void many(void)
{
    enum { MANY = 20000 };
    struct expiry_queue *q = expiry_queue_create(MANY);
    int64_t last_ms = 0;
    int taken = 0, wrong = 0;
    char name[32];
    struct expiry e;

    srand(3);
    for (int i = 0; i < MANY; i++) {
        struct user_name u = named("r", name);

        snprintf(name, sizeof(name), "user%d", i);
        u.name_len = strlen(name);
        expiry_queue_add(q, rand() % 1000, EXPIRY_ENDS, &u);
    }
    ok(expiry_queue_bytes(q) < (size_t)100 * MANY, "under 100 bytes each");
    while (expiry_queue_take(q, 2000, &e)) {
        wrong += e.when_ms < last_ms;
        last_ms = e.when_ms;
        taken++;
    }
    is_int(taken, MANY, "all come");
    is_int(wrong, 0, "in the order of their times");
    expiry_queue_destroy(q);
}

int main(void)
{
    order();
    bounds();
    again();
    many();
    return done_testing();
}
