/*
 * Every key that a name may log in with: the one of the ordinary user of that
 * name, and where the name is a time-limited one (rest_user.h), one for each
 * valid secret of the realm. Called by libpq_boundary.c in the auth worker
 * that coturn asks in.
 */

#ifndef USER_KEYS_H
#define USER_KEYS_H

#include "key_handles.h"
#include "look_up.h"
#include "rows.h"

/* Keys that nobody has, for names that nobody can log in with now. */
enum user_keys_decoy {
    USER_KEYS_NOBODY,     /* there is no such user now */
    USER_KEYS_UNANSWERED, /* nobody could be asked */
    USER_KEYS_DECOYS,     /* it is no decoy */
};

struct user_keys {
    struct look_up *look_up;
    struct key_handles *handles; /* NULL: coturn cannot be given any */
    key_handle_key decoys[USER_KEYS_DECOYS];
};

/* 1, or 0 when there are no random bytes. handles may be NULL. */
int user_keys_begin(struct user_keys *k, struct look_up *lu,
                    struct key_handles *handles);

/* Is it a time-limited name whose time has not passed? now_ms: unix time. */
int user_keys_wants_secrets(const struct user_name *u, int64_t now_ms);

/*
 * The key, or a handle for several. Where nobody can log in with that name now,
 * a decoy: coturn then refuses as it refuses a wrong password, in
 * the same time and with the same line in its log, so that nobody can find out
 * which users there are. secrets: the rows of LAST_KNOWN_SECRETS, or NULL: none
 * count.
 */
void user_keys_get(const struct user_keys *k, const struct user_name *u,
                   const struct rows *secrets, int64_t now_ms,
                   uint8_t key[KEY_HANDLE_LEN]);

/* Which decoy is it? Takes as long for each, and for other keys. */
enum user_keys_decoy user_keys_decoy(const struct user_keys *k,
                                     const uint8_t key[KEY_HANDLE_LEN]);

#endif
