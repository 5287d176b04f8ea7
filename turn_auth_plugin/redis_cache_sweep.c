/*
 * What Redis lost comes back: a mark shows that it did, and a sweep puts there
 * again all that memory holds; see redis_cache_inside.h.
 */

#include "redis_cache_inside.h"

#include "monotonic.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* ---- the mark ---- */

int redis_cache_make_mark(struct redis_cache *r)
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

static void ask_mark(struct redis_cache *r, int anew)
{
    struct redis_bytes key = {r->mark, strlen(r->mark)};
    struct question *q = calloc(1, sizeof(*q));

    if (q) {
        q->kind = anew ? MARK_ANEW : MARK;
        redis_cache_was_asked(
            q, redis_ask_mark(r->link, q, key, MARK_TTL_MS, anew));
    }
}

/* Also tells whether Redis takes values, where none are put for long. */
void redis_cache_answer_mark(struct redis_cache *r,
                             const struct redis_reply *reply)
{
    if (reply && reply->type == REDIS_REPLY_ERROR) {
        redis_cache_put_refused(r, reply, 1);
    } else if (reply) {
        redis_cache_put_granted(r, 1);
    }
    if (reply && reply->type == REDIS_REPLY_NIL) {
        r->missed = 1;
        ask_mark(r, 1);
    }
}

/* ---- the sweep ---- */

void redis_cache_sweep(struct redis_cache *r)
{
    int64_t now_ms = monotonic_ms();

    r->missed = 0;
    r->sweep = (struct sweep){1, 0, now_ms, now_ms};
}

static int64_t period_ms(const struct redis_cache *r)
{
    int64_t ms = user_seals_lifetime_ms(&r->seals) / SWEEPS_PER_STALE_TTL;

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
    if (!r->sweep.running) {
        redis_cache_sweep(r);
    }
    r->sweep.next_ms = now_ms + SWEEP_STEP_MS;
    redis_cache_plan_trial(r, now_ms);
    sweep_some(r, r->puts.holds ? 1 : SWEEP_STEP);
}

/* ---- steps ---- */

int64_t redis_cache_sweep_next_ms(const struct redis_cache *r)
{
    return redis_cache_usable(r)
               ? monotonic_earlier(r->mark_ms, sweep_due_ms(r))
               : INT64_MAX;
}

void redis_cache_sweep_step(struct redis_cache *r, int64_t now_ms)
{
    if (!redis_cache_usable(r)) {
        return;
    }
    if (now_ms >= r->mark_ms) {
        r->mark_ms = now_ms + MARK_MS;
        ask_mark(r, 0);
    }
    if (now_ms >= sweep_due_ms(r)) {
        step_sweep(r, now_ms);
    }
}
