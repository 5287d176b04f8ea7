/*
 * Puts secrets, ordinary users and handles together; see user_keys.h.
 */

#include "user_keys.h"

#include "notice.h"
#include "realm_secrets.h"
#include "rest_user.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdatomic.h>
#include <string.h>

/* One key is the ordinary user's. */
#define SECRETS (KEY_HANDLE_KEYS - 1)

int user_keys_begin(struct user_keys *k, struct look_up *lu,
                    struct key_handles *handles)
{
    k->look_up = lu;
    k->handles = handles;
    return RAND_bytes((uint8_t *)k->decoys, sizeof(k->decoys)) == 1;
}

int user_keys_wants_secrets(const struct user_name *u, int64_t now_ms)
{
    int64_t until;

    return rest_user_parse(u->name, u->name_len, &until) &&
           until >= now_ms / 1000;
}

static void say_once(atomic_int *said, const struct user_name *u,
                     const char *what)
{
    if (!atomic_exchange(said, 1)) {
        notice("realm %.*s: %s", (int)u->realm_len, u->realm, what);
    }
}

static unsigned keys_of_secrets(const struct user_name *u,
                                const struct rows *rows, int64_t now_ms,
                                key_handle_key keys[SECRETS])
{
    static atomic_int said;
    struct rows_cell secrets[SECRETS];
    size_t count = realm_secrets_pick(secrets, SECRETS, rows, u->realm,
                                      u->realm_len, now_ms);
    unsigned n = 0;

    if (count > SECRETS) {
        say_once(&said, u,
                 "too many valid secrets; those that last longest "
                 "are tried");
        count = SECRETS;
    }
    for (size_t i = 0; i < count; i++) {
        n += rest_user_key(keys[n], u->name, u->name_len, u->realm,
                           u->realm_len, secrets[i].p, secrets[i].len);
    }
    return n;
}

/* Several keys: a handle, or where coturn takes none, the first. */
static void choose(const struct user_keys *k, const struct user_name *u,
                   const key_handle_key *keys, unsigned count,
                   uint8_t key[KEY_HANDLE_LEN])
{
    static atomic_int said;

    if (count > 1 && k->handles &&
        key_handles_make(k->handles, key, keys, count)) {
        return;
    }
    if (count > 1 && !k->handles) {
        say_once(&said, u,
                 "several secrets are valid, and this turnserver "
                 "can be told one: the one that lasts longest");
    }
    memcpy(key, keys[0], KEY_HANDLE_LEN);
}

void user_keys_get(const struct user_keys *k, const struct user_name *u,
                   const struct rows *secrets, int64_t now_ms,
                   uint8_t key[KEY_HANDLE_LEN])
{
    key_handle_key keys[KEY_HANDLE_KEYS];
    unsigned count = 0;
    enum user_state state;

    if (secrets && user_keys_wants_secrets(u, now_ms)) {
        count = keys_of_secrets(u, secrets, now_ms, keys);
    }
    state = look_up_user(k->look_up, u, count > 0, keys[count]);
    count += state == USER_VALID;
    if (count > 0) {
        choose(k, u, (const key_handle_key *)keys, count, key);
    } else {
        memcpy(key,
               k->decoys[state == USER_UNKNOWN ? USER_KEYS_UNANSWERED
                                               : USER_KEYS_NOBODY],
               KEY_HANDLE_LEN);
    }
    explicit_bzero(keys, sizeof(keys));
}

enum user_keys_decoy user_keys_decoy(const struct user_keys *k,
                                     const uint8_t key[KEY_HANDLE_LEN])
{
    enum user_keys_decoy which = USER_KEYS_DECOYS;

    for (int i = 0; i < USER_KEYS_DECOYS; i++) {
        if (CRYPTO_memcmp(key, k->decoys[i], KEY_HANDLE_LEN) == 0) {
            which = (enum user_keys_decoy)i;
        }
    }
    return which;
}
