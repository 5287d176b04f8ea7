/*
 * Threads inherit who takes which signals; see own_thread.h.
 */

#define _GNU_SOURCE
#include "own_thread.h"

#include <signal.h>

int own_thread_start(pthread_t *thread, const char *name, void *(*run)(void *),
                     void *arg)
{
    sigset_t all, before;
    int failed;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(thread, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        return -1;
    }
    pthread_setname_np(*thread, name);
    return 0;
}
