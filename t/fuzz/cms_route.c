/* sources: ngx_cms_proxy_module/cms_route.c */

/* A call ID is digits of the input; the first byte splits path from query. */

#include "cms_route.h"

#include <stdint.h>
#include <stdlib.h>

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const unsigned char *id;
    size_t cut, len, i;

    if (size == 0) {
        return 0;
    }
    cut = data[0] % size;
    data++;
    size--;
    cms_route_name(cms_route(1, 0, data, cut));
    if (!cms_call_id(data, cut, data + cut, size - cut, &id, &len)) {
        return 0;
    }
    if (len == 0 || len > 20 || id < data || id + len > data + size) {
        abort();
    }
    for (i = 0; i < len; i++) {
        if (id[i] < '0' || id[i] > '9') {
            abort();
        }
    }
    return 0;
}
