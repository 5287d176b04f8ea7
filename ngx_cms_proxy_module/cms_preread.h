/*
 * What a connection to a shared port begins with, and where it goes. Called
 * by the stream module with what has come so far, from the first byte on.
 * Pure: no nginx types, no allocation, no state.
 */

#ifndef CMS_PREREAD_H
#define CMS_PREREAD_H

#include "cms_client_hello.h"

#include <stddef.h>

/* With so many bytes there is always an answer. */
#define CMS_PREREAD_MAX CMS_CLIENT_HELLO_MAX

typedef enum {
    CMS_PREREAD_MORE,
    CMS_PREREAD_STUN,
    CMS_PREREAD_TLS,  /* a ClientHello, or what began as one */
    CMS_PREREAD_HTTP, /* an upper-case letter: a method, or meant as one */
    CMS_PREREAD_OTHER,
} cms_preread_t;

/*
 * What p[0..len) begins with. h is overwritten in any case; it says something
 * of TLS only, and its need also of MORE (with STUN one byte more than there
 * are: waiting for each is no work). Once the answer is not MORE, bytes that
 * follow change nothing.
 */
cms_preread_t cms_preread_look(const unsigned char *p, size_t len,
                               cms_client_hello_t *h);

/* What it is called in $cms_preread_protocol, or NULL: a constant string. */
const char *cms_preread_name(cms_preread_t found);

/* The targets of cms_share, as a set of bits and as the answer. */
typedef enum {
    CMS_PREREAD_TO_NONE = 0, /* nobody takes this: close */
    CMS_PREREAD_TO_HTTPS = 1,
    CMS_PREREAD_TO_TURNS = 2,
    CMS_PREREAD_TO_HTTP = 4,
    CMS_PREREAD_TO_TURN = 8,
    CMS_PREREAD_TO_MISSING = 16, /* its target is not configured: close */
} cms_preread_to_t;

/*
 * The target for what was found (not MORE). opened: the bytes come out of TLS
 * that was ended here; targets: those that are configured. TLS goes to turns=
 * if it offers a "stun." protocol, or no protocols at all, else to https= (a
 * broken hello too: that side has the proper alert); the other one takes it
 * where one is missing. HTTP that is not in TLS goes to https=, which answers
 * that it should be.
 */
cms_preread_to_t cms_preread_side(cms_preread_t found,
                                  const cms_client_hello_t *h, int opened,
                                  unsigned targets);

#endif
