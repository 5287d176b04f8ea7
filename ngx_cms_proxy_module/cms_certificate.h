/*
 * What a certificate file says, as a browser would read it: which names it is
 * for, until when, and what makes browsers refuse it whatever the name. Called
 * at start by ngx_http_cms_proxy_certificate.c. Pure but for OpenSSL, which
 * parses: no nginx types, no I/O, the time is passed in.
 */

#ifndef CMS_CERTIFICATE_H
#define CMS_CERTIFICATE_H

#include <stddef.h>
#include <stdint.h>

/* faults; none depends on the name that is asked for */
#define CMS_CERTIFICATE_SELF_SIGNED 1 /* signed with its own key */
#define CMS_CERTIFICATE_CA 2          /* a CA's own, not self-signed */
#define CMS_CERTIFICATE_PURPOSE 4     /* its key usage says: no TLS server */
#define CMS_CERTIFICATE_CHAIN 8       /* the one that signed it is missing */
#define CMS_CERTIFICATE_EXPIRED 16
#define CMS_CERTIFICATE_EARLY 32 /* not valid yet */
#define CMS_CERTIFICATE_SOON 64  /* expires within CMS_CERTIFICATE_SOON_DAYS */

#define CMS_CERTIFICATE_FAULTS 7
#define CMS_CERTIFICATE_SOON_DAYS 14

typedef struct {
    void *leaf;         /* X509 * */
    void *names;        /* GENERAL_NAMES *, or NULL */
    int64_t not_before; /* unix time */
    int64_t not_after;  /* the last second at which it is valid */
    unsigned faults;    /* those that do not depend on the time */
} cms_certificate_t;

/*
 * Reads PEM text, the server's own certificate first, then those of its chain.
 * 0, and the caller frees it; or -1 where there is no certificate in it.
 */
int cms_certificate_parse(const char *pem, size_t len, cms_certificate_t *c);
void cms_certificate_free(cms_certificate_t *c);

/*
 * 1 if browsers accept it for this host: a DNS name among its subject
 * alternative names is the host, or a wildcard for its first label (RFC 9525,
 * section 6.3). Its common name alone does not count.
 */
int cms_certificate_covers(const cms_certificate_t *c, const char *host,
                           size_t len);

/*
 * The DNS names that it is for, each of them in order: 1 and its bounds, which
 * live as long as the certificate, or 0 after the last one. i starts at 0.
 */
int cms_certificate_name(const cms_certificate_t *c, int *i,
                         const unsigned char **name, size_t *len);

/*
 * The common names of its subject and its issuer, "" where there is none; what
 * is not printable ASCII becomes "?". text ends with '\0'.
 */
void cms_certificate_subject(const cms_certificate_t *c, char *text, int size);
void cms_certificate_issuer(const cms_certificate_t *c, char *text, int size);

/* EXPIRED, EARLY, SOON or 0 at this unix time. */
unsigned cms_certificate_when(int64_t not_before, int64_t not_after,
                              int64_t now);

/*
 * What is wrong, as the end of "the certificate ...": "is self-signed, ...".
 * For one fault; size 128 is enough. Its length.
 */
int cms_certificate_words(unsigned fault, int64_t not_before, int64_t not_after,
                          int64_t now, char *text, size_t size);

/* Whole days until it is not valid any more, less than 0 once it is not. */
int64_t cms_certificate_days(int64_t not_after, int64_t now);

#endif
