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

enum pending_source { PENDING_DATABASE, PENDING_REDIS };

/*
 * Waits for the answer, at most until until_ms (monotonic). 1: *r is VALID or
 * ABSENT, the answer or, where none came, what there is instead of it; *source
 * says from where. 0: neither. *l is gone afterwards.
 */
int pending_wait(struct pending *q, struct pending_look_up *l, int64_t until_ms,
                 struct user_record *r, enum pending_source *source);

/*
 * Asks in the background, and not at all while very many are under way.
 * Returns 1 when the store thread must be woken.
 */
int pending_ask_later(struct pending *q, const struct user_name *u);

/* ---- for the store thread ---- */

/* What is to be asked: Redis first, where there is one, then the database. */
enum pending_stage { PENDING_NEW, PENDING_FOR_DATABASE };

/* The next at this stage, which is asked now; or NULL. */
struct pending_look_up *pending_take(struct pending *q,
                                     enum pending_stage stage);
/* It was not asked, or what came was worth nothing: back to a stage. */
void pending_put_back(struct pending *q, struct pending_look_up *l,
                      enum pending_stage stage);
struct user_name pending_name(const struct pending_look_up *l);
/*
 * What user_cache_guard() said when it was asked; 0 at first. The store
 * thread's alone.
 */
void pending_set_guard(struct pending_look_up *l, uint64_t guard);
uint64_t pending_guard(const struct pending_look_up *l);
/* What to go by where no answer comes (from Redis, too old to be used else). */
void pending_set_instead(struct pending *q, struct pending_look_up *l,
                         const struct user_record *r);
/* The answer; state USER_UNKNOWN: there is none. *l is gone afterwards. */
void pending_finish(struct pending *q, struct pending_look_up *l,
                    const struct user_record *r, enum pending_source source);
/* What the database was asked was lost: it is to be asked again. */
void pending_send_again(struct pending *q);
/*
 * The database cannot be asked: who waits for it goes without its answer. What
 * it was asked stays until it is finished or lost, what is PENDING_NEW only if
 * keep_new is set.
 */
void pending_give_up(struct pending *q, int keep_new);
/* Somebody can be asked again: what was sent is worth waiting for. */
void pending_go_on(struct pending *q);

#endif
