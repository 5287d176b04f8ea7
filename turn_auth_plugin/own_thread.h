/*
 * The plugin's own threads in coturn's process: they take none of its signals,
 * which it expects in its own. Called by what has a thread.
 */

#ifndef OWN_THREAD_H
#define OWN_THREAD_H

#include <pthread.h>

/*
 * Starts run(arg). name, of at most 15 bytes, is what ps -T shows. Returns 0,
 * or -1 when there can be no further thread.
 */
int own_thread_start(pthread_t *thread, const char *name, void *(*run)(void *),
                     void *arg);

#endif
