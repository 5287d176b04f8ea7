/*
 * Relaxed atomics; see figures.h. What auth workers count for each look-up is
 * spread over several copies, one for each few threads, so that they do not
 * fight for cache lines.
 */

#include "figures.h"

#include <stdatomic.h>
#include <string.h>

#define COPIES 16 /* a power of two */

const int64_t figures_bucket_us[FIGURES_BUCKETS] = {
    1,    2,     5,     10,     50,     100,     500,     1000,
    5000, 10000, 50000, 100000, 500000, 1000000, 5000000,
};

static struct copy {
    _Alignas(64) atomic_ullong look_ups[FIGURES_OUTCOMES][FIGURES_TIERS];
    atomic_ullong buckets[FIGURES_BUCKETS + 1];
    atomic_ullong look_up_us;
    atomic_ullong logins[FIGURES_LOGINS];
} copies[COPIES];

static struct {
    atomic_ullong counters[FIGURES_COUNTERS];
    atomic_int stores[FIGURES_STORES];
    atomic_ullong users, absent, bytes;
    atomic_int complete;
    atomic_int feed;
    atomic_llong confirmed_ms;
} states;

static void add(atomic_ullong *to, uint64_t n)
{
    atomic_fetch_add_explicit(to, n, memory_order_relaxed);
}

static uint64_t get(atomic_ullong *from)
{
    return atomic_load_explicit(from, memory_order_relaxed);
}

static struct copy *my_copy(void)
{
    static atomic_uint threads;
    static _Thread_local unsigned mine; /* 0: not yet taken */

    if (!mine) {
        mine = 1 + atomic_fetch_add(&threads, 1) % COPIES;
    }
    return &copies[mine - 1];
}

static size_t bucket_of(int64_t us)
{
    size_t i = 0;

    while (i < FIGURES_BUCKETS && us > figures_bucket_us[i]) {
        i++;
    }
    return i;
}

void figures_look_up(enum figures_outcome outcome, enum figures_tier tier,
                     int64_t microseconds)
{
    struct copy *c = my_copy();

    add(&c->look_ups[outcome][tier], 1);
    add(&c->buckets[bucket_of(microseconds)], 1);
    add(&c->look_up_us, microseconds > 0 ? (uint64_t)microseconds : 0);
}

void figures_login(enum figures_login outcome)
{
    add(&my_copy()->logins[outcome], 1);
}

void figures_count(enum figures_counter counter, uint64_t n)
{
    add(&states.counters[counter], n);
}

void figures_store_state(enum figures_store store,
                         enum figures_store_state state)
{
    atomic_store_explicit(&states.stores[store], (int)state,
                          memory_order_relaxed);
}

void figures_cache(size_t users, size_t absent, size_t bytes, int complete)
{
    atomic_store_explicit(&states.users, users, memory_order_relaxed);
    atomic_store_explicit(&states.absent, absent, memory_order_relaxed);
    atomic_store_explicit(&states.bytes, bytes, memory_order_relaxed);
    atomic_store_explicit(&states.complete, complete, memory_order_relaxed);
}

void figures_feed(enum figures_feed feed, int64_t confirmed_ms)
{
    atomic_store_explicit(&states.confirmed_ms, confirmed_ms,
                          memory_order_relaxed);
    atomic_store_explicit(&states.feed, (int)feed, memory_order_relaxed);
}

static void read_copy(struct figures *f, struct copy *c)
{
    for (int o = 0; o < FIGURES_OUTCOMES; o++) {
        for (int t = 0; t < FIGURES_TIERS; t++) {
            f->look_ups[o][t] += get(&c->look_ups[o][t]);
        }
    }
    for (int b = 0; b <= FIGURES_BUCKETS; b++) {
        f->buckets[b] += get(&c->buckets[b]);
    }
    f->look_up_us += get(&c->look_up_us);
    for (int i = 0; i < FIGURES_LOGINS; i++) {
        f->logins[i] += get(&c->logins[i]);
    }
}

void figures_read(struct figures *f)
{
    memset(f, 0, sizeof(*f));
    for (int i = 0; i < COPIES; i++) {
        read_copy(f, &copies[i]);
    }
    for (int i = 0; i < FIGURES_COUNTERS; i++) {
        f->counters[i] = get(&states.counters[i]);
    }
    for (int i = 0; i < FIGURES_STORES; i++) {
        f->stores[i] = (enum figures_store_state)atomic_load_explicit(
            &states.stores[i], memory_order_relaxed);
    }
    f->users = get(&states.users);
    f->absent = get(&states.absent);
    f->bytes = get(&states.bytes);
    f->complete = atomic_load_explicit(&states.complete, memory_order_relaxed);
    f->feed = (enum figures_feed)atomic_load_explicit(&states.feed,
                                                      memory_order_relaxed);
    f->confirmed_ms =
        atomic_load_explicit(&states.confirmed_ms, memory_order_relaxed);
}
