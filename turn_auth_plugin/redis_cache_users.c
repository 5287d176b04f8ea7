/*
 * Values of users put into Redis and got from it, one question each; see
 * redis_cache_inside.h.
 */

#include "redis_cache_inside.h"

#include "figures.h"

#include <stdlib.h>
#include <string.h>

/* ---- questions ---- */

static void set_key(struct redis_cache *r, struct question *q,
                    const struct user_name *u)
{
    size_t prefix_len = strlen(r->s->redis_prefix);
    char *p = q->key;

    memcpy(p, r->s->redis_prefix, prefix_len);
    p += prefix_len;
    memcpy(p, u->realm, u->realm_len);
    q->user.realm = p;
    q->user.realm_len = u->realm_len;
    p += u->realm_len;
    *p++ = ' ';
    memcpy(p, u->name, u->name_len);
    q->user.name = p;
    q->user.name_len = u->name_len;
    q->key_len = prefix_len + u->realm_len + 1 + u->name_len;
}

/* About a user, or NULL. */
static struct question *new_question(struct redis_cache *r, enum kind kind,
                                     const struct user_name *u)
{
    size_t key_size = strlen(r->s->redis_prefix) + u->realm_len + u->name_len;
    struct question *q;

    if (u->realm_len > USER_REALM_MAX || u->name_len > USER_NAME_MAX) {
        return NULL;
    }
    q = calloc(1, sizeof(*q) + key_size + 1);
    if (q) {
        q->kind = kind;
        set_key(r, q, u);
    }
    return q;
}

static struct redis_bytes key_of(const struct question *q)
{
    return (struct redis_bytes){q->key, q->key_len};
}

int redis_cache_was_asked(struct question *q, int result)
{
    if (result != 0) {
        free(q);
    }
    return result;
}

/* ---- getting ---- */

int redis_cache_get(struct redis_cache *r, const struct user_name *u,
                    void *which)
{
    struct question *q = redis_cache_usable(r) ? new_question(r, GET, u) : NULL;

    if (!q) {
        return -1;
    }
    q->which = which;
    figures_count(FIGURES_REDIS_QUESTIONS, 1);
    return redis_cache_was_asked(q, redis_ask_get(r->link, q, key_of(q)));
}

/*
 * What does not open or has expired stays until there is a state to put in its
 * place: an edge that has newer keys or a longer stale_ttl may use it.
 */
void redis_cache_answer_get(struct redis_cache *r, struct question *q,
                            const struct redis_reply *reply)
{
    struct user_record rec = {.state = USER_UNKNOWN};
    size_t opened_by;

    if (reply && reply->type == REDIS_REPLY_STRING) {
        redis_cache_get_granted(r);
        if (reply->len > 0 &&
            user_seals_open(&r->seals, &q->user, reply->text, reply->len, &rec,
                            &opened_by) == SEALED_FORGED) {
            redis_cache_count_unsealed(r);
        }
    } else if (reply && redis_reply_is_error(reply, "WRONGTYPE")) {
        redis_cache_count_unsealed(r);
    } else if (reply) {
        redis_cache_get_refused(r, reply);
    }
    r->events->answer(r->owner, q->which, &rec);
    explicit_bzero(&rec, sizeof(rec));
}

/* ---- putting ---- */

static const struct redis_bytes nothing = {"", 0};

/* Takes q. bad: see redis_ask_put(). */
static void ask_put(struct redis_cache *r, struct question *q,
                    struct redis_bytes bad)
{
    int64_t ttl_ms = user_seals_ttl_ms(&r->seals, &q->seal);
    int asked;

    if (ttl_ms <= 0) {
        free(q);
        return;
    }
    asked = redis_ask_put(r->link, q, key_of(q), q->seal.value, ttl_ms, bad,
                          q->how);
    if (redis_cache_was_asked(q, asked) != 0) {
        r->missed = 1;
    }
}

/*
 * Anybody can ask for names that never were: these only replace what is there
 * of a user, where the database keeps no tombstones.
 */
static int never_was(const struct user_record *rec)
{
    return rec->state == USER_ABSENT && rec->version.epoch == 0 &&
           rec->version.number == 0;
}

void redis_cache_put(struct redis_cache *r, const struct user_name *u,
                     const struct user_record *rec)
{
    struct question *q;

    if (rec->state == USER_UNKNOWN) {
        return;
    }
    if (!redis_cache_usable(r) || !(q = new_question(r, PUT, u))) {
        r->missed = 1;
        return;
    }
    q->how = never_was(rec) ? REDIS_PUT_OVER : REDIS_PUT_ALWAYS;
    if (user_seals_seal(&r->seals, u, rec, &q->seal) != 0) {
        free(q);
        return;
    }
    ask_put(r, q, nothing);
}

/*
 * Something later is there. Ours goes over it when it does not open, or soon
 * will not: it is as good, but was sealed with a key that is on its way out.
 */
static int is_in_the_way(struct redis_cache *r, struct question *q,
                         const struct redis_reply *reply)
{
    struct user_record rec;
    size_t opened_by;
    enum sealed_result result = user_seals_open(
        &r->seals, &q->user, reply->text, reply->len, &rec, &opened_by);
    int later = result == SEALED_OPENED &&
                user_version_compare(rec.version, q->seal.version) > 0;

    if (later && r->events->newer) {
        r->events->newer(r->owner, &q->user, &rec);
    }
    explicit_bzero(&rec, sizeof(rec));
    if (result == SEALED_FORGED) {
        redis_cache_count_unsealed(r);
    }
    return result == SEALED_FORGED || result == SEALED_EXPIRED ||
           (result == SEALED_OPENED && !later && opened_by > 0);
}

static int put_again(struct redis_cache *r, struct question *q,
                     const struct redis_reply *reply)
{
    if (!is_in_the_way(r, q, reply) || q->again) {
        return 0;
    }
    q->again = 1;
    ask_put(r, q, (struct redis_bytes){reply->text, reply->len});
    return 1;
}

int redis_cache_answer_put(struct redis_cache *r, struct question *q,
                           const struct redis_reply *reply)
{
    if (!reply) {
        r->missed = 1;
    } else if (reply->type == REDIS_REPLY_ERROR) {
        redis_cache_put_refused(r, reply, 0);
    } else if (reply->type == REDIS_REPLY_STRING) {
        return put_again(r, q, reply);
    } else if (q->how == REDIS_PUT_ALWAYS) { /* else: there may be none */
        redis_cache_put_granted(r, 0);
        figures_count(FIGURES_REDIS_FILLS, 1);
    }
    return 0;
}
