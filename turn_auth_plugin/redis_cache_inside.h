/*
 * What the files of the cache in Redis share: redis_cache.c (the connection and
 * its steps), redis_cache_users.c (what is asked and answered of users),
 * redis_cache_sweep.c (what Redis lost comes back) and redis_cache_refusals.c
 * (what it refuses is said, once). Nobody else includes it; see redis_cache.h.
 */

#ifndef REDIS_CACHE_INSIDE_H
#define REDIS_CACHE_INSIDE_H

#include "redis_cache.h"

#include "outage.h"
#include "redis_commands.h"
#include "redis_link.h"
#include "redis_refusal.h"
#include "user_seals.h"

/* MARK, MARK_ANEW: redis_cache_sweep.c's. */
enum kind { GET, PUT, MARK, MARK_ANEW };

struct question {
    enum kind kind;
    int again;             /* PUT: over what did not open */
    enum redis_put how;    /* PUT */
    struct user_seal seal; /* PUT */
    void *which;           /* GET: the owner's */
    struct user_name user; /* GET, PUT; points into key */
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
    struct user_seals seals;
    int64_t confirmed_ms;
    int missed; /* something was not put: Redis is to be swept */

    /* redis_cache_sweep.c */
    char mark[SETTING_TEXT + 20];
    int64_t mark_ms; /* when it is renewed next; 0: at once */
    struct sweep sweep;

    /* redis_cache_refusals.c */
    struct redis_refusal gets;
    struct redis_refusal puts;
    int not_by_mark;   /* puts are refused, whatever the mark is */
    int64_t trial_ms;  /* when the next put is tried meanwhile */
    uint64_t unsealed; /* values that did not open, since the last line */
    int64_t unsealed_line_ms;
};

/* ---- redis_cache_users.c ---- */

/* Frees what could not be asked. */
int redis_cache_was_asked(struct question *q, int result);
void redis_cache_answer_get(struct redis_cache *r, struct question *q,
                            const struct redis_reply *reply);
/* Returns 1 when q was asked again and lives on. */
int redis_cache_answer_put(struct redis_cache *r, struct question *q,
                           const struct redis_reply *reply);

/* ---- redis_cache_sweep.c ---- */

/* Makes up the mark, a key that no user has. 0, or -1: no randomness. */
int redis_cache_make_mark(struct redis_cache *r);
void redis_cache_answer_mark(struct redis_cache *r,
                             const struct redis_reply *reply);
/* When it wants a step; INT64_MAX: not before Redis is usable. */
int64_t redis_cache_sweep_next_ms(const struct redis_cache *r);
void redis_cache_sweep_step(struct redis_cache *r, int64_t now_ms);

/* ---- redis_cache_refusals.c ---- */

void redis_cache_begin_refusals(struct redis_cache *r);
/* What became of a question about a user; error: what Redis said. */
void redis_cache_get_refused(struct redis_cache *r,
                             const struct redis_reply *error);
void redis_cache_get_granted(struct redis_cache *r);
/* by_mark: not a user's value, only the mark. */
void redis_cache_put_refused(struct redis_cache *r,
                             const struct redis_reply *error, int by_mark);
void redis_cache_put_granted(struct redis_cache *r, int by_mark);
/* While puts are refused one is tried now and then: a second from now. */
void redis_cache_plan_trial(struct redis_cache *r, int64_t now_ms);
void redis_cache_count_unsealed(struct redis_cache *r);
/* Time has passed: writes the line about them, which there is once a minute. */
void redis_cache_tell_unsealed(struct redis_cache *r, int64_t now_ms);

#endif
