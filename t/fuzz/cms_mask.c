/* sources: ngx_cms_proxy_module/cms_mask.c */

/*
 * Masking never grows a text, masking twice is masking once, and a secret in
 * a query value never shows, whatever stands around it.
 */

#define _GNU_SOURCE

#include "cms_mask.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void
check_twice(const uint8_t *data, size_t size)
{
    unsigned char *text = malloc(size + 1);
    size_t len, again;

    memcpy(text, data, size);
    len = cms_mask(text, size);
    if (len > size) {
        abort();
    }
    unsigned char *copy = malloc(len + 1);

    memcpy(copy, text, len);
    again = cms_mask(copy, len);
    if (again != len || memcmp(copy, text, len) != 0) {
        abort();
    }
    free(copy);
    free(text);
}

/* The input stands before the secret, in the path of a guest link. */
static void
check_secret(const uint8_t *data, size_t size)
{
    static const char link[] = "?secret=TOPSECRET&id=1 HTTP/1.1";
    unsigned char *text;
    size_t i, len = size + sizeof(link) - 1;

    if (memmem(data, size, "TOPSECRET", 9)) {
        return;
    }
    for (i = 0; i < size; i++) {
        if (data[i] == '"' || data[i] == '\r' || data[i] == '\n' ||
            data[i] == ' ') {
            return; /* the URL would end here */
        }
    }
    text = malloc(len);
    memcpy(text, data, size);
    memcpy(text + size, link, sizeof(link) - 1);
    len = cms_mask(text, len);
    if (memmem(text, len, "TOPSECRET", 9)) {
        abort();
    }
    free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_twice(data, size);
    check_secret(data, size);
    return 0;
}
