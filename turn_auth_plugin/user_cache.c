/*
 * The cache of users: shards, each with a lock and two tables (users with a
 * key, absent names), and beside them what makes absence final; see
 * user_cache.h.
 */

#define _GNU_SOURCE
#include "user_cache.h"

#include "census.h"
#include "name_hash.h"
#include "realm_numbers.h"
#include "user_table.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define USERS_PER_SHARD 2048
#define MAX_SHARDS 1024
#define FEWEST_ABSENT 64
#define GUARDS 65536

_Static_assert(USER_TABLE_KEY == USER_KEY_LEN, "one key");

struct shard {
    _Alignas(64) pthread_mutex_t lock;
    struct user_table valid; /* under lock, like absent */
    struct user_table absent;
};

/* "The writer" is the store thread, which alone stores. */
struct user_cache {
    struct name_hash_key hash_key;
    struct realm_numbers realms; /* the writer adds */
    size_t capacity;
    size_t absent_capacity;
    atomic_size_t valid_count; /* the writer changes them */
    atomic_size_t absent_count;
    struct expiry_queue *expiries;

    atomic_int tracked;  /* a resync has ended, and no gap since */
    atomic_int complete; /* and nobody was left out */
    pthread_mutex_t census_lock;
    struct census *census;      /* under census_lock; NULL: all are held */
    struct census *next_census; /* the same, of the resync under way */
    struct census *pushed_out;  /* the same: who was logged in, with key */

    int resyncing; /* the writer's, like the rest up to resync */
    int left_out;  /* somebody was, in the resync under way */
    int64_t begin_ms;
    uint32_t resync; /* how many began */

    atomic_uint guard_of_all;
    atomic_uint guards[GUARDS];
    unsigned shard_bits;
    struct shard *shards;
};

/* Who says so: decides what counts as newer, and who gives way. */
enum source { ANSWER, FEED, SNAPSHOT };

/* A user name as the cache wants it. */
struct where {
    uint64_t hash;
    struct shard *shard;
    struct user_place place; /* its realm is 0 where it cannot be held */
    const struct user_name *u;
};

int user_version_compare(struct user_version a, struct user_version b)
{
    if (a.epoch != b.epoch) {
        return a.epoch < b.epoch ? -1 : 1;
    }
    return a.number < b.number ? -1 : a.number > b.number;
}

/* ---- where a name belongs ---- */

static struct shard *shard_of(struct user_cache *c, uint64_t hash)
{
    return &c->shards[c->shard_bits ? hash >> (64 - c->shard_bits) : 0];
}

static size_t shard_count(const struct user_cache *c)
{
    return (size_t)1 << c->shard_bits;
}

static void locate(struct user_cache *c, const struct user_name *u, int add,
                   struct where *w)
{
    uint64_t realm = name_hash(&c->hash_key, 0, u->realm, u->realm_len);
    unsigned number = 0;

    w->u = u;
    w->hash = name_hash(&c->hash_key, realm, u->name, u->name_len);
    w->shard = shard_of(c, w->hash);
    if (u->name_len <= USER_NAME_MAX) {
        number =
            (add ? realm_number_add(&c->realms, realm, u->realm, u->realm_len)
                 : realm_number(&c->realms, realm, u->realm, u->realm_len));
    }
    w->place =
        (struct user_place){(uint32_t)w->hash, number, u->name, u->name_len};
}

/* ---- slots and records ---- */

static int64_t fit_ms(int64_t ms, int64_t least_ms, int64_t most_ms)
{
    return ms < least_ms ? least_ms : ms > most_ms ? most_ms : ms;
}

static int64_t fit_read_ms(const struct user_record *r)
{
    return fit_ms(r->read_ms, -USER_TABLE_MAX_MS / 2, USER_TABLE_MAX_MS / 2);
}

static uint64_t until_ms(const struct user_record *r)
{
    if (r->state == USER_ABSENT && r->valid_until_ms <= 0) {
        return (uint64_t)USER_TABLE_MAX_MS;
    }
    return (uint64_t)fit_ms(r->valid_until_ms, 0, USER_TABLE_MAX_MS);
}

static int has_end(const struct user_slot *s)
{
    return s->valid_until_ms < (uint64_t)USER_TABLE_MAX_MS;
}

static struct user_version version_of(const struct user_slot *s)
{
    return (struct user_version){s->epoch, s->number};
}

static int is_known(struct user_version v)
{
    return v.epoch || v.number;
}

static uint32_t seconds(int64_t now_ms)
{
    return (uint32_t)(now_ms / 1000) + 1;
}

static void read_slot(const struct user_slot *s, enum user_state state,
                      struct user_record *r)
{
    r->state = state;
    r->read_ms = s->read_ms;
    r->valid_until_ms = has_end(s) ? (int64_t)s->valid_until_ms : USER_FOREVER;
    r->version = version_of(s);
    memcpy(r->key, s->key, USER_KEY_LEN);
}

static int supersedes(const struct user_cache *c, enum source source,
                      const struct user_slot *s, const struct user_record *r)
{
    struct user_version v = version_of(s);

    if (source == SNAPSHOT && s->resync != c->resync) {
        return 1;
    }
    if (is_known(v) && is_known(r->version) &&
        user_version_compare(v, r->version) != 0) {
        return user_version_compare(v, r->version) < 0;
    }
    return s->read_ms <= fit_read_ms(r);
}

/* The shard's lock is held, so that this is done once. */
static void queue_end(struct user_cache *c, struct user_slot *s,
                      const struct user_name *u)
{
    if (s->used_s && has_end(s) && !s->queued) {
        s->queued = expiry_queue_add(c->expiries, (int64_t)s->valid_until_ms,
                                     EXPIRY_ENDS, u) &
                    1;
    }
}

static void write_slot(struct user_cache *c, struct user_slot *s,
                       enum source source, const struct user_record *r)
{
    if (s->valid_until_ms != until_ms(r)) {
        s->queued = 0;
    }
    s->read_ms = fit_read_ms(r);
    s->valid_until_ms = until_ms(r);
    s->number = r->version.number;
    s->epoch = r->version.epoch;
    if (!c->resyncing || source == SNAPSHOT || r->read_ms >= c->begin_ms) {
        s->resync = c->resync;
    }
    memcpy(s->key, r->key, USER_KEY_LEN);
}

/* ---- who is not in memory: the censuses ---- */

/* Its hash with the key: tells whether somebody pushed out has a new one. */
static uint64_t hash_with_key(struct user_cache *c, uint64_t hash,
                              const uint8_t *key)
{
    return name_hash(&c->hash_key, ~hash, key, USER_KEY_LEN);
}

static uint64_t slot_hash(struct user_cache *c, const struct user_slot *s)
{
    return name_hash(&c->hash_key, realm_of(&c->realms, s->realm)->hash,
                     user_slot_name(s), s->name_len);
}

static void lose_census(struct user_cache *c)
{
    atomic_store(&c->complete, 0);
    atomic_store(&c->tracked, 0);
    c->left_out = 1;
    census_destroy(c->census);
    census_destroy(c->next_census);
    c->census = c->next_census = NULL;
}

static int count_table(struct user_cache *c, struct census *census,
                       const struct user_table *t, int all)
{
    int fits = 1;

    for (size_t i = 0; i < t->size && fits; i++) {
        const struct user_slot *s = &t->slots[i];

        if (s->realm && (all || has_end(s))) {
            fits = census_add(census, slot_hash(c, s));
        }
    }
    return fits;
}

/* All that are held; of the absent those that will be valid some day. */
static struct census *count_held(struct user_cache *c)
{
    struct census *census = census_create(2 * c->capacity);
    int fits = census != NULL;

    for (size_t i = 0; i < shard_count(c) && fits; i++) {
        struct shard *sh = &c->shards[i];

        pthread_mutex_lock(&sh->lock);
        fits = count_table(c, census, &sh->valid, 1) &&
               count_table(c, census, &sh->absent, 0);
        pthread_mutex_unlock(&sh->lock);
    }
    if (!fits) {
        census_destroy(census);
        return NULL;
    }
    return census;
}

/*
 * From now on not every user is held; the writer calls it before one gives way,
 * so that whoever is not found is in the census.
 */
static void begin_census(struct user_cache *c)
{
    struct census **place = c->resyncing ? &c->next_census : &c->census;
    struct census *census;

    if (!c->resyncing && !atomic_load(&c->tracked)) {
        return;
    }
    c->left_out = 1;
    if (!*place) {
        census = count_held(c);
        pthread_mutex_lock(&c->census_lock);
        *place = census;
        if (!census) {
            lose_census(c);
        }
        pthread_mutex_unlock(&c->census_lock);
    }
    atomic_store(&c->complete, 0);
}

/* This user exists, or will. */
static void add_to_census(struct user_cache *c, uint64_t hash)
{
    if (!c->census && !c->next_census) {
        return; /* the writer's to read: it alone sets them */
    }
    pthread_mutex_lock(&c->census_lock);
    if ((c->census && !census_add(c->census, hash)) ||
        (c->next_census && !census_add(c->next_census, hash))) {
        lose_census(c);
    }
    pthread_mutex_unlock(&c->census_lock);
}

static void note_pushed_out(struct user_cache *c, const struct user_slot *s)
{
    uint64_t hash = slot_hash(c, s);

    pthread_mutex_lock(&c->census_lock);
    if (!c->pushed_out) {
        c->pushed_out = census_create(c->capacity / 4);
    }
    if (c->pushed_out) {
        census_add(c->pushed_out, hash);
        census_add(c->pushed_out, hash_with_key(c, hash, s->key));
    }
    pthread_mutex_unlock(&c->census_lock);
}

static int was_pushed_out(struct user_cache *c, uint64_t hash)
{
    return c->pushed_out && census_has(c->pushed_out, hash);
}

/* Who logged in once and is not held: its relays end all the same. */
static void queue_unheld_end(struct user_cache *c, const struct user_name *u,
                             const struct user_record *r)
{
    if (r->valid_until_ms < USER_TABLE_MAX_MS) {
        expiry_queue_add(c->expiries, r->valid_until_ms, EXPIRY_ENDS, u);
    }
}

/* Somebody who is not remembered: logged in once, and with another key? */
static int revokes_pushed_out(struct user_cache *c, uint64_t hash,
                              const struct user_record *r)
{
    return was_pushed_out(c, hash) &&
           (r->state != USER_VALID ||
            !census_has(c->pushed_out, hash_with_key(c, hash, r->key)));
}

/* ---- who gives way; the shard's lock is held ---- */

static uint64_t rank_used(const struct user_slot *s, uint32_t resync)
{
    (void)resync;
    return s->used_s;
}

static uint64_t rank_unused(const struct user_slot *s, uint32_t resync)
{
    (void)resync;
    return s->used_s ? UINT64_MAX : 0;
}

static uint64_t rank_unused_not_given(const struct user_slot *s,
                                      uint32_t resync)
{
    return s->used_s || s->resync == resync ? UINT64_MAX : 0;
}

static uint64_t rank_never_were(const struct user_slot *s, uint32_t resync)
{
    (void)resync;
    return has_end(s) || is_known(version_of(s)) ? UINT64_MAX : s->used_s;
}

static uint64_t rank_absent(const struct user_slot *s, uint32_t resync)
{
    (void)resync;
    return has_end(s) ? UINT64_MAX
                      : (uint64_t)is_known(version_of(s)) << 32 | s->used_s;
}

static void remove_valid(struct user_cache *c, struct shard *sh,
                         struct user_slot *s)
{
    user_table_remove(&sh->valid, s);
    atomic_fetch_sub(&c->valid_count, 1);
}

static void remove_absent(struct user_cache *c, struct shard *sh,
                          struct user_slot *s)
{
    user_table_remove(&sh->absent, s);
    atomic_fetch_sub(&c->absent_count, 1);
}

/* A login finds room always; a shard without users may make it one too many. */
static int room_for_user(struct user_cache *c, struct shard *sh,
                         enum source source)
{
    struct user_slot *s;

    if (atomic_load(&c->valid_count) < c->capacity) {
        return 1;
    }
    s = user_table_least(&sh->valid,
                         source == ANSWER ? rank_used
                         : source == FEED ? rank_unused
                                          : rank_unused_not_given,
                         c->resync);
    if (!s) {
        return source == ANSWER;
    }
    if (s->used_s) {
        note_pushed_out(c, s);
    }
    remove_valid(c, sh, s);
    return 1;
}

static int room_for_absent(struct user_cache *c, struct shard *sh,
                           const struct user_record *r)
{
    int never_was = !is_known(r->version);
    struct user_slot *s;

    if (atomic_load(&c->absent_count) < c->absent_capacity) {
        return 1;
    }
    s = user_table_least(&sh->absent, never_was ? rank_never_were : rank_absent,
                         0);
    if (s) {
        remove_absent(c, sh, s);
    }
    return s || sh->absent.count == 0;
}

/* ---- storing; the shard's lock is held ---- */

static struct user_slot *add_valid(struct user_cache *c, const struct where *w,
                                   enum source source)
{
    struct user_slot *s = NULL;

    if (w->place.realm && room_for_user(c, w->shard, source)) {
        s = user_table_add(&w->shard->valid, &w->place);
    }
    if (s) {
        atomic_fetch_add(&c->valid_count, 1);
    }
    return s;
}

static struct user_slot *add_absent(struct user_cache *c, const struct where *w,
                                    const struct user_record *r)
{
    struct user_slot *s = NULL;

    if (w->place.realm && room_for_absent(c, w->shard, r)) {
        s = user_table_add(&w->shard->absent, &w->place);
    }
    if (s) {
        atomic_fetch_add(&c->absent_count, 1);
    }
    return s;
}

/* What was found and what became of it. */
struct outcome {
    int newer;   /* than what was there */
    int held;    /* it is remembered now */
    int revoked; /* who was logged in here has that key no more */
};

static void set_valid(struct user_cache *c, const struct where *w,
                      enum source source, int64_t now_ms,
                      const struct user_record *r, struct outcome *o)
{
    struct user_table *t = &w->shard->valid;
    struct user_slot *s = user_table_find(t, &w->place), *absent;

    if (s && memcmp(s->key, r->key, USER_KEY_LEN) != 0) {
        o->revoked = s->used_s != 0;
        s->used_s = 0;
    }
    if (!s) {
        s = add_valid(c, w, source);
    }
    absent = user_table_find(&w->shard->absent, &w->place);
    if (absent) {
        remove_absent(c, w->shard, absent);
    }
    o->held = s != NULL;
    if (s) {
        if (source == ANSWER) {
            s->used_s = seconds(now_ms);
        }
        write_slot(c, s, source, r);
        queue_end(c, s, w->u);
    }
}

static void set_absent(struct user_cache *c, const struct where *w,
                       enum source source, int64_t now_ms,
                       const struct user_record *r, struct outcome *o)
{
    struct user_slot *s = user_table_find(&w->shard->valid, &w->place);

    if (s) {
        o->revoked = s->used_s != 0;
        remove_valid(c, w->shard, s);
    }
    s = user_table_find(&w->shard->absent, &w->place);
    if (!s) {
        s = add_absent(c, w, r);
    }
    o->held = s != NULL;
    if (s) {
        s->used_s = source == SNAPSHOT ? 0 : seconds(now_ms);
        write_slot(c, s, source, r);
    }
}

static void store_in_shard(struct user_cache *c, const struct where *w,
                           enum source source, int64_t now_ms,
                           const struct user_record *r, struct outcome *o)
{
    struct user_slot *s = user_table_find(&w->shard->valid, &w->place);

    if (!s) {
        s = user_table_find(&w->shard->absent, &w->place);
    }
    o->newer = !s || supersedes(c, source, s, r);
    if (!o->newer) {
        return;
    }
    if (!s && revokes_pushed_out(c, w->hash, r)) {
        o->revoked = 1;
    }
    if (r->state == USER_VALID) {
        set_valid(c, w, source, now_ms, r, o);
    } else {
        set_absent(c, w, source, now_ms, r, o);
    }
}

/* Will somebody have to give way? */
static int needs_room(struct user_cache *c, const struct where *w)
{
    int held;

    if (atomic_load(&c->valid_count) < c->capacity) {
        return 0;
    }
    pthread_mutex_lock(&w->shard->lock);
    held = user_table_find(&w->shard->valid, &w->place) != NULL;
    pthread_mutex_unlock(&w->shard->lock);
    return !held;
}

static enum user_stored store(struct user_cache *c, const struct user_name *u,
                              enum source source, int64_t now_ms,
                              const struct user_record *r)
{
    int will_be =
        r->state == USER_VALID || until_ms(r) < (uint64_t)USER_TABLE_MAX_MS;
    struct outcome o = {0};
    struct where w;

    if (r->state == USER_UNKNOWN) {
        return USER_NOT_STORED;
    }
    locate(c, u, 1, &w);
    if (source != SNAPSHOT && r->state == USER_VALID && needs_room(c, &w)) {
        begin_census(c);
    }
    pthread_mutex_lock(&w.shard->lock);
    store_in_shard(c, &w, source, now_ms, r, &o);
    pthread_mutex_unlock(&w.shard->lock);
    if (!o.newer) {
        return USER_NOT_STORED;
    }
    if (will_be && !o.held) {
        begin_census(c);
    }
    if (will_be) {
        add_to_census(c, w.hash);
    }
    if (r->state == USER_VALID && !o.held && was_pushed_out(c, w.hash)) {
        queue_unheld_end(c, u, r);
    }
    /* Of a name that cannot be held, nobody knows who logged in. */
    if (o.revoked || (source == FEED && !w.place.realm)) {
        return USER_STORED_REVOKED;
    }
    return o.held ? USER_STORED : USER_NOT_STORED;
}

/* ---- making and ending ---- */

/* Held for less than a microsecond: worth a short wait awake. */
static void init_locks(struct user_cache *c)
{
    pthread_mutexattr_t awake;

    pthread_mutexattr_init(&awake);
    pthread_mutexattr_settype(&awake, PTHREAD_MUTEX_ADAPTIVE_NP);
    for (size_t i = 0; i < shard_count(c); i++) {
        pthread_mutex_init(&c->shards[i].lock, &awake);
    }
    pthread_mutex_init(&c->census_lock, &awake);
    pthread_mutexattr_destroy(&awake);
}

static int make_parts(struct user_cache *c)
{
    size_t wanted = c->capacity / USERS_PER_SHARD;

    while (shard_count(c) < wanted && shard_count(c) < MAX_SHARDS) {
        c->shard_bits++;
    }
    c->shards = aligned_alloc(64, shard_count(c) * sizeof(*c->shards));
    c->expiries = expiry_queue_create(c->capacity);
    if (!c->shards || !c->expiries) {
        return 0;
    }
    memset(c->shards, 0, shard_count(c) * sizeof(*c->shards));
    init_locks(c);
    return 1;
}

struct user_cache *user_cache_create(size_t capacity)
{
    struct user_cache *c = calloc(1, sizeof(*c));

    if (!c) {
        return NULL;
    }
    c->capacity = capacity;
    c->absent_capacity =
        capacity / 8 < FEWEST_ABSENT ? FEWEST_ABSENT : capacity / 8;
    name_hash_key(&c->hash_key);
    if (!make_parts(c)) {
        free(c->shards);
        expiry_queue_destroy(c->expiries);
        free(c);
        return NULL;
    }
    return c;
}

void user_cache_destroy(struct user_cache *c)
{
    for (size_t i = 0; i < shard_count(c); i++) {
        user_table_end(&c->shards[i].valid);
        user_table_end(&c->shards[i].absent);
        pthread_mutex_destroy(&c->shards[i].lock);
    }
    free(c->shards);
    expiry_queue_destroy(c->expiries);
    census_destroy(c->census);
    census_destroy(c->next_census);
    census_destroy(c->pushed_out);
    pthread_mutex_destroy(&c->census_lock);
    free(c);
}

struct expiry_queue *user_cache_expiries(struct user_cache *c)
{
    return c->expiries;
}

/* ---- finding ---- */

static void find(struct user_cache *c, const struct user_name *u,
                 uint32_t used_s, struct user_record *r)
{
    struct user_slot *s;
    struct where w;

    memset(r, 0, sizeof(*r));
    locate(c, u, 0, &w);
    if (!w.place.realm) {
        return;
    }
    pthread_mutex_lock(&w.shard->lock);
    s = user_table_find(&w.shard->valid, &w.place);
    if (s) {
        read_slot(s, USER_VALID, r);
    } else if ((s = user_table_find(&w.shard->absent, &w.place))) {
        read_slot(s, USER_ABSENT, r);
    }
    if (s && used_s && s->used_s != used_s) {
        s->used_s = used_s; /* not each time: a clean cache line is shared */
    }
    if (s && used_s && r->state == USER_VALID) {
        queue_end(c, s, u);
    }
    pthread_mutex_unlock(&w.shard->lock);
}

void user_cache_find(struct user_cache *c, const struct user_name *u,
                     int64_t now_ms, struct user_record *r)
{
    find(c, u, seconds(now_ms), r);
}

void user_cache_peek(struct user_cache *c, const struct user_name *u,
                     struct user_record *r)
{
    find(c, u, 0, r);
}

/* ---- storing ---- */

static uint64_t guard_of(struct user_cache *c, uint64_t hash)
{
    return (uint64_t)atomic_load(&c->guard_of_all) << 32 |
           atomic_load(&c->guards[hash % GUARDS]);
}

uint64_t user_cache_guard(struct user_cache *c, const struct user_name *u)
{
    struct where w;

    locate(c, u, 0, &w);
    return guard_of(c, w.hash);
}

enum user_stored user_cache_store(struct user_cache *c,
                                  const struct user_name *u, uint64_t guard,
                                  int64_t now_ms, const struct user_record *r)
{
    if (guard != user_cache_guard(c, u)) {
        return USER_GUARDED;
    }
    return store(c, u, ANSWER, now_ms, r);
}

enum user_stored user_cache_change(struct user_cache *c,
                                   const struct user_name *u, int64_t now_ms,
                                   const struct user_record *r)
{
    struct where w;

    locate(c, u, 0, &w);
    atomic_fetch_add(&c->guards[w.hash % GUARDS], 1);
    return store(c, u, FEED, now_ms, r);
}

/* ---- reading all users ---- */

static void drop_next_census(struct user_cache *c)
{
    pthread_mutex_lock(&c->census_lock);
    census_destroy(c->next_census);
    c->next_census = NULL;
    pthread_mutex_unlock(&c->census_lock);
}

void user_cache_begin_resync(struct user_cache *c, int64_t begin_ms)
{
    user_cache_lose_track(c);
    drop_next_census(c);
    atomic_fetch_add(&c->guard_of_all, 1);
    c->resyncing = 1;
    c->left_out = 0;
    c->begin_ms = begin_ms;
    c->resync++;
}

enum user_stored user_cache_resync(struct user_cache *c,
                                   const struct user_name *u,
                                   const struct user_record *r)
{
    return store(c, u, SNAPSHOT, r->read_ms, r);
}

/* Keeps the name of one who is to be swept, and was logged in. */
struct swept {
    struct user_name name;
    char bytes[USER_REALM_MAX + USER_NAME_MAX + 2];
};

static void copy_name(struct user_cache *c, const struct user_slot *s,
                      char *buffer, struct user_name *u)
{
    const struct realm_entry *realm = realm_of(&c->realms, s->realm);
    char *name = buffer + realm->len + 1;

    memcpy(buffer, realm->name, realm->len + 1);
    memcpy(name, user_slot_name(s), s->name_len);
    name[s->name_len] = '\0';
    *u = (struct user_name){buffer, realm->len, name, s->name_len};
}

/* From slot *i on, up to one that was logged in: then 1, and it is in *gone. */
static int sweep_valid(struct user_cache *c, struct shard *sh, size_t *i,
                       struct swept *gone)
{
    int found = 0;

    pthread_mutex_lock(&sh->lock);
    while (*i < sh->valid.size && !found) {
        struct user_slot *s = &sh->valid.slots[*i];

        if (!s->realm || s->resync == c->resync) {
            ++*i;
            continue;
        }
        if (s->used_s) {
            copy_name(c, s, gone->bytes, &gone->name);
            found = 1;
        }
        remove_valid(c, sh, s);
    }
    pthread_mutex_unlock(&sh->lock);
    return found;
}

static void sweep_absent(struct user_cache *c, struct shard *sh)
{
    size_t i = 0;

    pthread_mutex_lock(&sh->lock);
    while (i < sh->absent.size) {
        struct user_slot *s = &sh->absent.slots[i];

        if (!s->realm || s->resync == c->resync) {
            i++;
        } else {
            remove_absent(c, sh, s);
        }
    }
    pthread_mutex_unlock(&sh->lock);
}

static void sweep(struct user_cache *c,
                  void (*revoked)(void *owner, const struct user_name *u),
                  void *owner)
{
    struct swept gone;
    size_t slot;

    for (size_t i = 0; i < shard_count(c); i++) {
        slot = 0;
        while (sweep_valid(c, &c->shards[i], &slot, &gone)) {
            revoked(owner, &gone.name);
        }
        sweep_absent(c, &c->shards[i]);
    }
}

int user_cache_end_resync(struct user_cache *c,
                          void (*revoked)(void *owner,
                                          const struct user_name *u),
                          void *owner)
{
    sweep(c, revoked, owner);
    c->resyncing = 0;
    pthread_mutex_lock(&c->census_lock);
    census_destroy(c->census);
    c->census = c->next_census;
    c->next_census = NULL;
    pthread_mutex_unlock(&c->census_lock);
    atomic_store(&c->tracked, !c->left_out || c->census);
    atomic_store(&c->complete, !c->left_out);
    return !c->left_out;
}

void user_cache_break_resync(struct user_cache *c)
{
    c->resyncing = 0;
    drop_next_census(c);
}

/* ---- what is known of the others ---- */

int user_cache_complete(struct user_cache *c)
{
    return atomic_load(&c->complete);
}

enum user_chance user_cache_chance(struct user_cache *c,
                                   const struct user_name *u)
{
    int tracked = atomic_load(&c->tracked), known, counted;
    struct where w;

    if (tracked && atomic_load(&c->complete)) {
        return USER_CHANCE_NONE;
    }
    locate(c, u, 0, &w);
    pthread_mutex_lock(&c->census_lock);
    counted = c->census != NULL;
    known = counted && census_has(c->census, w.hash);
    pthread_mutex_unlock(&c->census_lock);
    if (known) {
        return USER_CHANCE_GOOD;
    }
    return tracked && counted ? USER_CHANCE_NONE : USER_CHANCE_UNKNOWN;
}

void user_cache_lose_track(struct user_cache *c)
{
    atomic_store(&c->complete, 0);
    atomic_store(&c->tracked, 0);
}

/* ---- one after the other ---- */

/* The next from *slot on that is to be told; 0: none is left in this table. */
static int next_in(struct user_cache *c, struct shard *sh,
                   enum user_state state, size_t *slot, char *buffer,
                   struct user_name *u, struct user_record *r)
{
    struct user_table *t = state == USER_VALID ? &sh->valid : &sh->absent;
    int found = 0;

    pthread_mutex_lock(&sh->lock);
    for (; *slot < t->size && !found; ++*slot) {
        struct user_slot *s = &t->slots[*slot];

        if (s->realm && (state == USER_VALID || is_known(version_of(s)))) {
            copy_name(c, s, buffer, u);
            read_slot(s, state, r);
            found = 1;
        }
    }
    pthread_mutex_unlock(&sh->lock);
    return found;
}

/* The cursor: the table (two for each shard) above, the slot below. */
int user_cache_next(struct user_cache *c, uint64_t *cursor, char *buffer,
                    struct user_name *u, struct user_record *r)
{
    uint64_t table = *cursor >> 32;
    size_t slot = (uint32_t)*cursor;

    for (; table < 2 * shard_count(c); table++, slot = 0) {
        if (next_in(c, &c->shards[table / 2],
                    table % 2 ? USER_ABSENT : USER_VALID, &slot, buffer, u,
                    r)) {
            *cursor = table << 32 | slot;
            return 1;
        }
    }
    *cursor = 0;
    return 0;
}

/* ---- figures ---- */

size_t user_cache_count(struct user_cache *c, enum user_state state)
{
    return atomic_load(state == USER_VALID ? &c->valid_count
                                           : &c->absent_count);
}

static size_t census_total(struct user_cache *c)
{
    size_t n = 0;

    pthread_mutex_lock(&c->census_lock);
    n += c->census ? census_bytes(c->census) : 0;
    n += c->next_census ? census_bytes(c->next_census) : 0;
    n += c->pushed_out ? census_bytes(c->pushed_out) : 0;
    pthread_mutex_unlock(&c->census_lock);
    return n;
}

size_t user_cache_bytes(struct user_cache *c)
{
    size_t n = sizeof(*c) + shard_count(c) * sizeof(struct shard) +
               expiry_queue_bytes(c->expiries) + census_total(c);

    for (size_t i = 0; i < shard_count(c); i++) {
        pthread_mutex_lock(&c->shards[i].lock);
        n += user_table_bytes(&c->shards[i].valid) +
             user_table_bytes(&c->shards[i].absent);
        pthread_mutex_unlock(&c->shards[i].lock);
    }
    return n;
}
