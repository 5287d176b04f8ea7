/*
 * The functions of libpq that coturn calls, in front of libpq's own: this
 * library is preloaded into turnserver. coturn's connections become handles of
 * ours; its statements are answered from memory (look_up.c, last_known.c) or
 * passed through. Connections that are not ours go to libpq untouched.
 */

#define _GNU_SOURCE
#include "answer.h"
#include "coturn_program.h"
#include "logins.h"
#include "look_up.h"
#include "message_integrity.h"
#include "monotonic.h"
#include "notice.h"
#include "pass_through.h"
#include "settings_file.h"
#include "statement.h"
#include "unasked.h"
#include "user_keys.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

/* No address: the first word of a PGconn is a pointer or zero. */
#define HANDLE_MARK 0xed9ec0de7b12a5f1u

/*
 * An open handle waits for one message that has been received already; a
 * decided one for as long as its relay lives (6,000 fit the largest edge).
 */
#define OPEN_HANDLES 16384
#define DECIDED_HANDLES 65536

/* What PQconnectdb gives coturn. Used by one thread at a time, like a PGconn */
struct handle {
    uint64_t mark;
    char *conninfo;
    struct pass_through other; /* for statements that are not ours */
};

static struct {
    PGconn *(*PQconnectdb)(const char *);
    ConnStatusType (*PQstatus)(const PGconn *);
    void (*PQfinish)(PGconn *);
    char *(*PQerrorMessage)(const PGconn *);
    PGresult *(*PQexec)(PGconn *, const char *);
    PGresult *(*PQexecParams)(PGconn *, const char *, int, const Oid *,
                              const char *const *, const int *, const int *,
                              int);
    void (*PQclear)(PGresult *);
} libpq;

static enum coturn_program program;
static int program_calls_hmac;
static struct settings settings;

/* Begun by the first statement that is ours: coturn forks before that. */
static struct {
    pthread_mutex_t lock;
    int begun;
    char *conninfo;
    struct store *store;
    struct look_up look_up;
    struct user_keys keys;
} ours = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- what the tables answer ---- */

static const struct {
    int table; /* -1: none */
    unsigned columns;
    const char *names[5];
    unsigned filter_column; /* compared with the statement's first value */
    int has_filter;
    int admits; /* lets users in: stale_ttl holds for it */
} standing[STATEMENT_KINDS] = {
    [STATEMENT_OTHER] = {.table = -1},
    [STATEMENT_USER_KEY] = {.table = -1, .columns = 1, .names = {"hmackey"}},
    [STATEMENT_PING] = {.table = -1, .columns = 1, .names = {"value"}},
    [STATEMENT_REALM_SECRETS] = {LAST_KNOWN_SECRETS, 1, {"value"}, 0, 0, 1},
    [STATEMENT_OAUTH_KEY] = {LAST_KNOWN_OAUTH_KEYS,
                             5,
                             {"ikm_key", "timestamp", "lifetime", "as_rs_alg",
                              "realm"},
                             5,
                             1,
                             1},
    [STATEMENT_ORIGINS] = {LAST_KNOWN_ORIGINS, 2, {"origin", "realm"}, 0, 0, 0},
    [STATEMENT_REALM_OPTIONS] =
        {LAST_KNOWN_REALM_OPTIONS, 3, {"realm", "opt", "value"}, 0, 0, 0},
    [STATEMENT_ALLOWED_PEERS] =
        {LAST_KNOWN_ALLOWED_PEERS, 2, {"ip_range", "realm"}, 0, 0, 0},
    [STATEMENT_DENIED_PEERS] =
        {LAST_KNOWN_DENIED_PEERS, 2, {"ip_range", "realm"}, 0, 0, 0},
};

/* ---- beginning ---- */

static void find_libpq(void)
{
    *(void **)&libpq.PQconnectdb = dlsym(RTLD_NEXT, "PQconnectdb");
    *(void **)&libpq.PQstatus = dlsym(RTLD_NEXT, "PQstatus");
    *(void **)&libpq.PQfinish = dlsym(RTLD_NEXT, "PQfinish");
    *(void **)&libpq.PQerrorMessage = dlsym(RTLD_NEXT, "PQerrorMessage");
    *(void **)&libpq.PQexec = dlsym(RTLD_NEXT, "PQexec");
    *(void **)&libpq.PQexecParams = dlsym(RTLD_NEXT, "PQexecParams");
    *(void **)&libpq.PQclear = dlsym(RTLD_NEXT, "PQclear");
}

static void begin_turnserver(void)
{
    const char *file = settings_file_name();
    int is_there;
    char error[512];

    if (settings_file_read(&settings, &is_there, error, sizeof(error)) != 0) {
        fprintf(stderr, "turn_auth_plugin: %s\n", error);
        _exit(1);
    }
    notice(is_there ? "settings of %s" : "no %s: the defaults hold", file);
    unasked_begin();
}

__attribute__((constructor)) static void begin(void)
{
    const char *unknown;

    find_libpq();
    program = coturn_program(&unknown, &program_calls_hmac);
    if (unknown && strstr(program_invocation_name, "turnserver")) {
        notice("this turnserver uses %s, which the plugin does not know: "
               "it goes on without the plugin",
               unknown);
    }
    if (program == PROGRAM_TURNSERVER) {
        begin_turnserver();
    }
}

static void begin_logins(void)
{
    if (logins_begin(ours.store, &ours.keys) != 0) {
        notice("no memory or no thread: logins are not counted");
    }
}

static void begin_keys(void)
{
    struct key_handles *handles = NULL;

    if (program_calls_hmac) {
        handles = key_handles_create(OPEN_HANDLES, DECIDED_HANDLES);
    }
    if (!user_keys_begin(&ours.keys, &ours.look_up, handles)) {
        notice("no random bytes: turnserver cannot go on");
        _exit(1);
    }
    if (handles) {
        begin_logins();
        message_integrity_begin(handles, logins_checked);
    }
}

static void begin_store(const char *conninfo)
{
    ours.begun = 1;
    ours.conninfo = strdup(conninfo);
    ours.store = ours.conninfo ? store_start(conninfo, &settings) : NULL;
    if (!ours.store) {
        /* coturn alone would open all peers in the next outage. */
        notice("no memory or no thread: turnserver cannot go on");
        _exit(1);
    }
    look_up_begin(&ours.look_up, ours.store, &settings);
    begin_keys();
}

/*
 * The store for this connection. Statements of a connection to some other
 * database (coturn has one only) are not ours. NULL: pass through.
 */
static struct store *store_for(const struct handle *h)
{
    struct store *st;

    if (program != PROGRAM_TURNSERVER) {
        return NULL;
    }
    pthread_mutex_lock(&ours.lock);
    if (!ours.begun) {
        begin_store(h->conninfo);
    }
    st = strcmp(ours.conninfo, h->conninfo) == 0 ? ours.store : NULL;
    pthread_mutex_unlock(&ours.lock);
    return st;
}

/* ---- answering ---- */

static int too_old(enum statement_kind kind, int64_t read_ms)
{
    int64_t age_ms = monotonic_ms() - read_ms;

    return standing[kind].admits && age_ms >= settings.stale_ttl_ms &&
           age_ms >= settings.fresh_ttl_ms;
}

/* Unix time, by the database's clock. */
static int64_t unix_ms(struct store *st)
{
    struct store_standing s;

    store_standing(st, monotonic_ms(), &s);
    return s.unix_ms;
}

/* NULL: none is known, or what is known is too old to let anybody in. */
static struct rows *secrets_now(struct store *st)
{
    int64_t read_ms;
    struct rows *rows = store_table(st, LAST_KNOWN_SECRETS, &read_ms);

    if (rows && too_old(STATEMENT_REALM_SECRETS, read_ms)) {
        rows_release(rows);
        return NULL;
    }
    return rows;
}

static PGresult *answer_user(struct store *st, const struct statement *s)
{
    const struct user_name u = {s->values[1].p, s->values[1].len,
                                s->values[0].p, s->values[0].len};
    int64_t now_ms = unix_ms(st);
    struct rows *secrets =
        user_keys_wants_secrets(&u, now_ms) ? secrets_now(st) : NULL;
    uint8_t key[KEY_HANDLE_LEN];
    PGresult *res;

    user_keys_get(&ours.keys, &u, secrets, now_ms, key);
    rows_release(secrets);
    res = answer_key(key);
    explicit_bzero(key, sizeof(key));
    return res;
}

/* What was never read: no peer at all, and an error for everything else. */
static PGresult *answer_never_read(enum statement_kind kind)
{
    if (kind == STATEMENT_DENIED_PEERS) {
        return answer_every_peer();
    }
    if (kind == STATEMENT_ALLOWED_PEERS) {
        return answer_nothing(2, standing[kind].names);
    }
    return PQmakeEmptyPGresult(NULL, PGRES_FATAL_ERROR);
}

static PGresult *answer_known(struct store *st, const struct statement *s,
                              const struct rows *rows)
{
    if (s->kind == STATEMENT_REALM_SECRETS) {
        return answer_secrets(rows, s->values[0].p, s->values[0].len,
                              unix_ms(st));
    }
    return answer_rows(standing[s->kind].columns, standing[s->kind].names, rows,
                       standing[s->kind].filter_column,
                       standing[s->kind].has_filter ? s->values[0].p : NULL,
                       s->values[0].len);
}

static PGresult *answer_standing(struct store *st, const struct statement *s)
{
    int64_t read_ms;
    struct rows *rows = store_table(
        st, (enum last_known_table)standing[s->kind].table, &read_ms);
    PGresult *res = rows && !too_old(s->kind, read_ms)
                        ? answer_known(st, s, rows)
                        : answer_never_read(s->kind);

    rows_release(rows);
    return res;
}

static PGresult *pass_on(struct handle *h,
                         const struct pass_through_statement *as_it_is)
{
    PGresult *res = pass_through(&h->other, h->conninfo, as_it_is);

    /* turnadmin says nothing where it gets no result, and exits with 0. */
    if (!res && program == PROGRAM_TURNADMIN) {
        notice("%.*s", (int)strcspn(h->other.error, "\n"), h->other.error);
    }
    return res;
}

static PGresult *answer(struct handle *h, const struct statement *s,
                        const struct pass_through_statement *as_it_is)
{
    struct store *st = s->kind == STATEMENT_OTHER ? NULL : store_for(h);

    if (!st) {
        return pass_on(h, as_it_is);
    }
    h->other.error[0] = '\0';
    message_integrity_tries();
    if (s->kind == STATEMENT_USER_KEY) {
        return answer_user(st, s);
    }
    if (s->kind == STATEMENT_PING) {
        return answer_nothing(1, standing[s->kind].names);
    }
    return answer_standing(st, s);
}

/* ---- the functions that coturn calls ---- */

/* Our handle behind a connection, or NULL. */
static struct handle *handle_of(const PGconn *conn)
{
    struct handle *h = (struct handle *)conn;
    uint64_t mark;

    if (!conn || program == PROGRAM_OTHER) {
        return NULL;
    }
    memcpy(&mark, conn, sizeof(mark));
    return mark == HANDLE_MARK ? h : NULL;
}

EXPORT PGconn *PQconnectdb(const char *conninfo)
{
    struct handle *h;

    if (program == PROGRAM_OTHER) {
        return libpq.PQconnectdb(conninfo);
    }
    unasked_over();
    h = calloc(1, sizeof(*h));
    if (!h || !(h->conninfo = strdup(conninfo))) {
        free(h);
        return NULL;
    }
    h->mark = HANDLE_MARK;
    if (program == PROGRAM_TURNADMIN) {
        pass_through_connect(&h->other, conninfo);
    }
    return (PGconn *)h;
}

/*
 * turnserver must take its connection for good at all times, or it would make
 * a new one for each look-up; turnadmin tells its user about a bad one.
 */
EXPORT ConnStatusType PQstatus(const PGconn *conn)
{
    struct handle *h = handle_of(conn);

    if (!h) {
        return libpq.PQstatus(conn);
    }
    return program == PROGRAM_TURNSERVER || h->other.conn ? CONNECTION_OK
                                                          : CONNECTION_BAD;
}

EXPORT void PQfinish(PGconn *conn)
{
    struct handle *h = handle_of(conn);

    if (!h) {
        libpq.PQfinish(conn);
        return;
    }
    pass_through_end(&h->other);
    explicit_bzero(h->conninfo, strlen(h->conninfo));
    free(h->conninfo);
    h->mark = 0;
    free(h);
}

EXPORT char *PQerrorMessage(const PGconn *conn)
{
    struct handle *h = handle_of(conn);

    return h ? h->other.error : libpq.PQerrorMessage(conn);
}

EXPORT PGresult *PQexec(PGconn *conn, const char *query)
{
    struct handle *h = handle_of(conn);
    struct pass_through_statement as_it_is = {.text = query};
    struct statement s;

    if (!h) {
        return libpq.PQexec(conn, query);
    }
    statement_recognise(&s, query, strlen(query), NULL, 0);
    return answer(h, &s, &as_it_is);
}

EXPORT PGresult *PQexecParams(PGconn *conn, const char *command, int count,
                              const Oid *types, const char *const *values,
                              const int *lengths, const int *formats,
                              int result_format)
{
    struct handle *h = handle_of(conn);
    struct pass_through_statement as_it_is = {
        command, 1, count, types, values, lengths, formats, result_format};
    struct statement s = {.kind = STATEMENT_OTHER};

    if (!h) {
        return libpq.PQexecParams(conn, command, count, types, values, lengths,
                                  formats, result_format);
    }
    /* coturn sends text and wants text; anything else is not coturn's. */
    if (!formats && result_format == 0) {
        statement_recognise(&s, command, strlen(command), values, count);
    }
    return answer(h, &s, &as_it_is);
}

EXPORT void PQclear(PGresult *res)
{
    if (program == PROGRAM_TURNSERVER) {
        answer_wipe(res);
    }
    libpq.PQclear(res);
}
