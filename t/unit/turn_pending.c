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
    int answered;

    atomic_fetch_add(&joined, 1);
    answered = pending_wait(q, l, monotonic_ms() + 10000, &r);
    return (void *)(long)(answered ? (int)r.state : -1);
}

static struct pending_look_up *take(void)
{
    struct pending_look_up *l;

    while (!(l = pending_take(q))) {
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
    ok(!pending_take(q), "one name, one query");
    pending_finish(q, l, &valid);
    for (int i = 0; i < 8; i++) {
        sum += join(t[i]);
    }
    is_int(sum, 8 * USER_VALID, "eight workers, all get the answer");
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
    is_int(pending_take(q) == l, 1, "is taken");
    is_int(pending_wait(q, l, monotonic_ms() + 20, &r), 0, "too late");
    l = pending_join(q, &u, &is_new);
    is_int(is_new, 0, "it is still under way");
    pending_finish(q, l, &valid);
    is_int(pending_wait(q, l, monotonic_ms() + 20, &r), 1, "and then answered");
}

static void lost_and_given_up(void)
{
    struct user_name u = named("lost");
    pthread_t t;

    pthread_create(&t, NULL, worker, "lost");
    take();
    pending_send_again(q);
    ok(pending_take(q) != NULL, "what was lost is sent again");
    pending_give_up(q);
    is_int(join(t), -1, "given up: no answer, though it was sent");
    is_int(pending_ask_later(q, &u), 0, "it is still under way");
    pending_send_again(q);
    pending_give_up(q);
    is_int(pending_ask_later(q, &u), 1, "in the background");
    is_int(pending_ask_later(q, &u), 0, "once");
    pending_give_up(q);
    ok(!pending_take(q), "given up, too");
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
    pending_give_up(q);
    pending_go_on(q);
    pthread_create(&t, NULL, worker, "heard");
    while (atomic_load(&joined) == before) {
        usleep(1000);
    }
    usleep(10000);
    pending_finish(q, l, &valid);
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
    pending_give_up(q);
}

int main(void)
{
    q = pending_create();
    one_query();
    too_late();
    lost_and_given_up();
    heard_again();
    bounded();
    free(q);
    return done_testing();
}
