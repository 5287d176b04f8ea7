/*
 * What Redis refuses, or holds and is of no use, in lines of the log that
 * nobody can make many; see redis_cache_inside.h.
 */

#include "redis_cache_inside.h"

#include "figures.h"
#include "monotonic.h"
#include "notice.h"

#include <stdio.h>

#define TRIAL_MS 1000
#define UNSEALED_LINE_MS 60000

void redis_cache_begin_refusals(struct redis_cache *r)
{
    r->unsealed_line_ms = -UNSEALED_LINE_MS;
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

void redis_cache_get_refused(struct redis_cache *r,
                             const struct redis_reply *error)
{
    char text[SETTING_TEXT + 80];

    if (redis_refusal_refused(&r->gets, monotonic_ms())) {
        notice("Redis %s does not tell users (%s)%s; PostgreSQL is asked",
               r->s->redis, error->text,
               expected(r, error, text, sizeof(text)));
    }
}

void redis_cache_get_granted(struct redis_cache *r)
{
    if (redis_refusal_granted(&r->gets, monotonic_ms())) {
        notice("Redis %s tells users again", r->s->redis);
    }
}

void redis_cache_plan_trial(struct redis_cache *r, int64_t now_ms)
{
    r->trial_ms = now_ms + TRIAL_MS;
}

void redis_cache_put_refused(struct redis_cache *r,
                             const struct redis_reply *error, int by_mark)
{
    int64_t now_ms = monotonic_ms();
    char text[SETTING_TEXT + 80];

    r->missed = 1;
    r->not_by_mark |= !by_mark;
    if (redis_refusal_refused(&r->puts, now_ms)) {
        redis_cache_plan_trial(r, now_ms);
        notice("Redis %s takes no values (%s)%s; what it holds is still read",
               r->s->redis, error->text,
               expected(r, error, text, sizeof(text)));
    }
}

/* A mark is less than a value: that it is taken says nothing of those. */
void redis_cache_put_granted(struct redis_cache *r, int by_mark)
{
    if (by_mark && r->not_by_mark) {
        return;
    }
    if (redis_refusal_granted(&r->puts, monotonic_ms())) {
        notice("Redis %s takes values again", r->s->redis);
        r->not_by_mark = 0;
        redis_cache_sweep(r);
    }
}

void redis_cache_count_unsealed(struct redis_cache *r)
{
    r->unsealed++;
    figures_count(FIGURES_REDIS_UNSEALED, 1);
}

void redis_cache_tell_unsealed(struct redis_cache *r, int64_t now_ms)
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
