/*
 * The cache of users: shards, each with a lock and two tables (users with a
 * key, absent names); see user_cache.h. Finding and storing are here, the rest
 * in the files that user_cache_inside.h names.
 */

#define _GNU_SOURCE
#include "user_cache_inside.h"

#include <stdlib.h>
#include <string.h>

#define USERS_PER_SHARD 2048
#define MAX_SHARDS 1024
#define FEWEST_ABSENT 64
/* Of users who gave way, too, the ends are waited for. */
#define FEWEST_EXPIRIES 65536

_Static_assert(USER_TABLE_KEY == USER_KEY_LEN, "one key");

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

void user_cache_locate(struct user_cache *c, const struct user_name *u, int add,
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
    w->place = (struct user_place){(uint32_t)w->hash | 1, number, u->name,
                                   u->name_len};
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

static int supersedes(enum source source, const struct user_slot *s,
                      const struct user_record *r)
{
    struct user_version v = version_of(s);

    if (source == SNAPSHOT && !s->given) {
        return 1;
    }
    if (source == FEED && is_known(r->version) && !is_known(v)) {
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
    if (source == SNAPSHOT || r->read_ms >= c->begin_ms) {
        s->given = 1;
    }
    memcpy(s->key, r->key, USER_KEY_LEN);
}

/* ---- storing; the shard's lock is held ---- */

static struct user_slot *add_valid(struct user_cache *c, const struct where *w,
                                   enum source source)
{
    struct user_slot *s = NULL;

    if (w->place.realm && user_cache_room_for_user(c, w->shard, source)) {
        s = user_table_add(&w->shard->valid, &w->place);
    }
    if (s) {
        atomic_fetch_add(&c->valid_count, 1);
        s->used_s = user_cache_was_pushed_out(c, w->hash) ? 1 : 0;
    }
    return s;
}

static struct user_slot *add_absent(struct user_cache *c, const struct where *w,
                                    const struct user_record *r)
{
    struct user_slot *s = NULL;

    if (w->place.realm && user_cache_room_for_absent(c, w->shard, r)) {
        s = user_table_add(&w->shard->absent, &w->place);
    }
    if (s) {
        atomic_fetch_add(&c->absent_count, 1);
    }
    return s;
}

/* Who logged in once and is not held: its relays end all the same. */
static void queue_unheld_end(struct user_cache *c, const struct user_name *u,
                             const struct user_record *r)
{
    if (r->valid_until_ms < USER_TABLE_MAX_MS) {
        expiry_queue_add(c->expiries, r->valid_until_ms, EXPIRY_ENDS, u);
    }
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
        user_cache_remove_absent(c, w->shard, absent);
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
        user_cache_remove_valid(c, w->shard, s);
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
    o->newer = !s || supersedes(source, s, r);
    if (!o->newer) {
        return;
    }
    if (!s && user_cache_revokes_pushed_out(c, w->hash, r)) {
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

enum user_stored user_cache_store_as(struct user_cache *c,
                                     const struct user_name *u,
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
    user_cache_locate(c, u, 1, &w);
    if (source != SNAPSHOT && r->state == USER_VALID && needs_room(c, &w)) {
        user_cache_begin_census(c);
    }
    pthread_mutex_lock(&w.shard->lock);
    store_in_shard(c, &w, source, now_ms, r, &o);
    pthread_mutex_unlock(&w.shard->lock);
    if (!o.newer) {
        return USER_NOT_STORED;
    }
    if (will_be && !o.held) {
        user_cache_begin_census(c);
    }
    if (will_be) {
        user_cache_add_to_census(c, w.hash);
    }
    if (r->state == USER_VALID && !o.held &&
        user_cache_was_pushed_out(c, w.hash)) {
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
    for (size_t i = 0; i < user_cache_shards(c); i++) {
        pthread_mutex_init(&c->shards[i].lock, &awake);
    }
    pthread_mutex_init(&c->census_lock, &awake);
    pthread_mutexattr_destroy(&awake);
}

static int make_parts(struct user_cache *c)
{
    size_t wanted = c->capacity / USERS_PER_SHARD;

    while (user_cache_shards(c) < wanted && user_cache_shards(c) < MAX_SHARDS) {
        c->shard_bits++;
    }
    c->shards = aligned_alloc(64, user_cache_shards(c) * sizeof(*c->shards));
    c->expiries = expiry_queue_create(
        c->capacity > FEWEST_EXPIRIES ? c->capacity : FEWEST_EXPIRIES);
    if (!c->shards || !c->expiries) {
        return 0;
    }
    memset(c->shards, 0, user_cache_shards(c) * sizeof(*c->shards));
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
    for (size_t i = 0; i < user_cache_shards(c); i++) {
        user_table_end(&c->shards[i].valid);
        user_table_end(&c->shards[i].absent);
        pthread_mutex_destroy(&c->shards[i].lock);
    }
    free(c->shards);
    expiry_queue_destroy(c->expiries);
    user_cache_end_censuses(c);
    pthread_mutex_destroy(&c->census_lock);
    free(c);
}

struct expiry_queue *user_cache_expiries(struct user_cache *c)
{
    return c->expiries;
}

/* ---- finding ---- */

static enum user_chance find(struct user_cache *c, const struct user_name *u,
                             uint32_t used_s, struct user_record *r)
{
    enum user_chance chance = USER_CHANCE_UNKNOWN;
    struct user_slot *s;
    struct where w;

    memset(r, 0, sizeof(*r));
    user_cache_locate(c, u, 0, &w);
    pthread_mutex_lock(&w.shard->lock);
    if (!w.place.realm) {
        user_cache_locate(c, u, 0, &w); /* its first user may just have come */
    }
    s = user_table_find(&w.shard->valid, &w.place);
    if (s) {
        read_slot(s, USER_VALID, r);
    } else if ((s = user_table_find(&w.shard->absent, &w.place))) {
        read_slot(s, USER_ABSENT, r);
    } else {
        chance = user_cache_chance(c, w.hash);
    }
    if (s && used_s && s->used_s != used_s) {
        s->used_s = used_s; /* not each time: a clean cache line is shared */
    }
    if (s && used_s && r->state == USER_VALID) {
        queue_end(c, s, u);
    }
    pthread_mutex_unlock(&w.shard->lock);
    return chance;
}

enum user_chance user_cache_find(struct user_cache *c,
                                 const struct user_name *u, int64_t now_ms,
                                 struct user_record *r)
{
    return find(c, u, seconds(now_ms), r);
}

enum user_chance user_cache_peek(struct user_cache *c,
                                 const struct user_name *u,
                                 struct user_record *r)
{
    return find(c, u, 0, r);
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

    user_cache_locate(c, u, 0, &w);
    return guard_of(c, w.hash);
}

enum user_stored user_cache_store(struct user_cache *c,
                                  const struct user_name *u, uint64_t guard,
                                  int64_t now_ms, const struct user_record *r)
{
    if (guard != user_cache_guard(c, u)) {
        return USER_GUARDED;
    }
    return user_cache_store_as(c, u, ANSWER, now_ms, r);
}

enum user_stored user_cache_change(struct user_cache *c,
                                   const struct user_name *u, int64_t now_ms,
                                   const struct user_record *r)
{
    struct where w;

    user_cache_locate(c, u, 0, &w);
    atomic_fetch_add(&c->guards[w.hash % GUARDS], 1);
    return user_cache_store_as(c, u, FEED, now_ms, r);
}

/* ---- one after the other ---- */

void user_cache_copy_name(struct user_cache *c, const struct user_slot *s,
                          char *buffer, struct user_name *u)
{
    const struct realm_entry *realm = realm_of(&c->realms, s->realm);
    char *name = buffer + realm->len + 1;

    memcpy(buffer, realm->name, realm->len + 1);
    memcpy(name, user_slot_name(s), s->name_len);
    name[s->name_len] = '\0';
    *u = (struct user_name){buffer, realm->len, name, s->name_len};
}

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
            user_cache_copy_name(c, s, buffer, u);
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

    for (; table < 2 * user_cache_shards(c); table++, slot = 0) {
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

size_t user_cache_bytes(struct user_cache *c)
{
    size_t n = sizeof(*c) + user_cache_shards(c) * sizeof(struct shard) +
               expiry_queue_bytes(c->expiries) + user_cache_census_bytes(c);

    for (size_t i = 0; i < user_cache_shards(c); i++) {
        pthread_mutex_lock(&c->shards[i].lock);
        n += user_table_bytes(&c->shards[i].valid) +
             user_table_bytes(&c->shards[i].absent);
        pthread_mutex_unlock(&c->shards[i].lock);
    }
    return n;
}
