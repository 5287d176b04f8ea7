/* sources: ngx_cms_proxy_module/cms_affinity.c */

/* What is found is an ID inside the header; a cookie that was set is found. */

#include "cms_affinity.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void
check_set(const unsigned char *name, size_t name_len, const uint8_t *id)
{
    unsigned char buf[CMS_AFFINITY_COOKIE_MAX];
    const unsigned char *found;
    size_t len, pos = 0;

    len = cms_affinity_set_cookie(buf, name, name_len, id, 1);
    if (len >= sizeof(buf) ||
        !cms_affinity_find(buf, len, name, name_len, &pos,
                           &found) ||
        memcmp(found, id, CMS_AFFINITY_ID_LEN) != 0) {
        abort();
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned char name[CMS_AFFINITY_NAME_MAX], key[CMS_AFFINITY_KEY_LEN];
    const unsigned char *id;
    size_t name_len, pos = 0, i;

    if (size < 2) {
        return 0;
    }
    name_len = cms_affinity_name(name, data[0] ? data[0] << 8 | data[1] : 0);
    if (name_len > sizeof(name)) {
        abort();
    }
    data += 2;
    size -= 2;
    cms_affinity_key(data, size, key);
    while (cms_affinity_find(data, size, name, name_len, &pos, &id)) {
        if (id < data || id + CMS_AFFINITY_ID_LEN > data + size) {
            abort();
        }
        for (i = 0; i < CMS_AFFINITY_ID_LEN; i++) {
            if (strchr("0123456789abcdef", id[i]) == NULL) {
                abort();
            }
        }
        check_set(name, name_len, id);
    }
    return 0;
}
