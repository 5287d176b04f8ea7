/*
 * OpenSSL's HMAC() as coturn calls it for MESSAGE-INTEGRITY (RFC 8489, 14.5),
 * in front of OpenSSL's own: handles (key_handles.h) become the keys they stand
 * for, and SHA-1 with a long-term key is computed without the allocations of
 * OpenSSL's. Every other call goes to OpenSSL untouched, and so does every call
 * before message_integrity_begin(). Called by libpq_boundary.c.
 */

#ifndef MESSAGE_INTEGRITY_H
#define MESSAGE_INTEGRITY_H

#include "key_handles.h"

void message_integrity_begin(struct key_handles *k);

#endif
