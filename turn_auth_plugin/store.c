/*
 * The store thread: one poll loop over its connections; see store.h.
 */

#define _GNU_SOURCE
#include "store.h"

#include "feed.h"
#include "figures.h"
#include "figures_writer.h"
#include "monotonic.h"
#include "notice.h"
#include "own_thread.h"
#include "relay_closer.h"
#include "small_tables.h"
#include "user_questions.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* The longest turnserver's start waits for the first round of tables. */
#define START_MS 2000
/* How late an end that a login has just made known may be noticed. */
#define LONGEST_SLEEP_MS 250

struct store {
    const struct settings *settings;
    struct user_cache *users;
    struct user_questions *questions;
    struct small_tables *tables;
    struct feed *feed;
    struct relay_closer *closer;
    char label[320]; /* host/database, for the log */
    int64_t started_ms;
    int64_t figures_ms; /* when they are due; the store thread's */
    pthread_t thread;
    int wake_fd;
    atomic_int stopping;
};

static void wake(void *owner)
{
    struct store *st = owner;
    uint64_t one = 1;

    if (write(st->wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN) {
        notice("cannot wake the store thread: %s", strerror(errno));
    }
}

/* ---- what the parts tell each other ---- */

static void users_down(void *owner, const char *reason)
{
    struct store *st = owner;

    small_tables_users_down(st->tables, reason);
}

static void users_back(void *owner)
{
    struct store *st = owner;

    small_tables_users_back(st->tables);
}

static void revoked(void *owner, const struct user_name *u)
{
    struct store *st = owner;

    relay_closer_close(st->closer, u);
}

static void tables_hint(void *owner)
{
    struct store *st = owner;

    small_tables_hint(st->tables);
}

static void ask_server_of(void *owner, const struct link *feed)
{
    struct store *st = owner;

    link_follow(user_questions_link(st->questions), feed);
    link_follow(small_tables_link(st->tables), feed);
}

static void changed(void *owner, const struct user_name *u,
                    const struct user_record *r)
{
    struct store *st = owner;

    user_questions_changed(st->questions, u, r);
}

static void read_all(void *owner)
{
    struct store *st = owner;

    user_questions_read_all(st->questions);
}

static const struct user_questions_events users_events = {
    .wake = wake,
    .down = users_down,
    .back = users_back,
    .revoked = revoked,
};
static const struct feed_events feed_events = {
    .revoked = revoked,
    .changed = changed,
    .read_all = read_all,
    .tables = tables_hint,
    .server = ask_server_of,
};

static struct small_tables_users users_now(const struct store *st)
{
    return (struct small_tables_users){user_questions_up(st->questions),
                                       user_questions_away(st->questions)};
}

/* ---- users whose time is over ---- */

static int64_t ends_in_ms(struct store *st, int64_t now_ms)
{
    int64_t next_ms = expiry_queue_next_ms(user_cache_expiries(st->users));

    return next_ms == INT64_MAX ? LONGEST_SLEEP_MS
                                : next_ms - feed_unix_ms(st->feed, now_ms);
}

/*
 * They are refused in any case (look_up.c); here their relays end. Of who is
 * not remembered any more the queue has the end that was fed last.
 */
static void end_users(struct store *st, int64_t now_ms)
{
    int64_t unix_ms = feed_unix_ms(st->feed, now_ms);
    struct user_record r;
    struct expiry e;

    while (expiry_queue_take(user_cache_expiries(st->users), unix_ms, &e)) {
        user_cache_peek(st->users, &e.name, &r);
        if (e.kind == EXPIRY_ENDS &&
            (r.state == USER_UNKNOWN ||
             (r.state == USER_VALID && r.valid_until_ms <= unix_ms))) {
            relay_closer_close(st->closer, &e.name);
        }
        explicit_bzero(&r, sizeof(r));
    }
}

static void show_figures(struct store *st, int64_t now_ms)
{
    if (now_ms < st->figures_ms) {
        return;
    }
    st->figures_ms = now_ms + LONGEST_SLEEP_MS;
    figures_cache(
        user_cache_count(st->users, USER_VALID),
        user_cache_count(st->users, USER_ABSENT), user_cache_bytes(st->users),
        user_cache_complete(st->users) && feed_live(st->feed, now_ms));
    figures_store_state(FIGURES_STORE_POSTGRESQL,
                        user_questions_away(st->questions) ? FIGURES_STORE_AWAY
                                                           : FIGURES_STORE_UP);
}

/* ---- the thread ---- */

static void wait_for_something(struct store *st)
{
    struct pollfd p[] = {{.fd = st->wake_fd, .events = POLLIN},
                         user_questions_poll(st->questions),
                         user_questions_poll_redis(st->questions),
                         small_tables_poll(st->tables),
                         feed_poll(st->feed)};
    int64_t now_ms = monotonic_ms();
    int64_t next_ms =
        monotonic_earlier(user_questions_next_ms(st->questions),
                          small_tables_next_ms(st->tables, users_now(st)));
    uint64_t wakes;

    next_ms = monotonic_earlier(
        next_ms, feed_next_ms(st->feed, user_questions_up(st->questions)));
    next_ms = monotonic_earlier(next_ms, now_ms + ends_in_ms(st, now_ms));
    next_ms = monotonic_earlier(next_ms, now_ms + LONGEST_SLEEP_MS);
    poll(p, sizeof(p) / sizeof(p[0]),
         next_ms > now_ms ? (int)(next_ms - now_ms) : 0);
    if ((p[0].revents & POLLIN) &&
        read(st->wake_fd, &wakes, sizeof(wakes)) < 0) {
        return;
    }
}

static void *run(void *arg)
{
    struct store *st = arg;

    while (!atomic_load(&st->stopping)) {
        int64_t now_ms = monotonic_ms();

        user_questions_step(st->questions, now_ms);
        small_tables_step(st->tables, users_now(st), now_ms);
        feed_step(st->feed, user_questions_up(st->questions),
                  user_questions_away(st->questions), now_ms);
        end_users(st, now_ms);
        show_figures(st, now_ms);
        wait_for_something(st);
    }
    return NULL;
}

/* ---- starting and stopping ---- */

static const char *option(const PQconninfoOption *options, const char *keyword)
{
    for (; options && options->keyword; options++) {
        if (strcmp(options->keyword, keyword) == 0 && options->val &&
            options->val[0]) {
            return options->val;
        }
    }
    return NULL;
}

/* host/database: never the user or the password. */
static void describe(char *label, size_t size, const char *conninfo)
{
    PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
    const char *host = option(options, "host");
    const char *database = option(options, "dbname");

    if (!host) {
        host = option(options, "hostaddr");
    }
    snprintf(label, size, "%s/%s", host ? host : "localhost",
             database ? database : "");
    PQconninfoFree(options);
}

/* One process has one store; coturn's exit must find its thread ended. */
static struct store *the_store;

static void stop_at_exit(void)
{
    struct store *st = the_store;
    struct timespec end;

    atomic_store(&st->stopping, 1);
    wake(st);
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += 1;
    pthread_timedjoin_np(st->thread, NULL, &end);
    relay_closer_stop(st->closer);
    figures_stop();
}

static int make_parts(struct store *st, const char *conninfo)
{
    struct user_questions_options o = {
        .conninfo = conninfo,
        .label = st->label,
        .settings = st->settings,
        .events = &users_events,
        .owner = st,
    };
    struct feed_options feed = {
        .conninfo = conninfo,
        .label = st->label,
        .settings = st->settings,
        .events = &feed_events,
        .owner = st,
    };

    st->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    st->users = user_cache_create((size_t)st->settings->cache_size);
    if (!st->users || st->wake_fd < 0) {
        return -1;
    }
    feed.users = o.users = st->users;
    o.feed = st->feed = feed_create(&feed);
    if (!st->feed) {
        return -1;
    }
    st->questions = user_questions_create(&o);
    st->tables = small_tables_create(conninfo, st->label, st->settings);
    return st->questions && st->tables ? 0 : -1;
}

struct store *store_start(const char *conninfo, const struct settings *s)
{
    struct store *st = calloc(1, sizeof(*st));

    if (!st) {
        return NULL;
    }
    st->settings = s;
    describe(st->label, sizeof(st->label), conninfo);
    st->started_ms = monotonic_ms();
    st->closer = relay_closer_start(s);
    figures_start(s);
    /* Once in the life of a process: what was made stays when it fails. */
    if (make_parts(st, conninfo) != 0 ||
        own_thread_start(&st->thread, "turn-auth-store", run, st) != 0) {
        return NULL;
    }
    the_store = st;
    atexit(stop_at_exit);
    return st;
}

/* ---- auth workers ---- */

int store_ask(struct store *st, const struct user_name *u,
              struct user_record *r, enum figures_tier *tier)
{
    return user_questions_ask(st->questions, u, r, tier);
}

void store_standing(struct store *st, int64_t now_ms, struct store_standing *s)
{
    *s = (struct store_standing){
        .live = feed_live(st->feed, now_ms),
        .confirmed_ms = feed_confirmed_ms(st->feed),
        .unix_ms = feed_unix_ms(st->feed, now_ms),
    };
}

void store_ask_later(struct store *st, const struct user_name *u)
{
    user_questions_ask_later(st->questions, u);
}

struct user_cache *store_users(struct store *st)
{
    return st->users;
}

struct rows *store_table(struct store *st, enum last_known_table t,
                         int64_t *read_ms)
{
    int64_t start_ms = st->started_ms + START_MS;
    int64_t until_ms = monotonic_ms() + st->settings->query_timeout_ms;

    if (small_tables_want(st->tables, t)) {
        wake(st);
    }
    return small_tables_get(st->tables, t,
                            until_ms > start_ms ? until_ms : start_ms, read_ms);
}
