/*
 * Does a stream begin with a STUN message? Asked of the first bytes of each
 * connection to a shared port. Pure: no nginx types, no allocation.
 */

#ifndef CMS_STUN_H
#define CMS_STUN_H

#include <stddef.h>

#define CMS_STUN_HEADER 20 /* bytes, RFC 8489 section 5 */

typedef enum {
    CMS_STUN_NO,
    CMS_STUN_YES,  /* the whole header is there, and is one */
    CMS_STUN_MORE, /* could be one, as far as it goes */
} cms_stun_t;

/*
 * A client's first message: a request or an indication of a method below
 * 0x100 (RFC 8489 section 18.2 keeps the others free of use), its length a
 * multiple of 4, with the magic cookie. NO at the first byte that cannot be.
 */
cms_stun_t cms_stun_look(const unsigned char *p, size_t len);

#endif
