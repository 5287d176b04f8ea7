/* sources: ngx_cms_proxy_module/cms_rewrite.c ngx_cms_proxy_module/cms_authority.c */

/*
 * The length that is announced is the length that is written, no match means
 * no change, and a cookie's Domain lies inside the cookie.
 */

#include "cms_rewrite.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define NAME(s) (const unsigned char *)(s), sizeof(s) - 1

static const cms_rewrite_mapping_t mappings[] = {
    {CMS_REWRITE_DOMAIN, NAME("in.l"), 0, NAME("out"), 0},
    {CMS_REWRITE_AUTHORITY, NAME("h.in.l"), 0, NAME("guest.example"), 9443},
    {CMS_REWRITE_AUTHORITY, NAME("p"), 84, NAME("g"), 0},
};

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t n, len, counted, pos = 0, start, end;
    unsigned char *out;

    len = cms_rewrite(data, size, mappings, 3, NULL, &counted);
    out = malloc(len + 1);
    if (cms_rewrite(data, size, mappings, 3, out, &n) != len || n != counted) {
        abort();
    }
    if (n == 0 && (len != size || memcmp(out, data, size) != 0)) {
        abort();
    }
    free(out);
    while (cms_cookie_domain(data, size, &pos, &start, &end)) {
        if (start > end || end > size || pos < end) {
            abort();
        }
        cms_cookie_domain_covers(data + start, end - start, NAME("h.in.l"));
    }
    return 0;
}
