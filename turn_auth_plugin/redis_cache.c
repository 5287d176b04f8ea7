/*
 * One link to Redis, whether it is away, and its steps; see redis_cache.h.
 */

#include "redis_cache_inside.h"

#include "figures.h"
#include "monotonic.h"
#include "notice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Shorter than this, an absence of Redis is not worth a line. */
#define PATIENCE_MS 500
/* The first connection may take so much longer. */
#define FIRST_CONNECT_MS 1000

/* ---- what the owner knows ---- */

int redis_cache_usable(const struct redis_cache *r)
{
    return redis_link_state(r->link) == REDIS_LINK_UP;
}

void redis_cache_alone(struct redis_cache *r, int alone)
{
    int64_t ms = r->s->redis_timeout_ms;

    if (alone && ms < r->s->query_timeout_ms) {
        ms = r->s->query_timeout_ms;
    }
    redis_link_set_timeout(r->link, ms);
}

void redis_cache_confirmed(struct redis_cache *r, int64_t confirmed_ms)
{
    r->confirmed_ms = confirmed_ms;
}

void redis_cache_clock(struct redis_cache *r, int64_t ahead_ms)
{
    r->seals.ahead_ms = ahead_ms;
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
        redis_cache_answer_get(r, q, reply);
        break;
    case PUT:
        lives_on = redis_cache_answer_put(r, q, reply);
        break;
    case MARK:
        redis_cache_answer_mark(r, reply);
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

struct pollfd redis_cache_poll(struct redis_cache *r)
{
    return redis_link_poll(r->link);
}

int64_t redis_cache_next_ms(const struct redis_cache *r)
{
    int64_t ms = monotonic_earlier(redis_link_next_ms(r->link),
                                   outage_next_ms(&r->outage));

    ms = monotonic_earlier(ms, r->seals.key_check_ms);
    return monotonic_earlier(ms, redis_cache_sweep_next_ms(r));
}

void redis_cache_step(struct redis_cache *r, int64_t now_ms)
{
    redis_link_step(r->link, now_ms);
    if (outage_tick(&r->outage, now_ms)) {
        begin_outage(r);
    }
    if (now_ms >= r->seals.key_check_ms &&
        user_seals_check_keys(&r->seals, now_ms)) {
        r->missed = 1;
    }
    redis_cache_tell_unsealed(r, now_ms);
    redis_cache_sweep_step(r, now_ms);
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
    redis_cache_begin_refusals(r);
    strcpy(r->reason, "no connection yet");
    outage_begin(&r->outage, PATIENCE_MS, monotonic_ms() + FIRST_CONNECT_MS);
    /* Once in the life of a process: what was made stays when it fails. */
    if (make_link(r) != 0 || redis_cache_make_mark(r) != 0 ||
        user_seals_begin(&r->seals, s, error, error_size) != 0) {
        return NULL;
    }
    figures_store_state(FIGURES_STORE_REDIS, FIGURES_STORE_AWAY);
    return r;
}
