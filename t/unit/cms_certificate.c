/* sources: ngx_cms_proxy_module/cms_certificate.c */

/* What a certificate is for, until when, and what browsers hold against it. */

#include "cms_certificate.h"
#include "tap.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <stdlib.h>

#define DAY 86400
#define START 1700000000

static char pem[65536];
static size_t pem_len;

typedef struct {
    const char *subject;
    const char *issuer;
    const char *names; /* SAN as in openssl.cnf, or NULL */
    int ca;
} wanted_t;

static void
add_extension(X509 *x, int nid, const char *value)
{
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

    X509_add_ext(x, e, -1);
    X509_EXTENSION_free(e);
}

/* Appends a certificate of this kind to pem, signed with key. */
static void
append(EVP_PKEY *key, const wanted_t *w, const char *aia)
{
    X509 *x = X509_new();
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;

    X509_set_version(x, 2);
    ASN1_TIME_set(X509_getm_notBefore(x), START);
    ASN1_TIME_set(X509_getm_notAfter(x), START + 30 * DAY);
    X509_NAME_add_entry_by_NID(X509_get_subject_name(x), NID_commonName,
                               MBSTRING_UTF8, (const unsigned char *)w->subject,
                               -1, -1, 0);
    X509_NAME_add_entry_by_NID(X509_get_issuer_name(x), NID_commonName,
                               MBSTRING_UTF8, (const unsigned char *)w->issuer,
                               -1, -1, 0);
    X509_set_pubkey(x, key);
    if (w->names) {
        add_extension(x, NID_subject_alt_name, w->names);
    }
    if (w->ca) {
        add_extension(x, NID_basic_constraints, "CA:TRUE");
    }
    if (aia) {
        add_extension(x, NID_info_access, aia);
    }
    X509_sign(x, key, EVP_sha256());
    PEM_write_bio_X509(bio, x);
    long n = BIO_get_mem_data(bio, &text);

    memcpy(pem + pem_len, text, (size_t)n);
    pem_len += (size_t)n;
    BIO_free(bio);
    X509_free(x);
}

/* Parses an exact allocation, so that the sanitizer sees each step too far. */
static int
parse(cms_certificate_t *c)
{
    char *copy = malloc(pem_len ? pem_len : 1);
    int result;

    memcpy(copy, pem, pem_len);
    result = cms_certificate_parse(copy, pem_len, c);
    free(copy);
    pem_len = 0;
    return result;
}

typedef struct {
    const char *names;
    const char *host;
    int covered;
} cover_t;

static const cover_t covers[] = {
    {"DNS:cmsweb.octavio.test", "cmsweb.octavio.test", 1},
    {"DNS:CMSweb.octavio.test", "cmsweb.octavio.test", 1},
    {"DNS:a.test,DNS:cmsweb.octavio.test", "cmsweb.octavio.test", 1},
    {"DNS:*.octavio.test", "cmsweb.octavio.test", 1},
    {"DNS:*.octavio.test", "octavio.test", 0},
    {"DNS:*.octavio.test", "a.cmsweb.octavio.test", 0},
    {"DNS:*.test", "octavio.test", 0},
    {"DNS:*", "octavio", 0},
    {"DNS:cms*.octavio.test", "cmsweb.octavio.test", 0},
    {"DNS:cmsweb.*.test", "cmsweb.octavio.test", 0},
    {"DNS:web.octavio.test", "cmsweb.octavio.test", 0},
    {"DNS:cmsweb.octavio.test.evil.test", "cmsweb.octavio.test", 0},
    {"DNS:xn--bcher-kva.test", "xn--bcher-kva.test", 1},
    {"IP:192.0.2.1", "192.0.2.1", 0},
    {"URI:https://cmsweb.octavio.test/", "cmsweb.octavio.test", 0},
    {"email:a@cmsweb.octavio.test", "cmsweb.octavio.test", 0},
    {NULL, "subject.octavio.test", 0},
};

static void
test_names(EVP_PKEY *key)
{
    cms_certificate_t c;
    size_t i;

    for (i = 0; i < sizeof(covers) / sizeof(*covers); i++) {
        const cover_t *t = &covers[i];
        wanted_t w = {"subject.octavio.test", "a CA", t->names, 0};

        append(key, &w, NULL);
        parse(&c);
        ok(cms_certificate_covers(&c, t->host, strlen(t->host)) == t->covered,
           "%s %s %s", t->names ? t->names : "a common name",
           t->covered ? "covers" : "does not cover", t->host);
        cms_certificate_free(&c);
    }
}

static void
test_what_it_says(EVP_PKEY *key)
{
    wanted_t w = {"subject.octavio.test", "a \xc3\xa9 CA",
                  "DNS:a.test,IP:192.0.2.1,DNS:b.test", 0};
    cms_certificate_t c;
    const unsigned char *name;
    char text[8];
    size_t len;
    int i = 0;

    append(key, &w, NULL);
    is_int(parse(&c), 0, "a certificate is read");
    is_int(c.not_before, START, "... its first second");
    is_int(c.not_after, START + 30 * DAY, "... its last");
    is_int(c.faults, 0, "... without a fault");
    ok(cms_certificate_name(&c, &i, &name, &len), "its first name");
    is_mem(name, len, "a.test", "... is this");
    ok(cms_certificate_name(&c, &i, &name, &len), "its second DNS name");
    is_mem(name, len, "b.test", "... is that");
    ok(!cms_certificate_name(&c, &i, &name, &len), "and there is no more");
    cms_certificate_subject(&c, text, sizeof(text));
    is_mem(text, strlen(text), "subject", "a common name that is too long");
    cms_certificate_issuer(&c, text, sizeof(text));
    is_mem(text, strlen(text), "a ?? CA", "what is not ASCII is a ?");
    cms_certificate_free(&c);

    is_int(parse(&c), -1, "an empty file holds none");
    pem_len = (size_t)sprintf(pem, "-----BEGIN CERTIFICATE-----\nAAAA\n"
                                   "-----END CERTIFICATE-----\n");
    is_int(parse(&c), -1, "a damaged one is none");
}

static unsigned
faults_of(void)
{
    cms_certificate_t c;
    unsigned faults;

    parse(&c);
    faults = c.faults;
    cms_certificate_free(&c);
    return faults;
}

static void
test_faults(EVP_PKEY *key)
{
    static const char aia[] = "caIssuers;URI:http://ca.test/ca.pem";
    wanted_t self = {"x", "x", "DNS:x.test", 0};
    wanted_t ca = {"x", "y", "DNS:x.test", 1};
    wanted_t leaf = {"x", "middle", "DNS:x.test", 0};
    wanted_t middle = {"middle", "root", NULL, 1};
    wanted_t other = {"other", "root", NULL, 1};

    append(key, &self, NULL);
    is_int(faults_of(), CMS_CERTIFICATE_SELF_SIGNED, "self-signed");
    append(key, &ca, NULL);
    is_int(faults_of(), CMS_CERTIFICATE_CA, "a CA's own");
    append(key, &leaf, NULL);
    is_int(faults_of(), 0, "by a root of one's own, alone");
    append(key, &leaf, aia);
    is_int(faults_of(), CMS_CERTIFICATE_CHAIN, "by an intermediate, alone");
    append(key, &leaf, aia);
    append(key, &other, NULL);
    is_int(faults_of(), CMS_CERTIFICATE_CHAIN, "with another than its own");
    append(key, &leaf, aia);
    append(key, &other, NULL);
    append(key, &middle, NULL);
    is_int(faults_of(), 0, "with its own behind it");
}

typedef struct {
    unsigned fault;
    int64_t now;
    const char *words;
} words_t;

static const words_t words[] = {
    {CMS_CERTIFICATE_EARLY, START - 1, "is not valid yet, but in 0 hours"},
    {CMS_CERTIFICATE_EARLY, START - 3 * DAY, "is not valid yet, but in 3 days"},
    {0, START, "is not right"},
    {0, START + 16 * DAY - 1, "is not right"},
    {CMS_CERTIFICATE_SOON, START + 16 * DAY, "expires in 14 days"},
    {CMS_CERTIFICATE_SOON, START + 29 * DAY, "expires in 1 day"},
    {CMS_CERTIFICATE_SOON, START + 30 * DAY - 7200, "expires in 2 hours"},
    {CMS_CERTIFICATE_SOON, START + 30 * DAY, "expires in 0 hours"},
    {CMS_CERTIFICATE_EXPIRED, START + 30 * DAY + 3600, "expired 1 hour ago"},
    {CMS_CERTIFICATE_EXPIRED, START + 32 * DAY, "expired 2 days ago"},
};

static void
test_time(void)
{
    char text[128];
    size_t i;

    for (i = 0; i < sizeof(words) / sizeof(*words); i++) {
        const words_t *w = &words[i];
        unsigned when = cms_certificate_when(START, START + 30 * DAY, w->now);
        int n;

        is_int(when, w->fault, "at one time");
        n = cms_certificate_words(when, START, START + 30 * DAY, w->now, text,
                                  sizeof(text));
        is_mem(text, (size_t)n, w->words, "... in words");
    }
    for (i = 0; i < CMS_CERTIFICATE_FAULTS; i++) {
        ok(cms_certificate_words(1u << i, 0, 0, 0, text, sizeof(text)) <
               (int)sizeof(text),
           "fault %zu has words", i);
        ok(strcmp(text, "is not right") != 0, "... of its own");
    }
    is_int(cms_certificate_days(10 * DAY, 0), 10, "days left");
    is_int(cms_certificate_days(DAY - 1, 0), 0, "less than one");
    is_int(cms_certificate_days(0, 1), -1, "none");
    is_int(cms_certificate_days(0, DAY + 1), -2, "since two");
}

int
main(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");

    test_names(key);
    test_what_it_says(key);
    test_faults(key);
    test_time();
    EVP_PKEY_free(key);
    return done_testing();
}
