/*
 * Look-ups on their way to the database: at most one for each name, however
 * many auth workers wait for it. Workers join and wait (look_up.c); the store
 * thread takes, sends and finishes them (store.c).
 */

#ifndef PENDING_H
#define PENDING_H

#include "user_cache.h"

struct pending;

/* One look-up. Its name may be read by the store thread until it finishes. */
struct pending_look_up;

struct pending *pending_create(void);

/*
 * Asks for a name, or joins who asked already. *is_new: the store thread must
 * be woken. The caller must go on with pending_wait(). NULL: no memory.
 */
struct pending_look_up *pending_join(struct pending *q,
                                     const struct user_name *u, int *is_new);

/*
 * Waits for the answer, at most until until_ms (monotonic). 1: *r is VALID or
 * ABSENT; 0: too late, or nobody can be asked. *l is gone afterwards.
 */
int pending_wait(struct pending *q, struct pending_look_up *l, int64_t until_ms,
                 struct user_record *r);

/*
 * Asks in the background, and not at all while very many are under way.
 * Returns 1 when the store thread must be woken.
 */
int pending_ask_later(struct pending *q, const struct user_name *u);

/* ---- for the store thread ---- */

/* The next that was not sent yet, or NULL. */
struct pending_look_up *pending_take(struct pending *q);
struct user_name pending_name(const struct pending_look_up *l);
/*
 * What user_cache_guard() said when it was asked; 0 at first. The store
 * thread's alone.
 */
void pending_set_guard(struct pending_look_up *l, uint64_t guard);
uint64_t pending_guard(const struct pending_look_up *l);
/* The answer was worth nothing: it is to be asked again. */
void pending_ask_again(struct pending *q, struct pending_look_up *l);
/* The answer; state USER_UNKNOWN: there is none. *l is gone afterwards. */
void pending_finish(struct pending *q, struct pending_look_up *l,
                    const struct user_record *r);
/* What was sent was lost: it is to be sent again. */
void pending_send_again(struct pending *q);
/*
 * Nobody can be asked: all who wait go without an answer. What was sent stays
 * until it is finished or lost; the rest is forgotten.
 */
void pending_give_up(struct pending *q);
/* Somebody can be asked again: what was sent is worth waiting for. */
void pending_go_on(struct pending *q);

#endif
