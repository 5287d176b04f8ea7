/*
 * OpenSSL's HMAC() as coturn calls it for MESSAGE-INTEGRITY (RFC 8489, 14.5),
 * in front of OpenSSL's own: handles (key_handles.h) become the keys they stand
 * for, and SHA-1 with a long-term key is computed without the allocations of
 * OpenSSL's. Every other call goes to OpenSSL untouched, and so does every call
 * before message_integrity_begin(). Called by libpq_boundary.c.
 *
 * A request is hashed to check it, an answer to sign it. The attribute lies
 * right behind the bytes that are hashed, so a check is compared here as well:
 * that tells a wrong password from a right one.
 */

#ifndef MESSAGE_INTEGRITY_H
#define MESSAGE_INTEGRITY_H

#include "key_handles.h"

/*
 * coturn checked a message with this key (what it was given: a handle, if it
 * was one); right: the message is signed with it.
 */
typedef void message_integrity_checked(const key_handle_key key,
                                       const uint8_t *message, size_t len,
                                       int right);

/* checked: called for each message with MESSAGE-INTEGRITY at its end; NULL. */
void message_integrity_begin(struct key_handles *k,
                             message_integrity_checked *checked);

/*
 * This thread asks for keys: what it hashes are tries (use-auth-secret, oauth),
 * the check comes later and in another thread. checked() is not called.
 */
void message_integrity_tries(void);

#endif
