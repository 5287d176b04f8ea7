/* sources: ngx_cms_proxy_module/cms_certificate.c */

/*
 * Whatever stands in a certificate file: reading it ends, names lie inside it,
 * and what covers a host is one of its names. Half of the inputs are taken as
 * the bytes of a certificate, to which PEM is put around.
 */

#include "cms_certificate.h"

#include <openssl/evp.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const char host[] = "cmsweb.octavio.test";

static void
look_at(const char *pem, size_t len)
{
    cms_certificate_t c;
    const unsigned char *name;
    char text[64];
    size_t name_len, sum = 0;
    int i = 0, names = 0;

    if (cms_certificate_parse(pem, len, &c) != 0) {
        return;
    }
    while (cms_certificate_name(&c, &i, &name, &name_len)) {
        for (; name_len; name_len--) {
            sum += name[name_len - 1];
        }
        names++;
    }
    if (cms_certificate_covers(&c, host, sizeof(host) - 1) && !names) {
        abort();
    }
    cms_certificate_subject(&c, text, sizeof(text));
    sum += strlen(text);
    cms_certificate_issuer(&c, text, sizeof(text));
    sum += strlen(text);
    if (sum > len) {
        sum = 0; /* only read, so that the sanitizers see it */
    }
    cms_certificate_words(cms_certificate_when(c.not_before, c.not_after, 1),
                          c.not_before, c.not_after, 1, text, sizeof(text));
    cms_certificate_free(&c);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char head[] = "-----BEGIN CERTIFICATE-----\n";
    static const char tail[] = "\n-----END CERTIFICATE-----\n";
    char *pem = malloc(sizeof(head) + sizeof(tail) + 4 * size / 3 + 8);
    size_t n = sizeof(head) - 1;

    look_at((const char *)data, size);
    memcpy(pem, head, n);
    n += (size_t)EVP_EncodeBlock((unsigned char *)pem + n, data, (int)size);
    memcpy(pem + n, tail, sizeof(tail) - 1);
    look_at(pem, n + sizeof(tail) - 1);
    free(pem);
    return 0;
}
