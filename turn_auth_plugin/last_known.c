/*
 * One value for each table, swapped whole under one lock; see last_known.h.
 */

#include "last_known.h"

#include "monotonic.h"

#include <pthread.h>
#include <stdlib.h>

struct last_known {
    pthread_mutex_t lock;
    pthread_cond_t round;
    unsigned tried; /* under lock, like the rest; bit t: table t */
    struct {
        struct rows *rows;
        int64_t read_ms;
    } tables[LAST_KNOWN_TABLES];
};

struct last_known *last_known_create(void)
{
    struct last_known *k = calloc(1, sizeof(*k));
    pthread_condattr_t monotonic;

    if (!k) {
        return NULL;
    }
    pthread_mutex_init(&k->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&k->round, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return k;
}

/* Both peer tables or none: one alone could open what the other closes. */
static void keep_peers_together(struct rows *rows[LAST_KNOWN_TABLES])
{
    if (!rows[LAST_KNOWN_ALLOWED_PEERS] || !rows[LAST_KNOWN_DENIED_PEERS]) {
        rows_release(rows[LAST_KNOWN_ALLOWED_PEERS]);
        rows_release(rows[LAST_KNOWN_DENIED_PEERS]);
        rows[LAST_KNOWN_ALLOWED_PEERS] = NULL;
        rows[LAST_KNOWN_DENIED_PEERS] = NULL;
    }
}

void last_known_round(struct last_known *k, unsigned tried,
                      struct rows *rows[LAST_KNOWN_TABLES], int64_t read_ms)
{
    struct rows *old;

    keep_peers_together(rows);
    pthread_mutex_lock(&k->lock);
    for (int t = 0; t < LAST_KNOWN_TABLES; t++) {
        if (rows[t]) {
            old = k->tables[t].rows;
            k->tables[t].rows = rows[t];
            k->tables[t].read_ms = read_ms;
            rows[t] = old;
        }
    }
    k->tried |= tried;
    pthread_cond_broadcast(&k->round);
    pthread_mutex_unlock(&k->lock);
    for (int t = 0; t < LAST_KNOWN_TABLES; t++) {
        rows_release(rows[t]);
        rows[t] = NULL;
    }
}

struct rows *last_known_get(struct last_known *k, enum last_known_table t,
                            int64_t *read_ms)
{
    struct rows *rows;

    pthread_mutex_lock(&k->lock);
    rows = k->tables[t].rows;
    *read_ms = k->tables[t].read_ms;
    if (rows) {
        rows_hold(rows);
    }
    pthread_mutex_unlock(&k->lock);
    return rows;
}

void last_known_wait(struct last_known *k, enum last_known_table t,
                     int64_t until_ms)
{
    struct timespec until = monotonic_timespec(until_ms);

    pthread_mutex_lock(&k->lock);
    while (!(k->tried & 1u << t) &&
           pthread_cond_timedwait(&k->round, &k->lock, &until) == 0) {
    }
    pthread_mutex_unlock(&k->lock);
}
