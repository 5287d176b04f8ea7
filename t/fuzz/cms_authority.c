/* sources: ngx_cms_proxy_module/cms_authority.c */

/* An accepted authority is a proper name, and splits the same way again. */

#include "cms_authority.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void
check_accepted(const uint8_t *data, size_t size, const cms_authority_t *a)
{
    cms_authority_t again;
    size_t i;

    if (a->host_len == 0 || a->host_len > 253 || a->host < data ||
        a->host + a->host_len > data + size || a->port > 65535) {
        abort();
    }
    for (i = 0; i < a->host_len; i++) {
        if (a->host[i] <= ' ' || a->host[i] >= 0x7f ||
            strchr(":/@?#[]\\%\"'", a->host[i])) {
            abort();
        }
    }
    if (cms_authority_parse(a->host, a->host_len, &again) !=
            CMS_AUTHORITY_OK ||
        again.port != 0 ||
        !cms_authority_same_host(a->host, a->host_len, again.host,
                                 again.host_len)) {
        abort();
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cms_authority_t a;
    const unsigned char *p;
    size_t len;

    if (cms_authority_parse(data, size, &a) == CMS_AUTHORITY_OK) {
        check_accepted(data, size, &a);
    }
    if (cms_authority_of_request_line(data, size, &p, &len) &&
        (p < data || p + len > data + size)) {
        abort();
    }
    if (cms_authority_of_url(data, size, &p, &len) &&
        (p < data || p + len > data + size)) {
        abort();
    }
    return 0;
}
