/*
 * Authorities, "host[:port]" (RFC 3986 section 3.2), as they stand in Host,
 * :authority, absolute request URIs, Origin, Referer and in our own
 * configuration. Pure: no nginx types, no allocation; results point into the
 * input.
 */

#ifndef CMS_AUTHORITY_H
#define CMS_AUTHORITY_H

#include <stddef.h>

typedef struct {
    const unsigned char *host; /* letter case as given, no trailing dot */
    size_t host_len;           /* 1..253 */
    unsigned port;             /* 1..65535, 0 where none was given */
} cms_authority_t;

typedef enum {
    CMS_AUTHORITY_OK,
    CMS_AUTHORITY_EMPTY,   /* nothing, or nothing before the port */
    CMS_AUTHORITY_IP,      /* an IPv4 or IPv6 address in any notation */
    CMS_AUTHORITY_INVALID, /* no host name, or no port number */
} cms_authority_status_t;

/*
 * Splits host[:port]. One trailing dot of the host is dropped; "host:" means
 * no port. A host is labels of letters, digits, "-" and "_", 253 bytes at
 * most; an IDN must be in its xn-- form. What a browser would take for an
 * IPv4 address (a last label of digits, or 0x and hex digits) is an IP.
 */
cms_authority_status_t cms_authority_parse(const unsigned char *p, size_t len,
                                           cms_authority_t *a);

/* What a status means, to end "the host ...": a constant string. */
const char *cms_authority_reason(cms_authority_status_t status);

/* 1 if both hosts are the same name; ASCII letter case does not matter. */
int cms_authority_same_host(const unsigned char *a, size_t a_len,
                            const unsigned char *b, size_t b_len);

/*
 * The authority of an absolute-form request line (RFC 9112 section 3.2.2),
 * as in "GET http://h:80/x HTTP/1.1": 1 and its bounds, or 0 if the request
 * target has another form.
 */
int cms_authority_of_request_line(const unsigned char *line, size_t len,
                                  const unsigned char **p, size_t *p_len);

/*
 * The authority of an absolute URL, as in Origin and Referer: 1 and its
 * bounds, or 0 if there is none ("null", a path).
 */
int cms_authority_of_url(const unsigned char *url, size_t len,
                         const unsigned char **p, size_t *p_len);

#endif
