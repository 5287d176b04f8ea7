/*
 * Sealed values in and out of one link to Redis, a mark that shows when Redis
 * has lost them, and the sweep that puts them there again; see redis_cache.h.
 */

#include "redis_cache.h"

#include "figures.h"
#include "monotonic.h"
#include "notice.h"
#include "outage.h"
#include "redis_commands.h"
#include "redis_link.h"
#include "redis_refusal.h"
#include "seal_key_file.h"
#include "sealed_value.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Shorter than this, an absence of Redis is not worth a line. */
#define PATIENCE_MS 500
/* The first connection may take so much longer. */
#define FIRST_CONNECT_MS 1000
#define KEY_FILE_CHECK_MS 1000

/* The mark is renewed so often, and ends so long after the last time. */
#define MARK_MS 500
#define MARK_TTL_MS 60000

/* A sweep puts so many at a time, and no more while so many are under way. */
#define SWEEP_STEP_MS 10
#define SWEEP_STEP 50
#define SWEEP_WAITING 256
/* Sweeps because something was lost begin at least so long apart. */
#define SWEEP_PAUSE_MS 3000
#define SWEEPS_PER_STALE_TTL 4
#define SHORTEST_PERIOD_MS 1000
/* While puts are refused one is tried so often. */
#define TRIAL_MS 1000

#define UNSEALED_LINE_MS 60000

enum kind { GET, PUT, MARK, MARK_ANEW };

struct question {
    enum kind kind;
    int again;                       /* PUT: over what did not open */
    enum redis_put how;              /* PUT */
    struct user_version version;     /* PUT */
    int64_t expires_ms;              /* PUT */
    uint8_t value[SEALED_VALUE_LEN]; /* PUT */
    void *which;                     /* GET: the owner's */
    struct user_name user;           /* GET, PUT; points into key */
    size_t key_len;
    char key[];
};

struct sweep {
    int running;
    uint64_t cursor;
    int64_t begun_ms;
    int64_t next_ms; /* of its next step, or of the next sweep */
};

/* All of it is the store thread's. */
struct redis_cache {
    const struct settings *s;
    struct user_cache *users;
    const struct redis_events *events;
    void *owner;
    struct redis_link *link;
    struct outage outage;
    char reason[REDIS_REPLY_TEXT + 1]; /* why it is not usable, or was not */
    struct seal_key_file keys;
    int64_t key_check_ms;
    int64_t confirmed_ms;
    int64_t ahead_ms; /* of this machine's clock: PostgreSQL's */
    char mark[SETTING_TEXT + 20];
    int64_t mark_ms; /* when it is renewed next */
    int missed;      /* something was not put: Redis is to be swept */
    struct sweep sweep;
    struct redis_refusal gets;
    struct redis_refusal puts;
    int not_by_mark;   /* puts are refused, whatever the mark is */
    int64_t trial_ms;  /* when the next put is tried meanwhile */
    uint64_t unsealed; /* values that did not open, since the last line */
    int64_t unsealed_line_ms;
};

void redis_cache_alone(struct redis_cache *r, int alone)
{
    int64_t ms = r->s->redis_timeout_ms;

    if (alone && ms < r->s->query_timeout_ms) {
        ms = r->s->query_timeout_ms;
    }
    redis_link_set_timeout(r->link, ms);
}

/* ---- clocks ---- */

/* PostgreSQL's clock, unix time. */
static int64_t server_ms(const struct redis_cache *r)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000 + r->ahead_ms;
}

static int64_t as_of_ms(const struct redis_cache *r, int64_t read_ms)
{
    int64_t at_ms = server_ms(r) - (monotonic_ms() - read_ms);

    return at_ms > 0 ? at_ms : 0;
}

/* Clocks differ: what would be in the future is now. */
static int64_t read_ms(const struct redis_cache *r, int64_t as_of)
{
    int64_t age_ms = server_ms(r) - as_of;

    return monotonic_ms() - (age_ms > 0 ? age_ms : 0);
}

static int64_t lifetime_ms(const struct redis_cache *r)
{
    return r->s->stale_ttl_ms > r->s->fresh_ttl_ms ? r->s->stale_ttl_ms
                                                   : r->s->fresh_ttl_ms;
}

/* ---- questions ---- */

static void set_key(struct redis_cache *r, struct question *q,
                    const struct user_name *u)
{
    size_t prefix_len = strlen(r->s->redis_prefix);
    char *p = q->key;

    memcpy(p, r->s->redis_prefix, prefix_len);
    p += prefix_len;
    memcpy(p, u->realm, u->realm_len);
    q->user.realm = p;
    q->user.realm_len = u->realm_len;
    p += u->realm_len;
    *p++ = ' ';
    memcpy(p, u->name, u->name_len);
    q->user.name = p;
    q->user.name_len = u->name_len;
    q->key_len = prefix_len + u->realm_len + 1 + u->name_len;
}

/* About a user, or NULL. */
static struct question *new_question(struct redis_cache *r, enum kind kind,
                                     const struct user_name *u)
{
    size_t key_size = strlen(r->s->redis_prefix) + u->realm_len + u->name_len;
    struct question *q;

    if (u->realm_len > USER_REALM_MAX || u->name_len > USER_NAME_MAX) {
        return NULL;
    }
    q = calloc(1, sizeof(*q) + key_size + 1);
    if (q) {
        q->kind = kind;
        set_key(r, q, u);
    }
    return q;
}

static struct redis_bytes key_of(const struct question *q)
{
    return (struct redis_bytes){q->key, q->key_len};
}

static const struct redis_bytes nothing = {"", 0};

/* Frees what could not be asked. */
static int was_asked(struct question *q, int result)
{
    if (result != 0) {
        free(q);
    }
    return result;
}

int redis_cache_usable(const struct redis_cache *r)
{
    return redis_link_state(r->link) == REDIS_LINK_UP;
}

int redis_cache_get(struct redis_cache *r, const struct user_name *u,
                    void *which)
{
    struct question *q = redis_cache_usable(r) ? new_question(r, GET, u) : NULL;

    if (!q) {
        return -1;
    }
    q->which = which;
    figures_count(FIGURES_REDIS_QUESTIONS, 1);
    return was_asked(q, redis_ask_get(r->link, q, key_of(q)));
}

/* Takes q. bad: see redis_ask_put(). */
static void ask_put(struct redis_cache *r, struct question *q,
                    struct redis_bytes bad)
{
    int64_t ttl_ms = q->expires_ms - server_ms(r);

    if (ttl_ms <= 0) {
        free(q);
    } else if (was_asked(q, redis_ask_put(r->link, q, key_of(q), q->value,
                                          ttl_ms, bad, q->how)) != 0) {
        r->missed = 1;
    }
}

static int seal(struct redis_cache *r, struct question *q,
                const struct user_record *rec)
{
    struct sealed_state s = {
        .state = rec->state,
        .version = rec->version,
        .as_of_ms = as_of_ms(r, rec->read_ms),
        .valid_until_ms = rec->state == USER_VALID ? rec->valid_until_ms : 0,
    };
    int result;

    s.expires_ms = s.as_of_ms + lifetime_ms(r);
    q->version = s.version;
    q->expires_ms = s.expires_ms;
    memcpy(s.key, rec->key, sizeof(s.key));
    result = sealed_value_seal(q->value, r->keys.keys, r->s->redis_prefix,
                               &q->user, &s);
    explicit_bzero(&s, sizeof(s));
    return result;
}

/*
 * Anybody can ask for names that never were: these only replace what is there
 * of a user, where the database keeps no tombstones.
 */
static int never_was(const struct user_record *rec)
{
    return rec->state == USER_ABSENT && rec->version.epoch == 0 &&
           rec->version.number == 0;
}

void redis_cache_put(struct redis_cache *r, const struct user_name *u,
                     const struct user_record *rec)
{
    struct question *q;

    if (rec->state == USER_UNKNOWN) {
        return;
    }
    if (!redis_cache_usable(r) || !(q = new_question(r, PUT, u))) {
        r->missed = 1;
        return;
    }
    q->how = never_was(rec) ? REDIS_PUT_OVER : REDIS_PUT_ALWAYS;
    if (seal(r, q, rec) != 0) {
        free(q);
        return;
    }
    ask_put(r, q, nothing);
}

/* ---- answers ---- */

static void note_unsealed(struct redis_cache *r)
{
    r->unsealed++;
    figures_count(FIGURES_REDIS_UNSEALED, 1);
}

static void write_unsealed(struct redis_cache *r, int64_t now_ms)
{
    if (r->unsealed == 0 || now_ms - r->unsealed_line_ms < UNSEALED_LINE_MS) {
        return;
    }
    notice("Redis %s: values that did not open: %llu (forged, moved, or sealed "
           "with a key that is not in %s); PostgreSQL is asked",
           r->s->redis, (unsigned long long)r->unsealed, r->s->seal_key_file);
    r->unsealed = 0;
    r->unsealed_line_ms = now_ms;
}

/* What would help, to follow the reason. */
static const char *expected(const struct redis_cache *r,
                            const struct redis_reply *error, char *text,
                            size_t size)
{
    text[0] = '\0';
    if (redis_reply_is_error(error, "NOPERM")) {
        snprintf(text, size,
                 ", expected a user with +ping +select +getrange +set +del "
                 "+eval ~%s*",
                 r->s->redis_prefix);
    } else if (redis_reply_is_error(error, "OOM")) {
        snprintf(text, size, ", expected room for all users (maxmemory)");
    } else if (redis_reply_is_error(error, "READONLY")) {
        snprintf(text, size, ", expected a primary");
    }
    return text;
}

static void get_refused(struct redis_cache *r, const struct redis_reply *error)
{
    char text[SETTING_TEXT + 80];

    if (redis_refusal_refused(&r->gets, monotonic_ms())) {
        notice("Redis %s does not tell users (%s)%s; PostgreSQL is asked",
               r->s->redis, error->text,
               expected(r, error, text, sizeof(text)));
    }
}

static void get_granted(struct redis_cache *r)
{
    if (redis_refusal_granted(&r->gets, monotonic_ms())) {
        notice("Redis %s tells users again", r->s->redis);
    }
}

static void put_refused(struct redis_cache *r, const struct redis_reply *error)
{
    int64_t now_ms = monotonic_ms();
    char text[SETTING_TEXT + 80];

    r->missed = 1;
    if (redis_refusal_refused(&r->puts, now_ms)) {
        r->trial_ms = now_ms + TRIAL_MS;
        notice("Redis %s takes no values (%s)%s; what it holds is still read",
               r->s->redis, error->text,
               expected(r, error, text, sizeof(text)));
    }
}

static void put_granted(struct redis_cache *r)
{
    if (redis_refusal_granted(&r->puts, monotonic_ms())) {
        notice("Redis %s takes values again", r->s->redis);
        r->not_by_mark = 0;
        redis_cache_sweep(r);
    }
}

/* What was in Redis, as a record; USER_UNKNOWN unless it opened. */
static enum sealed_result open_reply(struct redis_cache *r,
                                     const struct user_name *u,
                                     const struct redis_reply *reply,
                                     struct user_record *rec, size_t *opened_by)
{
    struct sealed_state s;
    int64_t now_ms = server_ms(r);
    enum sealed_result result =
        sealed_value_open(&s, r->keys.keys, r->s->redis_prefix, u, reply->text,
                          reply->len, now_ms);

    memset(rec, 0, sizeof(*rec));
    /* Sealed by an edge that believes in a longer stale_ttl than this one. */
    if (result == SEALED_OPENED && now_ms - s.as_of_ms >= lifetime_ms(r)) {
        result = SEALED_EXPIRED;
    }
    if (result == SEALED_OPENED) {
        rec->state = s.state;
        rec->read_ms = read_ms(r, s.as_of_ms);
        rec->valid_until_ms = s.valid_until_ms;
        rec->version = s.version;
        memcpy(rec->key, s.key, sizeof(rec->key));
    }
    *opened_by = s.opened_by;
    explicit_bzero(&s, sizeof(s));
    return result;
}

/*
 * What does not open or has expired stays until there is a state to put in its
 * place: an edge that has newer keys or a longer stale_ttl may use it.
 */
static void answer_get(struct redis_cache *r, struct question *q,
                       const struct redis_reply *reply)
{
    struct user_record rec = {.state = USER_UNKNOWN};
    size_t opened_by;

    if (reply && reply->type == REDIS_REPLY_STRING) {
        get_granted(r);
        if (reply->len > 0 &&
            open_reply(r, &q->user, reply, &rec, &opened_by) == SEALED_FORGED) {
            note_unsealed(r);
        }
    } else if (reply && redis_reply_is_error(reply, "WRONGTYPE")) {
        note_unsealed(r);
    } else if (reply) {
        get_refused(r, reply);
    }
    r->events->answer(r->owner, q->which, &rec);
    explicit_bzero(&rec, sizeof(rec));
}

/*
 * Something later is there. Ours goes over it when it does not open, or soon
 * will not: it is as good, but was sealed with a key that is on its way out.
 */
static int is_in_the_way(struct redis_cache *r, struct question *q,
                         const struct redis_reply *reply)
{
    struct user_record rec;
    size_t opened_by;
    enum sealed_result result =
        open_reply(r, &q->user, reply, &rec, &opened_by);
    int later = result == SEALED_OPENED &&
                user_version_compare(rec.version, q->version) > 0;

    if (later && r->events->newer) {
        r->events->newer(r->owner, &q->user, &rec);
    }
    explicit_bzero(&rec, sizeof(rec));
    if (result == SEALED_FORGED) {
        note_unsealed(r);
    }
    return result == SEALED_FORGED || result == SEALED_EXPIRED ||
           (result == SEALED_OPENED && !later && opened_by > 0);
}

/* Returns 1 when q lives on. */
static int put_again(struct redis_cache *r, struct question *q,
                     const struct redis_reply *reply)
{
    if (!is_in_the_way(r, q, reply) || q->again) {
        return 0;
    }
    q->again = 1;
    ask_put(r, q, (struct redis_bytes){reply->text, reply->len});
    return 1;
}

static int answer_put(struct redis_cache *r, struct question *q,
                      const struct redis_reply *reply)
{
    if (!reply) {
        r->missed = 1;
    } else if (reply->type == REDIS_REPLY_ERROR) {
        r->not_by_mark = 1;
        put_refused(r, reply);
    } else if (reply->type == REDIS_REPLY_STRING) {
        return put_again(r, q, reply);
    } else if (q->how == REDIS_PUT_ALWAYS) { /* else: there may be none */
        put_granted(r);
        figures_count(FIGURES_REDIS_FILLS, 1);
    }
    return 0;
}

/* ---- the mark ---- */

static void ask_mark(struct redis_cache *r, int anew)
{
    struct question *q = calloc(1, sizeof(*q));

    if (q) {
        q->kind = anew ? MARK_ANEW : MARK;
        was_asked(q,
                  redis_ask_mark(r->link, q,
                                 (struct redis_bytes){r->mark, strlen(r->mark)},
                                 MARK_TTL_MS, anew));
    }
}

/*
 * Also tells whether Redis takes values, where none are put for long. A mark is
 * less than a value: that it is taken says nothing of those.
 */
static void answer_mark(struct redis_cache *r, const struct redis_reply *reply)
{
    if (reply && reply->type == REDIS_REPLY_ERROR) {
        put_refused(r, reply);
    } else if (reply && !r->not_by_mark) {
        put_granted(r);
    }
    if (reply && reply->type == REDIS_REPLY_NIL) {
        r->missed = 1;
        ask_mark(r, 1);
    }
}

static int make_mark(struct redis_cache *r)
{
    uint64_t random;

    if (RAND_bytes((unsigned char *)&random, sizeof(random)) != 1) {
        return -1;
    }
    /* No user's: there is no realm before the space. */
    snprintf(r->mark, sizeof(r->mark), "%s %016llx", r->s->redis_prefix,
             (unsigned long long)random);
    return 0;
}

/* ---- the sweep ---- */

void redis_cache_sweep(struct redis_cache *r)
{
    int64_t now_ms = monotonic_ms();

    r->missed = 0;
    r->sweep = (struct sweep){1, 0, now_ms, now_ms};
}

void redis_cache_confirmed(struct redis_cache *r, int64_t confirmed_ms)
{
    r->confirmed_ms = confirmed_ms;
}

void redis_cache_clock(struct redis_cache *r, int64_t ahead_ms)
{
    r->ahead_ms = ahead_ms;
}

static int64_t period_ms(const struct redis_cache *r)
{
    int64_t ms = lifetime_ms(r) / SWEEPS_PER_STALE_TTL;

    return ms > SHORTEST_PERIOD_MS ? ms : SHORTEST_PERIOD_MS;
}

static void end_sweep(struct redis_cache *r)
{
    r->sweep.running = 0;
    r->sweep.next_ms = r->sweep.begun_ms + period_ms(r);
}

/* most: how many at most. */
static void sweep_some(struct redis_cache *r, int most)
{
    char buffer[USER_REALM_MAX + USER_NAME_MAX + 2];
    struct user_name u;
    struct user_record rec = {.state = USER_UNKNOWN};

    for (int i = 0; i < most; i++) {
        if (redis_link_waiting(r->link) >= SWEEP_WAITING) {
            break;
        }
        if (!user_cache_next(r->users, &r->sweep.cursor, buffer, &u, &rec)) {
            end_sweep(r);
            break;
        }
        if (rec.read_ms < r->confirmed_ms) {
            rec.read_ms = r->confirmed_ms;
        }
        redis_cache_put(r, &u, &rec);
    }
    explicit_bzero(&rec, sizeof(rec));
}

static int64_t sweep_due_ms(const struct redis_cache *r)
{
    if (!redis_cache_usable(r)) {
        return INT64_MAX;
    }
    if (r->puts.holds) {
        return r->trial_ms;
    }
    if (r->missed && !r->sweep.running &&
        r->sweep.begun_ms + SWEEP_PAUSE_MS < r->sweep.next_ms) {
        return r->sweep.begun_ms + SWEEP_PAUSE_MS;
    }
    return r->sweep.next_ms;
}

static void step_sweep(struct redis_cache *r, int64_t now_ms)
{
    if (now_ms < sweep_due_ms(r)) {
        return;
    }
    if (!r->sweep.running) {
        redis_cache_sweep(r);
    }
    r->sweep.next_ms = now_ms + SWEEP_STEP_MS;
    r->trial_ms = now_ms + TRIAL_MS;
    sweep_some(r, r->puts.holds ? 1 : SWEEP_STEP);
}

/* ---- the link's events ---- */

static void begin_outage(struct redis_cache *r)
{
    figures_count(FIGURES_REDIS_OUTAGES, 1);
    notice("Redis %s is away (%s); PostgreSQL is asked", r->s->redis,
           r->reason);
}

static void link_up(void *owner)
{
    struct redis_cache *r = owner;
    int64_t gone_ms = outage_up(&r->outage, monotonic_ms());

    figures_store_state(FIGURES_STORE_REDIS, FIGURES_STORE_UP);
    r->mark_ms = 0;
    if (gone_ms >= 0) {
        notice("Redis %s is back after %.1f s", r->s->redis,
               (double)gone_ms / 1e3);
    }
}

static void link_down(void *owner, const char *reason)
{
    struct redis_cache *r = owner;

    figures_store_state(FIGURES_STORE_REDIS, FIGURES_STORE_AWAY);
    snprintf(r->reason, sizeof(r->reason), "%s", reason);
    if (outage_failure(&r->outage, 0, monotonic_ms())) {
        begin_outage(r);
    }
}

static void link_silent(void *owner)
{
    struct redis_cache *r = owner;

    figures_store_state(FIGURES_STORE_REDIS, FIGURES_STORE_AWAY);
    strcpy(r->reason, "no answer within redis_timeout");
    outage_failure(&r->outage, 0, monotonic_ms());
}

static void link_answer(void *owner, void *which,
                        const struct redis_reply *reply)
{
    struct redis_cache *r = owner;
    struct question *q = which;
    int lives_on = 0;

    switch (q->kind) {
    case GET:
        answer_get(r, q, reply);
        break;
    case PUT:
        lives_on = answer_put(r, q, reply);
        break;
    case MARK:
        answer_mark(r, reply);
        break;
    default:
        break;
    }
    if (!lives_on) {
        free(q);
    }
}

static const struct redis_link_events link_events = {
    link_up,
    link_down,
    link_silent,
    link_answer,
};

/* ---- steps ---- */

/* how: what became of the keys. */
static void tell_keys(const struct redis_cache *r, const char *how)
{
    char name[SEAL_KEY_NAME];

    seal_keys_name(r->keys.keys, name);
    notice("seal_key_file %s: %zu key(s)%s; the one that seals is %s (first "
           "digits of its SHA-256)",
           r->s->seal_key_file, r->keys.keys->count, how, name);
}

static void check_key_file(struct redis_cache *r)
{
    char error[256];

    switch (seal_key_file_check(&r->keys, error, sizeof(error))) {
    case SEAL_KEYS_NEW:
        tell_keys(r, " taken over");
        r->missed = 1;
        break;
    case SEAL_KEYS_BAD:
        notice("seal_key_file %s: %s; the keys from before stay in use",
               r->s->seal_key_file, error);
        break;
    case SEAL_KEYS_SAME:
        break;
    }
}

static void step_clocks(struct redis_cache *r, int64_t now_ms)
{
    if (outage_tick(&r->outage, now_ms)) {
        begin_outage(r);
    }
    if (now_ms >= r->key_check_ms) {
        r->key_check_ms = now_ms + KEY_FILE_CHECK_MS;
        check_key_file(r);
    }
    write_unsealed(r, now_ms);
    if (redis_cache_usable(r) && now_ms >= r->mark_ms) {
        r->mark_ms = now_ms + MARK_MS;
        ask_mark(r, 0);
    }
}

struct pollfd redis_cache_poll(struct redis_cache *r)
{
    return redis_link_poll(r->link);
}

int64_t redis_cache_next_ms(const struct redis_cache *r)
{
    int64_t ms =
        monotonic_earlier(redis_link_next_ms(r->link), r->key_check_ms);

    ms = monotonic_earlier(ms, outage_next_ms(&r->outage));
    if (redis_cache_usable(r)) {
        ms = monotonic_earlier(ms, r->mark_ms);
    }
    return monotonic_earlier(ms, sweep_due_ms(r));
}

void redis_cache_step(struct redis_cache *r, int64_t now_ms)
{
    redis_link_step(r->link, now_ms);
    step_clocks(r, now_ms);
    step_sweep(r, now_ms);
}

/* ---- beginning ---- */

static int make_link(struct redis_cache *r)
{
    const struct redis_link_options o = {
        .server = r->s->redis,
        .password = r->s->redis_password.text,
        .database = r->s->redis_database,
        .timeout_ms = r->s->redis_timeout_ms,
        .events = &link_events,
        .owner = r,
    };

    r->link = redis_link_create(&o);
    return r->link ? 0 : -1;
}

struct redis_cache *redis_cache_create(const struct settings *s,
                                       struct user_cache *users,
                                       const struct redis_events *events,
                                       void *owner, char *error,
                                       size_t error_size)
{
    struct redis_cache *r = calloc(1, sizeof(*r));

    snprintf(error, error_size, "no memory");
    if (!r) {
        return NULL;
    }
    *r = (struct redis_cache){
        .s = s, .users = users, .events = events, .owner = owner};
    r->unsealed_line_ms = -UNSEALED_LINE_MS;
    strcpy(r->reason, "no connection yet");
    outage_begin(&r->outage, PATIENCE_MS, monotonic_ms() + FIRST_CONNECT_MS);
    /* Once in the life of a process: what was made stays when it fails. */
    if (make_link(r) != 0 || make_mark(r) != 0 ||
        seal_key_file_begin(&r->keys, s->seal_key_file, s->seal_keys.text,
                            s->seal_keys.len, error, error_size) != 0) {
        return NULL;
    }
    tell_keys(r, "");
    figures_store_state(FIGURES_STORE_REDIS, FIGURES_STORE_AWAY);
    return r;
}
