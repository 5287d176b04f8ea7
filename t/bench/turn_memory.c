/*
 * How long the plugin's memory takes to find a user, among so many, while two
 * auth workers look up and the store thread feeds 1,000 changes a second; and
 * what each user takes. Prints "NAME VALUE" lines. Called by turn-memory.bench.
 * Usage: turn_memory USERS
 */

#include "user_cache.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WORKERS 2
#define LOOK_UPS 2000000
#define BATCH 4096

struct worker {
    pthread_t thread;
    unsigned seed;
    uint32_t *took_ns;
};

static struct user_cache *cache;
static int users;
static atomic_int done;

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* 16 bytes each. */
static struct user_name numbered(int i, char *buffer)
{
    snprintf(buffer, 32, "user%012d", i);
    return (struct user_name){"octavio.com", 11, buffer, 16};
}

static struct user_record record_of(uint64_t number)
{
    return (struct user_record){.state = USER_VALID,
                                .read_ms = 1,
                                .valid_until_ms = USER_FOREVER,
                                .version = {1, number},
                                .key = {1}};
}

/* Names first, so that nothing but the clock is measured with a look-up. */
static void look_up_batch(struct worker *w, size_t first)
{
    static _Thread_local char buffers[BATCH][32];
    static _Thread_local struct user_name names[BATCH];
    struct user_record r;
    int64_t before, after;

    for (int i = 0; i < BATCH; i++) {
        names[i] = numbered(rand_r(&w->seed) % users, buffers[i]);
    }
    before = now_ns();
    for (int i = 0; i < BATCH; i++) {
        user_cache_find(cache, &names[i], 1000, &r);
        after = now_ns();
        w->took_ns[first + i] = (uint32_t)(after - before);
        before = after;
        if (r.state != USER_VALID) {
            abort();
        }
    }
}

static void *work(void *arg)
{
    for (size_t i = 0; i + BATCH <= LOOK_UPS; i += BATCH) {
        look_up_batch(arg, i);
    }
    return NULL;
}

static void *feed(void *arg)
{
    uint64_t number = 2;
    char buffer[32];
    unsigned seed = 1;

    (void)arg;
    while (!atomic_load(&done)) {
        for (int i = 0; i < 10; i++) {
            struct user_name u = numbered(rand_r(&seed) % users, buffer);
            struct user_record r = record_of(number++);

            user_cache_change(cache, &u, 1000, &r);
        }
        usleep(10000);
    }
    return NULL;
}

static void read_all(void)
{
    char buffer[32];

    user_cache_begin_resync(cache, 1);
    for (int i = 0; i < users; i++) {
        struct user_name u = numbered(i, buffer);
        struct user_record r = record_of(1);

        user_cache_resync(cache, &u, &r);
    }
    if (!user_cache_end_resync(cache, NULL, NULL)) {
        abort();
    }
}

static long resident_bytes(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    long all, resident = 0;

    if (!f || fscanf(f, "%ld %ld", &all, &resident) != 2) {
        abort();
    }
    fclose(f);
    return resident * sysconf(_SC_PAGESIZE);
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static void look_up_all(void)
{
    struct worker workers[WORKERS];
    uint32_t *took_ns = calloc(WORKERS * LOOK_UPS, sizeof(*took_ns));
    size_t n = 0;
    pthread_t feeder;

    pthread_create(&feeder, NULL, feed, NULL);
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i].seed = i + 1;
        workers[i].took_ns = took_ns + (size_t)i * LOOK_UPS;
        pthread_create(&workers[i].thread, NULL, work, &workers[i]);
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        pthread_join(workers[i].thread, NULL);
    }
    atomic_store(&done, 1);
    pthread_join(feeder, NULL);
    for (size_t i = 0; i < WORKERS * LOOK_UPS; i++) {
        if (took_ns[i]) {
            took_ns[n++] = took_ns[i];
        }
    }
    qsort(took_ns, n, sizeof(*took_ns), compare);
    printf("p50_ns %u\np99_ns %u\n", took_ns[n / 2], took_ns[n / 100 * 99]);
    free(took_ns);
}

int main(int argc, char **argv)
{
    long before = resident_bytes();

    users = argc > 1 ? atoi(argv[1]) : 1000000;
    cache = user_cache_create((size_t)users);
    read_all();
    printf("bytes %.1f\n", (double)(resident_bytes() - before) / users);
    look_up_all();
    user_cache_destroy(cache);
    return 0;
}
