/*
 * One thread: it takes names from close_queue.c and closes their sessions
 * through cli_connection.c; see relay_closer.h.
 */

#include "relay_closer.h"

#include "cli_connection.h"
#include "close_queue.h"
#include "figures.h"
#include "monotonic.h"
#include "notice.h"
#include "own_thread.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* So many names wait at most; about 100 bytes each. */
#define MOST_NAMES 100000
/* An allocation that was being made when the user was revoked is there then. */
#define SECOND_LOOK_MS 200
/*
 * A name is given up when the CLI was away for so long: by then the user may
 * well have been let in again.
 */
#define GIVE_UP_MS 300000
/* A CLI that comes up while turnserver starts is not worth a line. */
#define GRACE_MS 4000
#define RETRY_SOON_MS 100
#define RETRY_MS 5000
/* The connection is kept for the next revocation. */
#define IDLE_MS 5000
/* A session that is cancelled may be listed for some moments more. */
#define CANCEL_AGAIN_MS 100
#define LIST_AGAIN_MS 5
/* Sessions to be cancelled in one round; what is more waits for the next. */
#define MOST_LISTED 1024
/* So many users at once get a line each, more one together. */
#define FEW 10

struct look {
    struct close_entry *entry;
    int all_known; /* a list that lacked none of the user's sessions has come */
    int closed;    /* sessions */
};

struct relay_closer {
    const struct settings *settings;
    pthread_t thread;
    int wake_fd;
    int stop_fd;
    atomic_int stopping;

    pthread_mutex_t lock; /* of all up to the blank line; no I/O under it */
    struct close_queue *queue;
    int full; /* it was, and a line says so */

    /* All below belongs to the thread. */
    struct cli_connection cli;
    int64_t used_ms;   /* when the connection was used last */
    int64_t failed_ms; /* since when it has been failing; 0: it is not */
    int64_t retry_ms;
    int told;                     /* a line said that it is away */
    struct look batch[CLI_BATCH]; /* looked at together */
    size_t batch_count;
    int few;          /* in this batch: each is worth a line */
    int closed_users; /* of this batch, and their sessions */
    int closed;
    struct cli_sessions list;
    uint64_t listed[MOST_LISTED]; /* of the batch, in this round */
    size_t listed_count;
    uint64_t cancelled[MOST_LISTED]; /* last */
    size_t cancelled_count;
    int64_t cancelled_ms;
};

/* ---- the CLI comes and goes ---- */

static void note_failure(struct relay_closer *r, int64_t now_ms)
{
    if (!r->failed_ms) {
        r->failed_ms = now_ms;
    }
    if (!r->told && now_ms - r->failed_ms >= GRACE_MS) {
        notice("coturn's CLI %s is away (%s); live relays of revoked users "
               "last until it is back, or for good after %d minutes",
               r->settings->cli, r->cli.error, GIVE_UP_MS / 60000);
        figures_store_state(FIGURES_CLI, FIGURES_STORE_AWAY);
        r->told = 1;
    }
    r->retry_ms = now_ms + (r->told ? RETRY_MS : RETRY_SOON_MS);
}

static void note_success(struct relay_closer *r, int64_t now_ms)
{
    if (r->told) {
        notice("coturn's CLI %s is back after %.1f s", r->settings->cli,
               (double)(now_ms - r->failed_ms) / 1e3);
    }
    figures_store_state(FIGURES_CLI, FIGURES_STORE_UP);
    r->told = 0;
    r->failed_ms = 0;
    r->used_ms = now_ms;
}

/* 0 when the CLI takes commands. */
static int get_connected(struct relay_closer *r)
{
    if (r->cli.fd >= 0) {
        return 0;
    }
    if (cli_connect(&r->cli, r->settings->cli, &r->settings->cli_password)) {
        note_failure(r, monotonic_ms());
        return -1;
    }
    note_success(r, monotonic_ms());
    return 0;
}

/* ---- a batch of users ---- */

static int cancelled_before(const struct relay_closer *r, uint64_t id)
{
    for (size_t i = 0; i < r->cancelled_count; i++) {
        if (r->cancelled[i] == id) {
            return 1;
        }
    }
    return 0;
}

/* Cancels what is listed; how many of it are new, or -1. */
static int cancel_listed(struct relay_closer *r)
{
    int again = monotonic_ms() - r->cancelled_ms >= CANCEL_AGAIN_MS;
    uint64_t ids[MOST_LISTED];
    size_t count = 0;
    int fresh = 0;

    for (size_t i = 0; i < r->listed_count; i++) {
        int before = cancelled_before(r, r->listed[i]);

        if (!before || again) {
            ids[count++] = r->listed[i];
        }
        fresh += !before;
    }
    if (cli_cancel(&r->cli, ids, count) != 0) {
        return -1;
    }
    if (count) {
        memcpy(r->cancelled, r->listed, r->listed_count * sizeof(ids[0]));
        r->cancelled_count = r->listed_count;
        r->cancelled_ms = monotonic_ms();
    }
    figures_count(FIGURES_RELAYS_CLOSED, (uint64_t)fresh);
    return fresh;
}

/*
 * Sessions of this name that the CLI does not print: it is set to print few
 * (cli-max-output-sessions), and those are of another realm.
 */
static int some_are_hidden(const struct cli_sessions *l)
{
    return l->count == 0 && l->total >= l->next;
}

static void note_hidden(const struct relay_closer *r)
{
    notice("coturn's CLI %s prints too few sessions of a revoked user "
           "(cli-max-output-sessions): some live relays may last",
           r->settings->cli);
    figures_count(FIGURES_REVOKED_UNENFORCED, 1);
}

static void give_back(struct relay_closer *r, struct close_entry *e, int done)
{
    pthread_mutex_lock(&r->lock);
    if (done) {
        close_queue_done(r->queue, e, monotonic_ms() + SECOND_LOOK_MS);
    } else {
        close_queue_give_back(r->queue, e);
    }
    pthread_mutex_unlock(&r->lock);
}

/* Sessions of the list join those to be cancelled; how many. */
static size_t add_listed(struct relay_closer *r, struct look *look)
{
    size_t before = r->listed_count;

    for (size_t i = 0; i < r->list.count && r->listed_count < MOST_LISTED;
         i++) {
        int known = cancelled_before(r, r->list.ids[i]);

        if (known || !look->all_known) {
            r->listed[r->listed_count++] = r->list.ids[i];
            look->closed += !known;
        }
    }
    return r->listed_count - before;
}

/* A user is through. */
static void note_closed(struct relay_closer *r, const struct look *look)
{
    const struct user_name *u = &look->entry->user;

    if (look->closed == 0) {
        return;
    }
    r->closed_users++;
    r->closed += look->closed;
    if (r->few) {
        notice("user \"%.*s\" in realm \"%.*s\" is revoked: live relays "
               "closed: %d",
               (int)u->name_len, u->name, (int)u->realm_len, u->realm,
               look->closed);
    }
}

/*
 * A user's list has come. The user is through when all sessions have been
 * listed once and none of them is left: what came since then is the second
 * look's, or a login with a new password, and those may never cease.
 */
static void take_list(struct relay_closer *r, struct look look)
{
    const struct cli_sessions *l = &r->list;
    size_t added = add_listed(r, &look);

    if (added == 0 && (look.all_known || l->count == 0)) {
        if (some_are_hidden(l)) {
            note_hidden(r);
        }
        note_closed(r, &look);
        give_back(r, look.entry, 1);
        return;
    }
    look.all_known |= added == l->count && l->total < l->next;
    r->batch[r->batch_count++] = look;
}

/* Lists all users of the batch; who is not through stays in it. */
static int list_batch(struct relay_closer *r)
{
    const struct user_name *users[CLI_BATCH];
    struct look batch[CLI_BATCH];
    size_t count = r->batch_count, sent;

    memcpy(batch, r->batch, count * sizeof(batch[0]));
    for (size_t i = 0; i < count; i++) {
        users[i] = &batch[i].entry->user;
    }
    r->listed_count = 0;
    r->batch_count = 0;
    for (size_t i = 0, read = 0; i < count; i += sent) {
        int failed;

        sent = count - i;
        failed = cli_ask(&r->cli, users + i, &sent);
        for (; !failed && read < i + sent; read++) {
            failed = cli_read_list(&r->cli, users[read], &r->list);
            if (!failed) {
                take_list(r, batch[read]);
            }
        }
        if (failed) {
            memcpy(r->batch + r->batch_count, batch + read,
                   (count - read) * sizeof(batch[0]));
            r->batch_count += count - read;
            return -1;
        }
    }
    return 0;
}

/* Until all of them are through. 0, or -1 when the CLI fails. */
static int close_sessions(struct relay_closer *r)
{
    struct pollfd stop = {.fd = r->stop_fd, .events = POLLIN};
    int fresh;

    r->cancelled_count = 0;
    r->cancelled_ms = 0;
    for (;;) {
        if (list_batch(r) != 0) {
            return -1;
        }
        if (r->batch_count == 0) {
            return 0;
        }
        fresh = cancel_listed(r);
        if (fresh < 0 || (fresh == 0 && poll(&stop, 1, LIST_AGAIN_MS) > 0)) {
            return -1;
        }
    }
}

static void look_at_batch(struct relay_closer *r)
{
    r->few = r->batch_count <= FEW;
    r->closed_users = 0;
    r->closed = 0;
    if (get_connected(r) == 0) {
        if (close_sessions(r) == 0) {
            note_success(r, monotonic_ms());
        } else {
            note_failure(r, monotonic_ms());
        }
    }
    if (!r->few && r->closed_users) {
        notice("%d users are revoked: live relays closed: %d", r->closed_users,
               r->closed);
    }
    while (r->batch_count > 0) {
        give_back(r, r->batch[--r->batch_count].entry, 0);
    }
}

/* ---- the queue ---- */

/* Whose turn it is: as many as one message holds. */
static size_t take_batch(struct relay_closer *r, int64_t now_ms)
{
    struct close_entry *e;
    size_t given_up;

    pthread_mutex_lock(&r->lock);
    given_up = close_queue_expire(r->queue, now_ms - GIVE_UP_MS);
    while (now_ms >= r->retry_ms && r->batch_count < CLI_BATCH &&
           (e = close_queue_take(r->queue, now_ms))) {
        r->batch[r->batch_count++] = (struct look){e, 0, 0};
    }
    pthread_mutex_unlock(&r->lock);
    figures_count(FIGURES_REVOKED_UNENFORCED, given_up);
    return r->batch_count;
}

/* ---- the thread ---- */

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t next_ms(struct relay_closer *r)
{
    int64_t next;

    pthread_mutex_lock(&r->lock);
    next = close_queue_next_ms(r->queue);
    pthread_mutex_unlock(&r->lock);
    next = next < INT64_MAX ? later(next, r->retry_ms) : next;
    if (r->cli.fd >= 0 && r->used_ms + IDLE_MS < next) {
        next = r->used_ms + IDLE_MS;
    }
    if (r->failed_ms && r->retry_ms < next) {
        next = r->retry_ms;
    }
    return next;
}

static void wait_for_something(struct relay_closer *r)
{
    struct pollfd p[2] = {{.fd = r->wake_fd, .events = POLLIN},
                          {.fd = r->stop_fd, .events = POLLIN}};
    int64_t left_ms = next_ms(r) - monotonic_ms();
    uint64_t wakes;

    left_ms = left_ms > 60000 ? 60000 : left_ms > 0 ? left_ms : 0;
    if (poll(p, 2, (int)left_ms) > 0 && p[0].revents &&
        read(r->wake_fd, &wakes, sizeof(wakes)) < 0) {
        return;
    }
}

/* Begins with a login, so that a wrong setting is found before it matters. */
static void *run(void *arg)
{
    struct relay_closer *r = arg;

    get_connected(r);
    while (!atomic_load(&r->stopping)) {
        int64_t now_ms = monotonic_ms();

        if (take_batch(r, now_ms) > 0) {
            look_at_batch(r);
        } else if (r->failed_ms && now_ms >= r->retry_ms) {
            get_connected(r);
        } else if (r->cli.fd >= 0 && now_ms >= r->used_ms + IDLE_MS) {
            cli_close(&r->cli);
        } else {
            wait_for_something(r);
        }
    }
    cli_close(&r->cli);
    return NULL;
}

static void destroy(struct relay_closer *r)
{
    close_queue_destroy(r->queue);
    close(r->wake_fd);
    close(r->stop_fd);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

struct relay_closer *relay_closer_start(const struct settings *s)
{
    struct relay_closer *r;

    if (!s->cli[0]) {
        notice("no cli is set: live relays of revoked users last until their "
               "clients end them");
        return NULL;
    }
    r = calloc(1, sizeof(*r));
    if (!r) {
        return NULL;
    }
    r->settings = s;
    pthread_mutex_init(&r->lock, NULL);
    r->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    r->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    r->queue = close_queue_create(MOST_NAMES);
    cli_connection_begin(&r->cli, r->stop_fd);
    if (r->wake_fd < 0 || r->stop_fd < 0 || !r->queue ||
        own_thread_start(&r->thread, "turn-auth-close", run, r)) {
        notice("no memory or no thread: live relays of revoked users last");
        destroy(r);
        return NULL;
    }
    return r;
}

static void wake(int fd)
{
    uint64_t one = 1;

    if (write(fd, &one, sizeof(one)) < 0) {
        return; /* it is awake already */
    }
}

void relay_closer_stop(struct relay_closer *r)
{
    if (r) {
        atomic_store(&r->stopping, 1);
        wake(r->stop_fd);
        pthread_join(r->thread, NULL);
    }
}

void relay_closer_close(struct relay_closer *r, const struct user_name *u)
{
    int failed, first_failure;

    figures_count(FIGURES_REVOKED_USERS, 1);
    if (!r || !cli_may_name(u)) {
        figures_count(FIGURES_REVOKED_UNENFORCED, 1);
        return;
    }
    pthread_mutex_lock(&r->lock);
    failed = close_queue_put(r->queue, u, monotonic_ms()) != 0;
    first_failure = failed && !r->full;
    if (failed) {
        r->full = 1;
    } else if (close_queue_count(r->queue) < MOST_NAMES / 2) {
        r->full = 0;
    }
    pthread_mutex_unlock(&r->lock);
    if (failed) {
        figures_count(FIGURES_REVOKED_UNENFORCED, 1);
    }
    if (first_failure) {
        notice("more than %d revoked users wait for coturn's CLI: live relays "
               "of further ones last",
               MOST_NAMES);
    }
    wake(r->wake_fd);
}
