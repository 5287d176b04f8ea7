/*
 * Counts logins - Allocate requests whose MESSAGE-INTEGRITY coturn checks - and
 * tells the log whose failed and why. coturn itself answers 401 to a challenge,
 * a wrong password and an unknown user alike. Called by message_integrity.c, in
 * coturn's relay threads: what it does takes as long for a wrong password as
 * for an unknown name, or who asks could tell them apart. One thread does the
 * rest: it knows a request that came twice, and one that coturn checked with an
 * old key before it asked for the new one. With use-auth-secret or oauth coturn
 * tries passwords while it asks; then only those that are right count.
 */

#ifndef LOGINS_H
#define LOGINS_H

#include "store.h"
#include "user_keys.h"

/*
 * Both must live as long as the process. Returns 0, or -1 when there is no
 * memory or no thread; logins go on, and are not counted.
 */
int logins_begin(struct store *st, const struct user_keys *keys);

/*
 * coturn checked a request with that key (what user_keys_get() said); right:
 * the request is signed with it. Requests other than Allocate do not count.
 */
void logins_checked(const key_handle_key key, const uint8_t *message,
                    size_t len, int right);

#endif
