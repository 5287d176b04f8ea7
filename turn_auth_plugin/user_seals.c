/*
 * Two clocks and a file of keys around sealed_value.h; see user_seals.h.
 */

#include "user_seals.h"

#include "monotonic.h"
#include "notice.h"
#include "server_clock.h"

#include <string.h>

#define KEY_FILE_CHECK_MS 1000

/* ---- the keys ---- */

/* how: what became of them. */
static void tell_keys(const struct user_seals *us, const char *how)
{
    char name[SEAL_KEY_NAME];

    seal_keys_name(us->keys.keys, name);
    notice("seal_key_file %s: %zu key(s)%s; the one that seals is %s (first "
           "digits of its SHA-256)",
           us->s->seal_key_file, us->keys.keys->count, how, name);
}

int user_seals_begin(struct user_seals *us, const struct settings *s,
                     char *error, size_t error_size)
{
    *us = (struct user_seals){.s = s};
    if (seal_key_file_begin(&us->keys, s->seal_key_file, s->seal_keys.text,
                            s->seal_keys.len, error, error_size) != 0) {
        return -1;
    }
    tell_keys(us, "");
    return 0;
}

int user_seals_check_keys(struct user_seals *us, int64_t now_ms)
{
    char error[256];

    us->key_check_ms = now_ms + KEY_FILE_CHECK_MS;
    switch (seal_key_file_check(&us->keys, error, sizeof(error))) {
    case SEAL_KEYS_NEW:
        tell_keys(us, " taken over");
        return 1;
    case SEAL_KEYS_BAD:
        notice("seal_key_file %s: %s; the keys from before stay in use",
               us->s->seal_key_file, error);
        return 0;
    case SEAL_KEYS_SAME:
        break;
    }
    return 0;
}

/* ---- clocks ---- */

static int64_t server_ms(const struct user_seals *us)
{
    return own_unix_ms() + us->ahead_ms;
}

static int64_t as_of_ms(const struct user_seals *us, int64_t read_ms)
{
    int64_t at_ms = server_ms(us) - (monotonic_ms() - read_ms);

    return at_ms > 0 ? at_ms : 0;
}

/* Clocks differ: what would be in the future is now. */
static int64_t read_ms(int64_t as_of, int64_t now_ms)
{
    int64_t age_ms = now_ms - as_of;

    return monotonic_ms() - (age_ms > 0 ? age_ms : 0);
}

int64_t user_seals_lifetime_ms(const struct user_seals *us)
{
    return us->s->stale_ttl_ms > us->s->fresh_ttl_ms ? us->s->stale_ttl_ms
                                                     : us->s->fresh_ttl_ms;
}

int64_t user_seals_ttl_ms(const struct user_seals *us,
                          const struct user_seal *seal)
{
    return seal->expires_ms - server_ms(us);
}

/* ---- values ---- */

int user_seals_seal(const struct user_seals *us, const struct user_name *u,
                    const struct user_record *rec, struct user_seal *seal)
{
    struct sealed_state s = {
        .state = rec->state,
        .version = rec->version,
        .as_of_ms = as_of_ms(us, rec->read_ms),
        .valid_until_ms = rec->state == USER_VALID ? rec->valid_until_ms : 0,
    };
    int result;

    s.expires_ms = s.as_of_ms + user_seals_lifetime_ms(us);
    memcpy(s.key, rec->key, sizeof(s.key));
    seal->version = s.version;
    seal->expires_ms = s.expires_ms;
    result = sealed_value_seal(seal->value, us->keys.keys, us->s->redis_prefix,
                               u, &s);
    explicit_bzero(&s, sizeof(s));
    return result;
}

enum sealed_result user_seals_open(const struct user_seals *us,
                                   const struct user_name *u, const void *value,
                                   size_t len, struct user_record *rec,
                                   size_t *opened_by)
{
    struct sealed_state s;
    int64_t now_ms = server_ms(us);
    enum sealed_result result = sealed_value_open(
        &s, us->keys.keys, us->s->redis_prefix, u, value, len, now_ms);

    memset(rec, 0, sizeof(*rec));
    /* Sealed by an edge that believes in a longer stale_ttl than this one. */
    if (result == SEALED_OPENED &&
        now_ms - s.as_of_ms >= user_seals_lifetime_ms(us)) {
        result = SEALED_EXPIRED;
    }
    if (result == SEALED_OPENED) {
        rec->state = s.state;
        rec->read_ms = read_ms(s.as_of_ms, now_ms);
        rec->valid_until_ms = s.valid_until_ms;
        rec->version = s.version;
        memcpy(rec->key, s.key, sizeof(rec->key));
    }
    *opened_by = s.opened_by;
    explicit_bzero(&s, sizeof(s));
    return result;
}
