/* sources: ngx_cms_proxy_module/cms_preread.c */
/* sources: ngx_cms_proxy_module/cms_client_hello.c */
/* sources: ngx_cms_proxy_module/cms_stun.c */

/*
 * Looking only where need says leads to the answer that all the bytes get;
 * and what was found goes to a target that is there, or to nobody.
 */

#include "cms_preread.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static cms_preread_t
look(cms_client_hello_t *h, const uint8_t *p, size_t len)
{
    uint8_t *copy = malloc(len);
    cms_preread_t found;

    memcpy(copy, p, len);
    found = cms_preread_look(copy, len, h);
    free(copy);
    return found;
}

static void
check_need(const uint8_t *p, size_t size, cms_preread_t whole,
           const cms_client_hello_t *of_whole)
{
    cms_client_hello_t h;
    size_t len = 0;

    for (;;) {
        cms_preread_t found = look(&h, p, len);

        if (found != CMS_PREREAD_MORE) {
            if (found != whole) {
                abort();
            }
            return;
        }
        if (h.need <= len || h.need > CMS_PREREAD_MAX) {
            abort();
        }
        if (h.need > size) {
            if (whole == CMS_PREREAD_STUN || whole == CMS_PREREAD_HTTP ||
                (whole == CMS_PREREAD_TLS && !of_whole->broken)) {
                abort();
            }
            return;
        }
        len = h.need;
    }
}

static void
check_side(cms_preread_t found, const cms_client_hello_t *h)
{
    unsigned targets;
    int opened;

    for (targets = 0; targets < 16; targets++) {
        for (opened = 0; opened < 2; opened++) {
            unsigned to = cms_preread_side(found, h, opened, targets);

            if (to != CMS_PREREAD_TO_NONE && to != CMS_PREREAD_TO_MISSING &&
                (to & (to - 1) || !(to & targets))) {
                abort();
            }
            if (opened && to & (CMS_PREREAD_TO_HTTPS | CMS_PREREAD_TO_TURNS)) {
                abort();
            }
        }
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cms_client_hello_t h;
    cms_preread_t found = look(&h, data, size);

    if (found != CMS_PREREAD_MORE) {
        check_side(found, &h);
    }
    check_need(data, size, found, &h);
    return 0;
}
