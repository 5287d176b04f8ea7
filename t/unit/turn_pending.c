/* sources: turn_auth_plugin/pending.c */

#include "monotonic.h"
#include "pending.h"
#include "tap.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static struct pending *q;
static atomic_int joined;

static struct user_name named(const char *name)
{
    return (struct user_name){"r", 1, name, strlen(name)};
}

/* What an auth worker does. Its result: the state of the answer. */
static void *worker(void *name)
{
    struct user_name u = named(name);
    struct user_record r = {.state = USER_UNKNOWN};
    int is_new;
    struct pending_look_up *l = pending_join(q, &u, &is_new);
    enum pending_source source;
    int answered;

    atomic_fetch_add(&joined, 1);
    answered = pending_wait(q, l, monotonic_ms() + 10000, &r, &source);
    return (void *)(long)(answered ? (int)r.state : -1);
}

/* What the database is asked where there is no Redis. */
static struct pending_look_up *take_one(void)
{
    struct pending_look_up *l = pending_take(q, PENDING_NEW);

    if (l) {
        pending_put_back(q, l, PENDING_FOR_DATABASE);
    }
    return pending_take(q, PENDING_FOR_DATABASE);
}

static struct pending_look_up *take(void)
{
    struct pending_look_up *l;

    while (!(l = take_one())) {
    }
    return l;
}

static long join(pthread_t t)
{
    void *result;

    pthread_join(t, &result);
    return (long)result;
}

static void one_query(void)
{
    struct user_record valid = {.state = USER_VALID};
    struct pending_look_up *l;
    pthread_t t[8];
    long sum = 0;

    for (int i = 0; i < 8; i++) {
        pthread_create(&t[i], NULL, worker, "guest");
    }
    l = take();
    is_mem(pending_name(l).name, pending_name(l).name_len, "guest", "its name");
    while (atomic_load(&joined) < 8) {
        usleep(1000);
    }
    ok(!take_one(), "one name, one query");
    pending_finish(q, l, &valid, PENDING_DATABASE);
    for (int i = 0; i < 8; i++) {
        sum += join(t[i]);
    }
    is_int(sum, 8 * USER_VALID, "eight workers, all get the answer");
}

static int wait_a_little(struct pending_look_up *l, struct user_record *r)
{
    enum pending_source source;

    return pending_wait(q, l, monotonic_ms() + 20, r, &source);
}

static void too_late(void)
{
    struct user_name u = named("slow");
    struct user_record r = {.state = USER_UNKNOWN};
    struct user_record valid = {.state = USER_VALID};
    struct pending_look_up *l;
    int is_new;

    l = pending_join(q, &u, &is_new);
    is_int(is_new, 1, "a new name");
    is_int(take_one() == l, 1, "is taken");
    is_int(wait_a_little(l, &r), 0, "too late");
    l = pending_join(q, &u, &is_new);
    is_int(is_new, 0, "it is still under way");
    pending_finish(q, l, &valid, PENDING_DATABASE);
    is_int(wait_a_little(l, &r), 1, "and then answered");
}

static void lost_and_given_up(void)
{
    struct user_name u = named("lost");
    pthread_t t;

    pthread_create(&t, NULL, worker, "lost");
    take();
    pending_send_again(q);
    ok(take_one() != NULL, "what was lost is sent again");
    pending_give_up(q, 0);
    is_int(join(t), -1, "given up: no answer, though it was sent");
    is_int(pending_ask_later(q, &u), 0, "it is still under way");
    pending_send_again(q);
    pending_give_up(q, 0);
    is_int(pending_ask_later(q, &u), 1, "in the background");
    is_int(pending_ask_later(q, &u), 0, "once");
    pending_give_up(q, 0);
    ok(!take_one(), "given up, too");
}

static void heard_again(void)
{
    struct user_name u = named("heard");
    struct user_record valid = {.state = USER_VALID};
    struct pending_look_up *l;
    pthread_t t;
    int before = atomic_load(&joined);

    pending_ask_later(q, &u);
    l = take();
    pending_give_up(q, 0);
    pending_go_on(q);
    pthread_create(&t, NULL, worker, "heard");
    while (atomic_load(&joined) == before) {
        usleep(1000);
    }
    usleep(10000);
    pending_finish(q, l, &valid, PENDING_DATABASE);
    is_int(join(t), USER_VALID, "given up, heard again: worth waiting for");
}

static void bounded(void)
{
    char name[32];
    int asked = 0;

    for (int i = 0; i < 1000; i++) {
        struct user_name u = {"r", 1, name, 0};

        u.name_len = (size_t)snprintf(name, sizeof(name), "u%d", i);
        asked += pending_ask_later(q, &u);
    }
    is_int(asked, 256, "the background is bounded");
    pending_give_up(q, 0);
}

static void instead(void)
{
    struct user_name u = named("both");
    struct user_record r = {.state = USER_UNKNOWN}, none = r;
    struct user_record old = {.state = USER_VALID, .read_ms = 1};
    struct user_record now = {.state = USER_ABSENT, .read_ms = 2};
    enum pending_source source = PENDING_DATABASE;
    struct pending_look_up *l;
    int is_new;

    l = pending_join(q, &u, &is_new);
    ok(pending_take(q, PENDING_NEW) == l, "Redis is asked first");
    ok(!pending_take(q, PENDING_FOR_DATABASE), "... and it alone");
    pending_send_again(q);
    ok(!take_one(), "what the database lost does not matter to it");
    pending_give_up(q, 0);
    pending_set_instead(q, l, &old);
    pending_put_back(q, l, PENDING_FOR_DATABASE);
    ok(pending_take(q, PENDING_FOR_DATABASE) == l, "then the database");
    is_int(pending_wait(q, l, monotonic_ms() + 20, &r, &source), 1,
           "it does not answer: what Redis said counts");
    ok(r.read_ms == 1 && source == PENDING_REDIS, "... and is told from it");
    pending_join(q, &u, &is_new);
    pending_finish(q, l, &none, PENDING_DATABASE);
    is_int(wait_a_little(l, &r), 1, "it answers with an error: the same");
    l = pending_join(q, &u, &is_new);
    pending_set_instead(q, l, &old);
    pending_finish(q, l, &now, PENDING_DATABASE);
    is_int(wait_a_little(l, &r), 1, "it answers");
    is_int(r.state, USER_ABSENT, "... which is what counts");
}

static void kept_for_redis(void)
{
    struct user_name u = named("new");
    struct user_record none = {.state = USER_UNKNOWN};
    struct pending_look_up *l;

    pending_ask_later(q, &u);
    pending_give_up(q, 1);
    l = pending_take(q, PENDING_NEW);
    ok(l != NULL, "the database is given up, Redis is not: a new one stays");
    pending_finish(q, l, &none, PENDING_REDIS);
}

int main(void)
{
    q = pending_create();
    one_query();
    too_late();
    lost_and_given_up();
    heard_again();
    bounded();
    instead();
    kept_for_redis();
    free(q);
    return done_testing();
}
