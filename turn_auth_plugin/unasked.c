/*
 * A thread that sleeps once; see unasked.h.
 */

#define _GNU_SOURCE
#include "unasked.h"

#include "notice.h"
#include "own_thread.h"

#include <stdatomic.h>
#include <stddef.h>
#include <time.h>

static atomic_int over;

static void *wait_and_say(void *arg)
{
    struct timespec left = {.tv_sec = UNASKED_MS / 1000};

    (void)arg;
    while (nanosleep(&left, &left) != 0) {
    }
    if (!atomic_load(&over)) {
        notice("turnserver opened no connection to PostgreSQL: the plugin has "
               "nothing to do, and users come from elsewhere (SQLite, unless "
               "told otherwise); is psql-userdb missing in its configuration?");
    }
    return NULL;
}

static void start(void)
{
    pthread_t thread;

    if (!atomic_load(&over) &&
        own_thread_start(&thread, "turn-unasked", wait_and_say, NULL) == 0) {
        pthread_detach(thread);
    }
}

void unasked_begin(void)
{
    pthread_atfork(NULL, NULL, start);
    start();
}

void unasked_over(void)
{
    atomic_store(&over, 1);
}
