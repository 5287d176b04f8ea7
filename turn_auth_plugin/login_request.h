/*
 * Who logs in with an Allocate request of TURN (RFC 8489, 5 and 14; RFC 8656,
 * 7.2): its names and its transaction. Called by logins.c for messages that
 * coturn has taken for well-formed; pure.
 */

#ifndef LOGIN_REQUEST_H
#define LOGIN_REQUEST_H

#include "user_name.h"

#include <stdint.h>

struct login_request {
    struct user_name who; /* in the message; a part that is missing is empty */
    uint64_t transaction; /* 64 of its 96 random bits */
};

/* Is it an Allocate request, not an answer and no other request? */
int login_request_is(const uint8_t *message, size_t len);

/*
 * 1, or 0 when it is no Allocate request. Of several attributes of a kind the
 * first counts, and a name ends at a zero byte, as in coturn.
 */
int login_request_parse(struct login_request *r, const uint8_t *message,
                        size_t len);

#endif
