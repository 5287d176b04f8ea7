/*
 * Finds the web bridge's inside authorities in a text and puts the guest's
 * in their place, in every spelling: https://h, //h, wss://h, https:\/\/h,
 * https%3A%2F%2Fh, \u002f\u002fh, bare h, with the port or without, in any
 * letter case; and user@inside becomes user@outside. Pure; used for header
 * values.
 */

#ifndef CMS_REWRITE_H
#define CMS_REWRITE_H

#include <stddef.h>

#define CMS_REWRITE_MAPPINGS_MAX 16

typedef enum {
    CMS_REWRITE_AUTHORITY, /* a host with or without its port */
    CMS_REWRITE_DOMAIN,    /* the part behind "@" */
} cms_rewrite_kind_t;

typedef struct {
    cms_rewrite_kind_t kind;
    const unsigned char *from; /* a host name, no port, no trailing dot */
    size_t from_len;
    unsigned from_port; /* 0: "h", "h:443" and "h:80"; else "h" and "h:PORT" */
    const unsigned char *to; /* a host name */
    size_t to_len;
    unsigned to_port; /* 0: none is written */
} cms_rewrite_mapping_t;

/*
 * Writes the rewritten text to out and returns its length; with out NULL it
 * only counts. *matches says how many replacements were made; where it is 0
 * the text is as before. Only whole host names count: xh, h.example, h-2,
 * h%2Eexample and h with another port stay. A root dot ("h./") goes with the
 * name. The first mapping that fits wins.
 */
size_t cms_rewrite(const unsigned char *in, size_t len,
                   const cms_rewrite_mapping_t *mappings, size_t count,
                   unsigned char *out, size_t *matches);

/*
 * The value of the next Domain attribute of a Set-Cookie value (RFC 6265
 * section 4.1.2.3) at or behind *pos, without a leading dot: 1, its bounds,
 * and *pos behind it; or 0 if there is none left.
 */
int cms_cookie_domain(const unsigned char *in, size_t len, size_t *pos,
                      size_t *start, size_t *end);

/*
 * 1 if a cookie for this domain is one for this host: the host itself or a
 * parent of it (RFC 6265 section 5.1.3). A single label is nobody's parent.
 */
int cms_cookie_domain_covers(const unsigned char *domain, size_t domain_len,
                             const unsigned char *host, size_t host_len);

#endif
