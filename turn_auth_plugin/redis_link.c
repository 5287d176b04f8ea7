/*
 * hiredis without its event loop: its sockets, buffers and formatting, our
 * poll. See redis_link.h.
 */

#include "redis_link.h"

#include "asked.h"
#include "monotonic.h"
#include "redis_address.h"
#include "retry_pause.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define CONNECT_MS 1000
/* A connection that was silent gets so long to come to itself. */
#define GRACE_MS 1000
#define PROBE_PAUSE_MS 20

#define MOST_WAITING 4096
#define SLICE 16384 /* hiredis' */

#define CLOSED "the connection was closed"

/* What is asked. GREETING: AUTH, SELECT, which must succeed. */
enum { QUESTION, GREETING, PROBE };

struct redis_link {
    struct redis_link_options o;
    enum redis_link_state state;
    struct redis_address *address; /* NULL: a socket's path */
    redisContext *ctx;
    struct redis_reply reply; /* the one that the reader fills */
    int failed;               /* sending did; the next step sees to it */
    int64_t up_ms;            /* since when the connection is up; 0: never */
    int64_t since_ms;         /* when the present state began */
    struct retry_pause pause; /* DOWN */
    struct asked_queue asked;
};

struct redis_link *redis_link_create(const struct redis_link_options *o)
{
    struct redis_link *l = calloc(1, sizeof(*l));

    if (!l) {
        return NULL;
    }
    l->o = *o;
    if (strncmp(o->server, "unix:", 5) != 0) {
        l->address = redis_address_create(o->server);
        if (!l->address) {
            free(l);
            return NULL;
        }
    }
    return l;
}

enum redis_link_state redis_link_state(const struct redis_link *l)
{
    return l->state;
}

size_t redis_link_waiting(const struct redis_link *l)
{
    return l->asked.count;
}

void redis_link_set_timeout(struct redis_link *l, int64_t timeout_ms)
{
    l->o.timeout_ms = timeout_ms;
}

/* ---- going down ---- */

static void answer(struct redis_link *l, struct asked *a,
                   const struct redis_reply *reply)
{
    if (!a->answered && a->what == QUESTION) {
        a->answered = 1;
        l->o.events->answer(l->o.owner, a->which, reply);
    }
}

static void go_down(struct redis_link *l, const char *reason)
{
    char text[REDIS_REPLY_TEXT + 1];

    snprintf(text, sizeof(text), "%.*s", (int)strcspn(reason, "\r\n"), reason);
    l->state = REDIS_LINK_DOWN;
    if (l->ctx) {
        redisFree(l->ctx);
        l->ctx = NULL;
    }
    l->failed = 0;
    retry_pause_failed(&l->pause, l->up_ms, monotonic_ms());
    l->up_ms = 0;
    while (l->asked.first) {
        answer(l, l->asked.first, NULL);
        asked_drop(&l->asked);
    }
    l->o.events->down(l->o.owner, text);
}

static void go_down_with_error(struct redis_link *l)
{
    const char *text = l->ctx && l->ctx->err ? l->ctx->errstr : "";

    if (!*text || l->ctx->err == REDIS_ERR_EOF) {
        text = CLOSED;
    }
    go_down(l, text);
}

/* ---- asking ---- */

static int ask(struct redis_link *l, int what, void *which, int count,
               const char *const *words, const size_t *lengths)
{
    if (l->failed || redisAppendCommandArgv(l->ctx, count, (const char **)words,
                                            lengths) != REDIS_OK) {
        l->failed = 1;
        return -1;
    }
    if (asked_put(&l->asked, what, which, monotonic_ms()) != 0) {
        l->failed = 1; /* an answer would come that nobody knows */
        return -1;
    }
    return 0;
}

int redis_link_ask(struct redis_link *l, void *which, int count,
                   const char *const *words, const size_t *lengths)
{
    if (l->state != REDIS_LINK_UP || l->asked.count >= MOST_WAITING) {
        return -1;
    }
    return ask(l, QUESTION, which, count, words, lengths);
}

static void greet(struct redis_link *l)
{
    const char *password = l->o.password ? l->o.password : "";
    const char *space = strchr(password, ' ');
    size_t n = strlen(password),
           user_len = space ? (size_t)(space - password) : 0;
    const char *three[] = {"AUTH", password, space ? space + 1 : ""};
    const size_t three_len[] = {4, user_len, n - user_len - 1};
    const char *two[] = {"AUTH", password};
    const size_t two_len[] = {4, n};
    char number[24];
    const char *choose[] = {"SELECT", number};
    size_t choose_len[] = {6, 0};

    if (space) {
        ask(l, GREETING, NULL, 3, three, three_len);
    } else if (n) {
        ask(l, GREETING, NULL, 2, two, two_len);
    }
    if (l->o.database) {
        choose_len[1] = (size_t)snprintf(number, sizeof(number), "%lld",
                                         (long long)l->o.database);
        ask(l, GREETING, NULL, 2, choose, choose_len);
    }
}

static void probe(struct redis_link *l)
{
    const char *words[] = {"PING"};
    const size_t lengths[] = {4};

    ask(l, PROBE, NULL, 1, words, lengths);
}

/* ---- answers ---- */

static void prove(struct redis_link *l, const struct asked *a, int64_t now_ms)
{
    if (l->state != REDIS_LINK_PROVING ||
        now_ms - a->asked_ms > l->o.timeout_ms) {
        return;
    }
    l->state = REDIS_LINK_UP;
    if (!l->up_ms) {
        l->up_ms = now_ms;
    }
    l->o.events->up(l->o.owner);
}

/* 0, or -1: the link is down now. */
static int take_answer(struct redis_link *l, int64_t now_ms)
{
    struct asked *a = l->asked.first;

    if (!a) {
        go_down(l, "an answer came that nobody had asked for");
        return -1;
    }
    if (redis_reply_is_no_answer(&l->reply) ||
        (a->what != QUESTION && l->reply.type == REDIS_REPLY_ERROR)) {
        go_down(l, l->reply.text);
        return -1;
    }
    answer(l, a, &l->reply);
    if (a->what == PROBE) {
        prove(l, a, now_ms);
    }
    asked_drop(&l->asked);
    return 0;
}

static void take_answers(struct redis_link *l, int64_t now_ms)
{
    int got;

    while ((got = redis_reply_next(l->ctx->reader, &l->reply)) == 1) {
        if (take_answer(l, now_ms) != 0) {
            return;
        }
    }
    if (got < 0) {
        go_down(l, "what answers does not speak Redis' protocol");
    }
}

/* All that is here; hiredis reads a slice at a time. */
static void receive(struct redis_link *l, int64_t now_ms)
{
    size_t before, n;

    do {
        before = l->ctx->reader->len;
        if (redisBufferRead(l->ctx) != REDIS_OK) {
            go_down_with_error(l);
            return;
        }
        n = l->ctx->reader->len - before;
        take_answers(l, now_ms);
    } while (n >= SLICE && l->state != REDIS_LINK_DOWN);
}

static void transmit(struct redis_link *l)
{
    int done = 0;

    if (!l->failed && redisBufferWrite(l->ctx, &done) != REDIS_OK) {
        l->failed = 1;
    }
}

/* ---- silence ---- */

static int64_t silence_ends_ms(const struct redis_link *l)
{
    if (l->state == REDIS_LINK_UP) {
        return l->asked.first ? l->asked.first->asked_ms + l->o.timeout_ms
                              : INT64_MAX;
    }
    return l->since_ms + (l->asked.first ? GRACE_MS : PROBE_PAUSE_MS);
}

static void begin_silence(struct redis_link *l, int64_t now_ms)
{
    l->state = REDIS_LINK_PROVING;
    l->since_ms = now_ms;
    for (struct asked *a = l->asked.first; a; a = a->next) {
        answer(l, a, NULL);
    }
    l->o.events->silent(l->o.owner);
    probe(l);
}

static void end_silence(struct redis_link *l, int64_t now_ms)
{
    if (l->state == REDIS_LINK_UP) {
        begin_silence(l, now_ms);
    } else if (l->asked.first) {
        go_down(l, "no answer in time");
    } else {
        l->since_ms = now_ms;
        probe(l);
    }
}

/* ---- steps ---- */

static void begin_connecting(struct redis_link *l, int64_t now_ms)
{
    char address[REDIS_ADDRESS_TEXT];

    if (l->address) {
        redis_address_next(l->address, address);
        if (!address[0]) {
            go_down(l, "no address of its name is known");
            return;
        }
        l->ctx = redisConnectNonBlock(address, redis_address_port(l->address));
    } else {
        l->ctx = redisConnectUnixNonBlock(l->o.server + 5);
    }
    if (!l->ctx) {
        go_down(l, "out of memory");
        return;
    }
    if (l->ctx->err) {
        go_down_with_error(l);
        return;
    }
    fcntl(l->ctx->fd, F_SETFD, FD_CLOEXEC);
    redis_reply_into(l->ctx->reader, &l->reply);
    l->state = REDIS_LINK_CONNECTING;
    l->since_ms = now_ms;
}

static void step_connecting(struct redis_link *l, int64_t now_ms)
{
    struct pollfd p = {.fd = l->ctx->fd, .events = POLLOUT};
    int error = 0;
    socklen_t size = sizeof(error);

    if (poll(&p, 1, 0) <= 0) {
        if (now_ms >= l->since_ms + CONNECT_MS) {
            go_down(l, "no answer while connecting");
        }
        return;
    }
    if (getsockopt(p.fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
        error = errno;
    }
    if (error) {
        go_down(l, strerror(error));
        return;
    }
    l->state = REDIS_LINK_PROVING;
    l->since_ms = now_ms;
    greet(l);
    probe(l);
}

static void step_connected(struct redis_link *l, int64_t now_ms)
{
    receive(l, now_ms);
    if (l->state == REDIS_LINK_DOWN) {
        return;
    }
    transmit(l);
    if (l->failed) {
        go_down_with_error(l);
    } else if (now_ms >= silence_ends_ms(l)) {
        end_silence(l, now_ms);
    }
}

static int has_unsent(const struct redis_link *l)
{
    return l->ctx->obuf && sdslen(l->ctx->obuf) > 0;
}

struct pollfd redis_link_poll(struct redis_link *l)
{
    struct pollfd p = {.fd = -1, .events = POLLIN};

    if (l->state == REDIS_LINK_DOWN) {
        return p;
    }
    p.fd = l->ctx->fd;
    if (l->state == REDIS_LINK_CONNECTING) {
        p.events = POLLOUT;
        return p;
    }
    transmit(l);
    if (l->failed || has_unsent(l)) {
        p.events |= POLLOUT;
    }
    return p;
}

int64_t redis_link_next_ms(const struct redis_link *l)
{
    switch (l->state) {
    case REDIS_LINK_DOWN:
        return l->pause.until_ms;
    case REDIS_LINK_CONNECTING:
        return l->since_ms + CONNECT_MS;
    default:
        return l->failed ? 0 : silence_ends_ms(l);
    }
}

void redis_link_step(struct redis_link *l, int64_t now_ms)
{
    switch (l->state) {
    case REDIS_LINK_DOWN:
        if (now_ms >= l->pause.until_ms) {
            begin_connecting(l, now_ms);
        }
        break;
    case REDIS_LINK_CONNECTING:
        step_connecting(l, now_ms);
        break;
    default:
        step_connected(l, now_ms);
    }
}
