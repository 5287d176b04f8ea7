/*
 * Reading of certificates with OpenSSL; see cms_certificate.h.
 */

#include "cms_certificate.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define DAY 86400

static int
unix_time(const ASN1_TIME *t, int64_t *to)
{
    struct tm tm;

    if (ASN1_TIME_to_tm(t, &tm) != 1) {
        return -1;
    }
    *to = timegm(&tm);
    return 0;
}

/*
 * A CA that publishes its certificate (authority information access, RFC 5280
 * section 4.2.2.1) is no root: browsers do not have it.
 */
static int
issuer_is_published(X509 *leaf)
{
    AUTHORITY_INFO_ACCESS *info;
    int i, found = 0;

    info = X509_get_ext_d2i(leaf, NID_info_access, NULL, NULL);
    for (i = 0; info && i < sk_ACCESS_DESCRIPTION_num(info); i++) {
        ACCESS_DESCRIPTION *d = sk_ACCESS_DESCRIPTION_value(info, i);

        found |= OBJ_obj2nid(d->method) == NID_ad_ca_issuers;
    }
    AUTHORITY_INFO_ACCESS_free(info);
    return found;
}

/* Whether one of the certificates that follow has issued the leaf. */
static int
issuer_follows(X509 *leaf, BIO *bio)
{
    X509 *x;
    int found = 0;

    while (!found && (x = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        found = X509_check_issued(x, leaf) == X509_V_OK;
        X509_free(x);
    }
    return found;
}

static unsigned
lasting_faults(X509 *leaf, BIO *rest)
{
    unsigned faults = 0;

    if (X509_get_extension_flags(leaf) & EXFLAG_SS) {
        return CMS_CERTIFICATE_SELF_SIGNED;
    }
    if (issuer_is_published(leaf) && !issuer_follows(leaf, rest)) {
        faults |= CMS_CERTIFICATE_CHAIN;
    }
    if (X509_get_extension_flags(leaf) & EXFLAG_CA) {
        faults |= CMS_CERTIFICATE_CA;
    } else if (X509_check_purpose(leaf, X509_PURPOSE_SSL_SERVER, 0) != 1) {
        faults |= CMS_CERTIFICATE_PURPOSE;
    }
    return faults;
}

int
cms_certificate_parse(const char *pem, size_t len, cms_certificate_t *c)
{
    BIO *bio;
    X509 *leaf = NULL;

    memset(c, 0, sizeof(*c));
    if (len > INT_MAX) {
        return -1;
    }
    bio = BIO_new_mem_buf(pem, (int)len);
    if (bio) {
        leaf = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL);
    }
    if (leaf && (unix_time(X509_get0_notBefore(leaf), &c->not_before) != 0 ||
                 unix_time(X509_get0_notAfter(leaf), &c->not_after) != 0)) {
        X509_free(leaf);
        leaf = NULL;
    }
    if (leaf) {
        c->leaf = leaf;
        c->names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
        c->faults = lasting_faults(leaf, bio);
    }
    BIO_free(bio);
    ERR_clear_error(); /* nginx would find what is left there */
    return leaf ? 0 : -1;
}

void
cms_certificate_free(cms_certificate_t *c)
{
    X509_free(c->leaf);
    GENERAL_NAMES_free(c->names);
    c->leaf = NULL;
    c->names = NULL;
}

int
cms_certificate_covers(const cms_certificate_t *c, const char *host, size_t len)
{
    return X509_check_host(c->leaf, host, len,
                           X509_CHECK_FLAG_NEVER_CHECK_SUBJECT |
                               X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS,
                           NULL) == 1;
}

int
cms_certificate_name(const cms_certificate_t *c, int *i,
                     const unsigned char **name, size_t *len)
{
    const GENERAL_NAMES *names = c->names;

    while (names && *i < sk_GENERAL_NAME_num(names)) {
        const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, (*i)++);

        if (n->type == GEN_DNS) {
            *name = ASN1_STRING_get0_data(n->d.dNSName);
            *len = (size_t)ASN1_STRING_length(n->d.dNSName);
            return 1;
        }
    }
    return 0;
}

static void
common_name(X509_NAME *of, char *text, int size)
{
    int i, len = X509_NAME_get_text_by_NID(of, NID_commonName, text, size);

    for (i = 0; i < len; i++) {
        if (text[i] < ' ' || text[i] > '~') {
            text[i] = '?';
        }
    }
    text[len < 0 ? 0 : len] = '\0';
}

void
cms_certificate_subject(const cms_certificate_t *c, char *text, int size)
{
    common_name(X509_get_subject_name(c->leaf), text, size);
}

void
cms_certificate_issuer(const cms_certificate_t *c, char *text, int size)
{
    common_name(X509_get_issuer_name(c->leaf), text, size);
}

unsigned
cms_certificate_when(int64_t not_before, int64_t not_after, int64_t now)
{
    if (now > not_after) {
        return CMS_CERTIFICATE_EXPIRED;
    }
    if (now < not_before) {
        return CMS_CERTIFICATE_EARLY;
    }
    if (not_after - now <= (int64_t)CMS_CERTIFICATE_SOON_DAYS * DAY) {
        return CMS_CERTIFICATE_SOON;
    }
    return 0;
}

/* "3 days"; what is less than a day is told in hours. */
static int
period(char *text, size_t size, int64_t seconds)
{
    int64_t n = seconds / DAY;
    const char *unit = "day";

    if (n == 0) {
        n = seconds / 3600;
        unit = "hour";
    }
    return snprintf(text, size, "%lld %s%s", (long long)n, unit,
                    n == 1 ? "" : "s");
}

int
cms_certificate_words(unsigned fault, int64_t not_before, int64_t not_after,
                      int64_t now, char *text, size_t size)
{
    char time[32];

    switch (fault) {
    case CMS_CERTIFICATE_SELF_SIGNED:
        return snprintf(text, size, "is self-signed: browsers do not trust it");
    case CMS_CERTIFICATE_CA:
        return snprintf(text, size, "is a CA's own, not that of a server");
    case CMS_CERTIFICATE_PURPOSE:
        return snprintf(text, size, "is not meant for TLS servers");
    case CMS_CERTIFICATE_CHAIN:
        return snprintf(text, size,
                        "comes without the one that signed it: browsers may "
                        "not trust it");
    case CMS_CERTIFICATE_EXPIRED:
        period(time, sizeof(time), now - not_after);
        return snprintf(text, size, "expired %s ago", time);
    case CMS_CERTIFICATE_EARLY:
        period(time, sizeof(time), not_before - now);
        return snprintf(text, size, "is not valid yet, but in %s", time);
    case CMS_CERTIFICATE_SOON:
        period(time, sizeof(time), not_after - now);
        return snprintf(text, size, "expires in %s", time);
    default:
        return snprintf(text, size, "is not right");
    }
}

int64_t
cms_certificate_days(int64_t not_after, int64_t now)
{
    int64_t left = not_after - now;

    return left < 0 ? -((-left + DAY - 1) / DAY) : left / DAY;
}
