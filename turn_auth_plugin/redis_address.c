/*
 * getaddrinfo() in a thread that waits until it is wanted; see redis_address.h.
 */

#include "redis_address.h"

#include "own_thread.h"

#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define MOST 8
#define REDIS_PORT 6379

struct redis_address {
    char host[256];
    int port;
    int has_thread; /* the store thread's */

    /* All below under lock. */
    pthread_mutex_t lock;
    pthread_cond_t asked;
    int wanted;
    size_t count;
    size_t at;
    char known[MOST][REDIS_ADDRESS_TEXT];
};

/* What there is of the host; flags: getaddrinfo's. 0: nothing. */
static size_t look_up(const char *host, int flags,
                      char found[MOST][REDIS_ADDRESS_TEXT])
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags};
    struct addrinfo *list, *i;
    size_t n = 0;

    if (getaddrinfo(host, NULL, &hints, &list) != 0) {
        return 0;
    }
    for (i = list; i && n < MOST; i = i->ai_next) {
        n += getnameinfo(i->ai_addr, i->ai_addrlen, found[n],
                         REDIS_ADDRESS_TEXT, NULL, 0, NI_NUMERICHOST) == 0;
    }
    freeaddrinfo(list);
    return n;
}

static void *run(void *arg)
{
    struct redis_address *a = arg;
    char found[MOST][REDIS_ADDRESS_TEXT];
    size_t n;

    for (;;) {
        pthread_mutex_lock(&a->lock);
        while (!a->wanted) {
            pthread_cond_wait(&a->asked, &a->lock);
        }
        a->wanted = 0;
        pthread_mutex_unlock(&a->lock);
        n = look_up(a->host, 0, found);
        if (n) {
            pthread_mutex_lock(&a->lock);
            memcpy(a->known, found, sizeof(found));
            a->count = n;
            pthread_mutex_unlock(&a->lock);
        }
    }
    return NULL;
}

static void split(struct redis_address *a, const char *server)
{
    const char *colon = strrchr(server, ':');
    size_t n = colon ? (size_t)(colon - server) : strlen(server);

    if (n > 1 && server[0] == '[' && server[n - 1] == ']') {
        server++;
        n -= 2;
    }
    snprintf(a->host, sizeof(a->host), "%.*s", (int)n, server);
    a->port = colon ? atoi(colon + 1) : REDIS_PORT;
}

struct redis_address *redis_address_create(const char *server)
{
    struct redis_address *a = calloc(1, sizeof(*a));

    if (a) {
        split(a, server);
        pthread_mutex_init(&a->lock, NULL);
        pthread_cond_init(&a->asked, NULL);
        a->count = look_up(a->host, AI_NUMERICHOST, a->known);
        a->has_thread = a->count > 0; /* none is needed */
    }
    return a;
}

int redis_address_port(const struct redis_address *a)
{
    return a->port;
}

static void start_thread(struct redis_address *a)
{
    pthread_t thread;

    if (!a->has_thread &&
        own_thread_start(&thread, "turn-auth-names", run, a) == 0) {
        pthread_detach(thread);
        a->has_thread = 1;
    }
}

void redis_address_next(struct redis_address *a, char text[REDIS_ADDRESS_TEXT])
{
    start_thread(a);
    pthread_mutex_lock(&a->lock);
    a->wanted = 1;
    pthread_cond_signal(&a->asked);
    text[0] = '\0';
    if (a->count) {
        memcpy(text, a->known[a->at++ % a->count], REDIS_ADDRESS_TEXT);
    }
    pthread_mutex_unlock(&a->lock);
}
