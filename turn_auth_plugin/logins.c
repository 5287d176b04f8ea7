/*
 * A queue of failed logins and the thread that empties it; see logins.h.
 */

#include "logins.h"

#include "figures.h"
#include "login_faults.h"
#include "login_request.h"
#include "look_up_policy.h"
#include "monotonic.h"
#include "notice.h"
#include "own_thread.h"
#include "rest_user.h"
#include "secret_memory.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

/* More in one PAUSE_MS are counted, and not told. */
#define QUEUE 512
#define PAUSE_MS 1000
/* Requests that were counted last: one that comes twice counts once. */
#define RECENT 1024

struct failed {
    uint64_t transaction;
    enum figures_login outcome;
    key_handle_key key;
    int is_cut; /* the names are longer */
    size_t realm_len, name_len;
    char realm[USER_REALM_MAX], name[LOGIN_FAULT_TEXT];
};

static struct {
    atomic_int is_on;
    struct store *store;
    const struct user_keys *keys;
    pthread_t thread;

    pthread_mutex_t lock; /* of these */
    pthread_cond_t some;
    struct failed *queue;
    size_t count;

    /* All below belongs to the thread. */
    struct failed *batch;
    uint64_t recent[RECENT];
    struct login_faults faults;
} logins = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- in coturn's threads ---- */

static enum figures_login outcome_of(const key_handle_key key)
{
    switch (user_keys_decoy(logins.keys, key)) {
    case USER_KEYS_NOBODY:
        return FIGURES_LOGIN_UNKNOWN_NAME;
    case USER_KEYS_UNANSWERED:
        return FIGURES_LOGIN_UNANSWERED;
    default:
        return FIGURES_LOGIN_WRONG_PASSWORD;
    }
}

static size_t copy(char *to, size_t room, const char *from, size_t len)
{
    size_t n = len < room ? len : room;

    if (n) {
        memcpy(to, from, n);
    }
    return n;
}

static void fill(struct failed *f, const struct login_request *r,
                 const key_handle_key key, enum figures_login outcome)
{
    f->transaction = r->transaction;
    f->outcome = outcome;
    memcpy(f->key, key, sizeof(f->key));
    f->realm_len =
        copy(f->realm, sizeof(f->realm), r->who.realm, r->who.realm_len);
    f->name_len = copy(f->name, sizeof(f->name), r->who.name, r->who.name_len);
    f->is_cut =
        f->realm_len < r->who.realm_len || f->name_len < r->who.name_len;
}

static void put(const key_handle_key key, const uint8_t *message, size_t len)
{
    enum figures_login outcome = outcome_of(key);
    struct login_request r;
    int is_first, fits;

    login_request_parse(&r, message, len);
    pthread_mutex_lock(&logins.lock);
    is_first = logins.count == 0;
    fits = logins.count < QUEUE;
    if (fits) {
        fill(&logins.queue[logins.count++], &r, key, outcome);
    }
    pthread_mutex_unlock(&logins.lock);
    if (is_first) {
        pthread_cond_signal(&logins.some);
    }
    if (!fits) {
        figures_login(outcome);
    }
}

void logins_checked(const key_handle_key key, const uint8_t *message,
                    size_t len, int right)
{
    if (!login_request_is(message, len) ||
        !atomic_load_explicit(&logins.is_on, memory_order_acquire)) {
        return;
    }
    if (right) {
        figures_login(FIGURES_LOGIN_RIGHT);
    } else {
        put(key, message, len);
    }
}

/* ---- in our thread: one failed login ---- */

static int came_before(uint64_t transaction)
{
    uint64_t *recent = &logins.recent[transaction % RECENT];
    int same = *recent == transaction;

    *recent = transaction;
    return same;
}

static int64_t unix_ms(void)
{
    struct store_standing s;

    store_standing(logins.store, monotonic_ms(), &s);
    return s.unix_ms;
}

/*
 * coturn keeps the key of a session: it checks with that, and where that is
 * wrong, asks and checks again. So a failure with a key that the user does not
 * have any more says nothing; another follows if the password is wrong. Keys of
 * time-limited names are not remembered: they always count.
 */
static int had_old_key(const struct failed *f, const struct user_name *u)
{
    struct user_record r;
    int64_t until;
    int is_old;

    if (f->outcome != FIGURES_LOGIN_WRONG_PASSWORD || f->is_cut ||
        rest_user_parse(u->name, u->name_len, &until)) {
        return 0;
    }
    user_cache_peek(store_users(logins.store), u, &r);
    is_old =
        r.state == USER_ABSENT ||
        (r.state == USER_VALID && (!look_up_holds(&r, unix_ms()) ||
                                   memcmp(r.key, f->key, sizeof(f->key)) != 0));
    explicit_bzero(&r, sizeof(r));
    return is_old;
}

static const char *reason(enum login_fault fault, const char *name, size_t len)
{
    int64_t until;

    if (fault == LOGIN_WRONG_PASSWORD) {
        return "wrong password";
    }
    if (rest_user_parse(name, len, &until) && until < unix_ms() / 1000) {
        return "the time in this time-limited name has passed";
    }
    return "no such user, or it is disabled or expired";
}

#define HINT "compare with turn.check_user()"

static void say_first(enum login_fault fault, const struct user_name *u)
{
    notice("user \"%.*s\" in realm \"%.*s\": %s; " HINT, (int)u->name_len,
           u->name, (int)u->realm_len, u->realm,
           reason(fault, u->name, u->name_len));
}

static void say_again(const struct login_fault_entry *e)
{
    if (e->name_len) {
        notice("user \"%.*s\" in realm \"%.*s\": %s, %" PRIu64
               " times in the last minute; " HINT,
               (int)e->name_len, e->name, (int)e->realm_len, e->realm,
               reason(e->fault, e->name, e->name_len), e->count);
    } else {
        notice("%s: %" PRIu64 " times in the last minute",
               e->fault == LOGIN_WRONG_PASSWORD
                   ? "wrong passwords of further users"
                   : "further names that are no user's",
               e->count);
    }
}

static void take(const struct failed *f)
{
    const struct user_name u = {f->realm, f->realm_len, f->name, f->name_len};
    enum login_fault fault = f->outcome == FIGURES_LOGIN_WRONG_PASSWORD
                                 ? LOGIN_WRONG_PASSWORD
                                 : LOGIN_UNKNOWN_NAME;

    if (had_old_key(f, &u) || came_before(f->transaction)) {
        return;
    }
    figures_login(f->outcome);
    /* Of an outage, the log has a line already. */
    if (f->outcome != FIGURES_LOGIN_UNANSWERED &&
        login_faults_note(&logins.faults, fault, &u, monotonic_ms())) {
        say_first(fault, &u);
    }
}

/* ---- the thread ---- */

/* Waits for failed logins, or until a line is due; how many there are. */
static size_t wait(void)
{
    int64_t next_ms = login_faults_next_ms(&logins.faults);
    struct timespec next = monotonic_timespec(next_ms);
    struct failed *queue;
    size_t count;
    int is_over = 0;

    pthread_mutex_lock(&logins.lock);
    while (logins.count == 0 && !is_over) {
        is_over =
            next_ms == INT64_MAX
                ? pthread_cond_wait(&logins.some, &logins.lock)
                : pthread_cond_timedwait(&logins.some, &logins.lock, &next);
    }
    queue = logins.queue;
    count = logins.count;
    logins.queue = logins.batch;
    logins.count = 0;
    logins.batch = queue;
    pthread_mutex_unlock(&logins.lock);
    return count;
}

static void *run(void *arg)
{
    const struct timespec pause = {.tv_sec = PAUSE_MS / 1000};
    struct login_fault_entry told;

    (void)arg;
    for (;;) {
        size_t count = wait();

        for (size_t i = 0; i < count; i++) {
            take(&logins.batch[i]);
        }
        explicit_bzero(logins.batch, count * sizeof(*logins.batch));
        while (login_faults_due(&logins.faults, &told, monotonic_ms())) {
            say_again(&told);
        }
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static int start(void)
{
    pthread_condattr_t monotonic;

    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&logins.some, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return own_thread_start(&logins.thread, "turn-auth-login", run, NULL);
}

int logins_begin(struct store *st, const struct user_keys *keys)
{
    logins.store = st;
    logins.keys = keys;
    logins.queue = secret_memory_get(QUEUE * sizeof(*logins.queue));
    logins.batch = secret_memory_get(QUEUE * sizeof(*logins.batch));
    if (!logins.queue || !logins.batch || start() != 0) {
        return -1;
    }
    atomic_store(&logins.is_on, 1);
    return 0;
}
