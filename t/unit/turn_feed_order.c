/* sources: turn_auth_plugin/feed.c turn_auth_plugin/feed_server.c */
/* sources: turn_auth_plugin/feed_reading.c turn_auth_plugin/feed_listen.c */
/* sources: turn_auth_plugin/full_reading.c turn_auth_plugin/user_questions.c */
/* sources: turn_auth_plugin/user_rows.c turn_auth_plugin/hmackey.c */
/* sources: turn_auth_plugin/pending.c turn_auth_plugin/outage.c */
/* sources: turn_auth_plugin/server_clock.c turn_auth_plugin/redis_use.c */
/* sources: turn_auth_plugin/figures.c turn_auth_plugin/user_cache.c */
/* sources: turn_auth_plugin/user_cache_others.c */
/* sources: turn_auth_plugin/user_cache_room.c */
/* sources: turn_auth_plugin/user_cache_resync.c turn_auth_plugin/user_table.c */
/* sources: turn_auth_plugin/realm_numbers.c turn_auth_plugin/census.c */
/* sources: turn_auth_plugin/expiry_queue.c turn_auth_plugin/name_hash.c */
/* sources: turn_auth_plugin/secret_memory.c */

/*
 * The feed and the look-ups, with servers whose answers come in the order the
 * test wants: each thing that keeps an old answer from counting is tried where
 * it is the only one.
 */

#include "fake_link.h"
#include "feed.h"
#include "redis_cache.h"
#include "tap.h"
#include "user_questions.h"

#include <pthread.h>
#include <unistd.h>

#define OLD_KEY "11111111111111111111111111111111"
#define NEW_KEY "22222222222222222222222222222222"
#define IDENTITY "123/00000001/1"

/* ---- what is logged ---- */

static char noticed[10000];

void notice(const char *fmt, ...)
{
    size_t n = strlen(noticed);
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(noticed + n, sizeof(noticed) - n, fmt, ap);
    va_end(ap);
}

/* ---- a Redis that knows nothing, and tells of changes ---- */

static const struct redis_events *redis_events;
static void *redis_owner;

struct redis_cache *redis_cache_create(const struct settings *s,
                                       struct user_cache *users,
                                       const struct redis_events *events,
                                       void *owner, char *error,
                                       size_t error_size)
{
    (void)s, (void)users, (void)error, (void)error_size;
    redis_events = events;
    redis_owner = owner;
    return (struct redis_cache *)noticed; /* not NULL */
}

int redis_cache_usable(const struct redis_cache *r)
{
    (void)r;
    return 0;
}

int redis_cache_get(struct redis_cache *r, const struct user_name *u,
                    void *which)
{
    (void)r, (void)u, (void)which;
    return -1;
}

void redis_cache_put(struct redis_cache *r, const struct user_name *u,
                     const struct user_record *rec)
{
    (void)r, (void)u, (void)rec;
}

void redis_cache_confirmed(struct redis_cache *r, int64_t confirmed_ms)
{
    (void)r, (void)confirmed_ms;
}

void redis_cache_alone(struct redis_cache *r, int alone)
{
    (void)r, (void)alone;
}

void redis_cache_clock(struct redis_cache *r, int64_t ahead_ms)
{
    (void)r, (void)ahead_ms;
}

void redis_cache_sweep(struct redis_cache *r)
{
    (void)r;
}

struct pollfd redis_cache_poll(struct redis_cache *r)
{
    (void)r;
    return (struct pollfd){.fd = -1};
}

int64_t redis_cache_next_ms(const struct redis_cache *r)
{
    (void)r;
    return INT64_MAX;
}

void redis_cache_step(struct redis_cache *r, int64_t now_ms)
{
    (void)r, (void)now_ms;
}

/* ---- the parts, as store.c puts them together ---- */

static struct settings settings = {.query_timeout_ms = 10000,
                                   .poll_interval_ms = 1000};
static struct user_cache *users;
static struct feed *feed;
static struct link *feed_link, *users_link;
static struct user_questions *questions;

static void revoked(void *owner, const struct user_name *u)
{
    (void)owner, (void)u;
}

static void changed(void *owner, const struct user_name *u,
                    const struct user_record *r)
{
    (void)owner, (void)u, (void)r;
}

static void nothing(void *owner)
{
    (void)owner;
}

static void read_all(void *owner)
{
    (void)owner;
    user_questions_read_all(questions);
}

static void no_reason(void *owner, const char *reason)
{
    (void)owner, (void)reason;
}

static void server(void *owner, const struct link *link)
{
    (void)owner, (void)link;
}

static const struct feed_events feed_events = {.revoked = revoked,
                                               .changed = changed,
                                               .read_all = read_all,
                                               .tables = nothing,
                                               .server = server};
static const struct user_questions_events users_events = {
    .wake = nothing, .down = no_reason, .back = nothing, .revoked = revoked};

static void make(size_t capacity)
{
    static void *kept[3 * 20], **next = kept; /* they have no end */
    struct feed_options fo = {.conninfo = "",
                              .label = "test",
                              .settings = &settings,
                              .events = &feed_events};
    struct user_questions_options uo = {.conninfo = "",
                                        .label = "test",
                                        .settings = &settings,
                                        .events = &users_events};

    noticed[0] = '\0';
    fo.users = uo.users = users = user_cache_create(capacity);
    uo.feed = feed = feed_create(&fo);
    feed_link = fake_last;
    questions = user_questions_create(&uo);
    users_link = fake_last;
    *next++ = users;
    *next++ = feed;
    *next++ = questions;
}

static void step(void)
{
    static int64_t later_ms;

    later_ms += 1000; /* so that the feed's next question is due */
    user_questions_step(questions, monotonic_ms());
    feed_step(feed, 1, 0, monotonic_ms() + later_ms);
}

static PGresult *truth(void)
{
    return fake_rows(1, 1, (const char *[]){"t"});
}

static PGresult *done(void)
{
    return PQmakeEmptyPGresult(NULL, PGRES_COMMAND_OK);
}

static void answer_look(const char *epoch, const char *identity)
{
    fake_answer(feed_link, "to_regprocedure", truth());
    fake_answer(feed_link, "edge_state",
                fake_rows(1, 4, (const char *[]){"f", epoch, identity, "1"}));
    fake_answer(feed_link, "listen turn_users", done());
    fake_answer(feed_link, "listen turn_tables", done());
}

static void answer_begin(const char *epoch, const char *identity)
{
    fake_answer(feed_link, "begin", done());
    fake_answer(feed_link, "set_config", truth());
    fake_answer(
        feed_link, "pg_current_snapshot",
        fake_rows(1, 4, (const char *[]){epoch, identity, "1", "10:10:"}));
    fake_answer(feed_link, "declare", done());
}

/* The database has one user, old, with version 5. */
static void warm_up(void)
{
    fake_up(feed_link);
    answer_look("7", IDENTITY);
    answer_begin("7", IDENTITY);
    fake_answer(
        feed_link, "fetch",
        fake_rows(1, 6,
                  (const char *[]){"r", "old", "5", OLD_KEY, NULL, NULL}));
    while (fake_answer(feed_link, "fetch", fake_rows(0, 6, NULL))) {
    }
    fake_answer(feed_link, "commit", done());
    fake_up(users_link);
    fake_answer(users_link, "has_table_privilege", truth());
}

/* The feed reads one user's change; key NULL: removed. */
static void feed_change(const char *name, const char *version, const char *key)
{
    step();
    if (!fake_answer(
            feed_link, "user_record where xact",
            fake_rows(1, 11,
                      (const char *[]){"f", "7", IDENTITY, "1", "11:11:", "r",
                                       name, version, key, NULL, NULL}))) {
        ok(0, "the feed asks for changes");
    }
}

static struct user_name named(const char *name)
{
    return (struct user_name){"r", 1, name, strlen(name)};
}

static enum user_state remembered(const char *name)
{
    struct user_name u = named(name);
    struct user_record r;

    user_cache_peek(users, &u, &r);
    return r.state;
}

static int has_key(const struct user_record *r, const char *key)
{
    return r->state == USER_VALID && r->key[0] >> 4 == key[0] - '0';
}

static int has_key_now(const char *name, const char *key)
{
    struct user_name u = named(name);
    struct user_record r;

    user_cache_peek(users, &u, &r);
    return has_key(&r, key);
}

static void answer_user(const char *version, const char *key)
{
    fake_answer(users_link, "where name=",
                fake_rows(1, 4, (const char *[]){version, key, NULL, NULL}));
}

/* ---- who asks ---- */

struct asker {
    pthread_t thread;
    const char *name;
    struct user_record r;
    int answered;
};

static void *ask(void *arg)
{
    struct asker *a = arg;
    struct user_name u = named(a->name);
    enum figures_tier tier;

    a->answered = user_questions_ask(questions, &u, &a->r, &tier);
    return NULL;
}

/* A login; when this returns the database was asked. */
static void begin_asking(struct asker *a, const char *name)
{
    *a = (struct asker){.name = name};
    pthread_create(&a->thread, NULL, ask, a);
    while (fake_count(users_link, "where name=") == 0) {
        step();
        usleep(1000);
    }
}

/* ---- the tests ---- */

static void reads_ahead(void)
{
    make(10);
    fake_up(feed_link);
    answer_look("7", IDENTITY);
    ok(fake_count(feed_link, "fetch") >= 8,
       "reading all: slices are asked for ahead, however far the database is");
    answer_begin("7", IDENTITY);
    ok(!feed_live(feed, monotonic_ms()), "... it is not live while it reads");
    make(10);
    warm_up();
    ok(feed_live(feed, monotonic_ms()), "... but when all is read");
    is_int((long)feed_link->count, 0, "... and nothing is left to be answered");
    is_int(feed_link->given_up, 0, "... on one connection");
}

static void another_database_meanwhile(void)
{
    make(10);
    fake_up(feed_link);
    answer_look("7", IDENTITY);
    answer_begin(NULL, "123/00000001/2");
    is_int(feed_link->given_up, 1,
           "another database before the reading began: it is not read");
    is_int(feed_epoch(feed), 7, "... as one of no epoch");
    fake_up(feed_link);
    answer_look("8", "123/00000001/2");
    answer_begin("8", "123/00000001/2");
    is_int(feed_link->given_up, 1, "... but asked anew which it is, and read");
    is_int(feed_epoch(feed), 8, "... with its epoch");
}

/* What memory knows of who is gone gives way to others who are. */
static void push_out(const char *who)
{
    char name[16];

    for (int i = 0; i < 5000 && remembered(who) != USER_UNKNOWN; i++) {
        snprintf(name, sizeof(name), "gone%d", i);
        feed_change(name, "20", NULL);
    }
}

static void guard_alone(void)
{
    struct asker a;

    make(1);
    warm_up();
    begin_asking(&a, "user");
    feed_change("user", "9", NULL);
    push_out("user");
    is_int(remembered("user"), USER_UNKNOWN,
           "removed while asked for, and memory does not know it any more");
    answer_user("5", OLD_KEY);
    is_int(remembered("user"), USER_UNKNOWN, "the old answer is not kept");
    step();
    is_int((long)fake_count(users_link, "where name="), 1,
           "... but asked for again");
    answer_user("9", NULL);
    pthread_join(a.thread, NULL);
    ok(a.answered && a.r.state == USER_ABSENT,
       "... and who waited is told that nobody is there");
}

static void version_alone(void)
{
    struct asker a;

    make(10);
    warm_up();
    feed_change("old", "9", NEW_KEY);
    begin_asking(&a, "old");
    answer_user("5", OLD_KEY);
    pthread_join(a.thread, NULL);
    ok(a.answered && has_key(&a.r, NEW_KEY),
       "asked after the change, answered as of before: the new key counts");
    begin_asking(&a, "old");
    answer_user("5", NULL);
    pthread_join(a.thread, NULL);
    ok(a.answered && has_key(&a.r, NEW_KEY),
       "... nor is anybody removed by it");
    feed_change("old", "6", OLD_KEY);
    ok(has_key_now("old", NEW_KEY),
       "a change read again, after a newer one: the newer counts");
}

static void removed_counts_by_version(void)
{
    struct asker a;

    make(10);
    warm_up();
    feed_change("old", "9", NULL);
    begin_asking(&a, "old");
    answer_user("5", OLD_KEY);
    pthread_join(a.thread, NULL);
    ok(a.answered && a.r.state == USER_ABSENT,
       "removed, asked, answered as of before: the user stays removed");
    is_int(remembered("old"), USER_ABSENT, "... in memory, too");
}

static void guard_of_a_reading(void)
{
    struct asker a;

    make(10);
    warm_up();
    begin_asking(&a, "user");
    step();
    fake_answer(feed_link, "user_record where xact",
                fake_rows(1, 11,
                          (const char *[]){"f", "8", "123/00000001/2", "1",
                                           "11:11:", NULL, NULL, NULL, NULL,
                                           NULL, NULL}));
    answer_look("8", "123/00000001/2");
    answer_begin("8", "123/00000001/2");
    answer_user("5", OLD_KEY);
    is_int(remembered("user"), USER_UNKNOWN,
           "asked before a database of which all is read: not kept");
    step();
    answer_user("5", NULL);
    pthread_join(a.thread, NULL);
    ok(a.answered && a.r.state == USER_ABSENT, "... but asked for again");
}

static void backup_on_its_way(void)
{
    PGresult *no = fake_rows(1, 1, (const char *[]){"f"});
    struct asker a;

    make(10);
    warm_up();
    link_give_up(feed_link, "the database is dropped");
    link_give_up(users_link, "the database is dropped");
    fake_up(feed_link);
    fake_up(users_link);
    fake_answer(users_link, "has_table_privilege", PQcopyResult(no, 7));
    fake_answer(feed_link, "to_regprocedure", no);
    ok(feed_next_ms(feed, 1) <= monotonic_ms() + 1000,
       "a database is empty yet: soon it is seen what is in it now");
    step();
    answer_look("8", "123/00000001/2");
    answer_begin("8", "123/00000001/2");
    while (fake_answer(feed_link, "fetch", fake_rows(0, 6, NULL))) {
    }
    fake_answer(feed_link, "commit", done());
    fake_answer(users_link, "has_table_privilege", truth());
    begin_asking(&a, "user");
    is_int((long)fake_count(users_link, "turn.user_record"), 1,
           "... and users are asked for with their versions again");
    answer_user("5", NULL);
    pthread_join(a.thread, NULL);
    make(10);
    fake_up(feed_link);
    no = fake_rows(1, 1, (const char *[]){"f"});
    fake_answer(feed_link, "to_regprocedure", no);
    ok(feed_next_ms(feed, 1) > monotonic_ms() + 5000,
       "one that never had a feed is looked at now and then");
}

static void answer_standby(const char *identity)
{
    fake_answer(feed_link, "to_regprocedure", truth());
    fake_answer(feed_link, "edge_state",
                fake_rows(1, 4, (const char *[]){"t", "7", identity, "1"}));
}

static void answer_all(const char *epoch, const char *identity)
{
    answer_begin(epoch, identity);
    while (fake_answer(feed_link, "fetch", fake_rows(0, 6, NULL))) {
    }
    fake_answer(feed_link, "commit", done());
}

static void standbys(void)
{
    static const char *const identities[] = {"123/standby/1", "123/standby/2"};

    make(10);
    warm_up();
    link_give_up(feed_link, "the primary is gone");
    fake_up(feed_link);
    answer_standby(identities[0]);
    step();
    ok(fake_count(feed_link, "begin") == 0 &&
           fake_count(feed_link, "user_record where xact") == 1,
       "a standby in place of its primary may be behind: memory stays");
    fake_answer(
        feed_link, "user_record where xact",
        fake_rows(1, 11,
                  (const char *[]){"t", "7", identities[1], "1", "11:11:", NULL,
                                   NULL, NULL, NULL, NULL, NULL}));
    answer_standby(identities[1]);
    is_int(remembered("old"), USER_VALID, "a standby becomes another one");
    answer_all("7", identities[1]);
    is_int(remembered("old"), USER_UNKNOWN, "... whom it lacks is forgotten");
    step();
    is_int((long)fake_count(feed_link, "user_record where xact"), 1,
           "... and it is polled");
}

static void no_version(void)
{
    struct asker a;

    make(10);
    warm_up();
    link_give_up(users_link, "closed");
    fake_up(users_link);
    fake_answer(users_link, "has_table_privilege", NULL);
    is_int((long)fake_count(users_link, "has_table_privilege"), 1,
           "whether users have versions is asked again until it is known");
    fake_answer(users_link, "has_table_privilege",
                fake_rows(1, 1, (const char *[]){"f"}));
    begin_asking(&a, "user");
    answer_user(NULL, OLD_KEY);
    pthread_join(a.thread, NULL);
    ok(a.answered && remembered("user") == USER_UNKNOWN,
       "a user of tables that the live feed does not follow is not kept");
}

/* A heartbeat's answer that tells of no change. */
static PGresult *quiet(const char *epoch)
{
    return fake_rows(1, 11,
                     (const char *[]){"f", epoch, IDENTITY, "1", "11:11:", NULL,
                                      NULL, NULL, NULL, NULL, NULL});
}

static void later_epoch(void)
{
    make(10);
    warm_up();
    step();
    fake_answer(feed_link, "user_record where xact", quiet("8"));
    is_int(feed_link->given_up, 0, "a new epoch, and the same database");
    answer_look("8", IDENTITY);
    is_int(feed_epoch(feed), 8, "... counts from now on");
    step();
    is_int((long)fake_count(feed_link, "user_record where xact"), 1,
           "... and what changed is read as before");
}

static void silence(void)
{
    const char *line;

    settings.query_timeout_ms = 1;
    make(10);
    warm_up();
    noticed[0] = '\0';
    for (int i = 0; i < 3; i++) {
        step();
        fake_answer(feed_link, "user_record where xact", NULL);
        fake_up(feed_link);
        usleep(15000);
        feed_step(feed, 1, 0, monotonic_ms());
    }
    line = strstr(noticed, "does not tell changes (no answer in time)");
    ok(line && !strstr(line + 20, "tell"),
       "a connection that tells no changes: a line says so, once");
    step();
    fake_answer(feed_link, "user_record where xact", quiet("7"));
    ok(strstr(noticed, "tells changes again") != NULL,
       "... and one when it does");
    settings.query_timeout_ms = 10000;
}

static void newer_in_redis(void)
{
    struct user_record r = {.state = USER_VALID,
                            .version = {9, 1},
                            .valid_until_ms = USER_FOREVER,
                            .key = {0x22}};
    struct user_name u = named("old");

    strcpy(settings.redis, "127.0.0.1:6379");
    make(10);
    warm_up();
    redis_events->newer(redis_owner, &u, &r);
    ok(has_key_now("old", OLD_KEY),
       "Redis holds a later version: it is not believed");
    link_give_up(users_link, "away");
    users_link->o.events->down(users_link->o.owner, "away");
    redis_events->newer(redis_owner, &u, &r);
    ok(has_key_now("old", NEW_KEY), "... but where PostgreSQL is away");
    settings.redis[0] = '\0';
}

int main(void)
{
    reads_ahead();
    another_database_meanwhile();
    guard_alone();
    version_alone();
    removed_counts_by_version();
    guard_of_a_reading();
    backup_on_its_way();
    later_epoch();
    silence();
    newer_in_redis();
    standbys();
    no_version();
    return done_testing();
}
