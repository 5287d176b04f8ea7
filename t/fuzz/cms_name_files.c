/* sources: ngx_cms_proxy_module/cms_name_files.c */
/* sources: ngx_cms_proxy_module/cms_authority.c */

/* Words are of the text, without blanks, and the end is reached. */

#include "cms_name_files.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void
check(const uint8_t *text, size_t size, const unsigned char *p, size_t len)
{
    if (len == 0 || p < text || p + len > text + size || memchr(p, ' ', len)
        || memchr(p, '\n', len) || memchr(p, '#', len)) {
        abort();
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const unsigned char *p;
    size_t pos, len, name;

    if (size == 0) {
        return 0;
    }
    name = data[0] % size;
    for (pos = 0; cms_hosts_next(data + name, size - name, &pos, data, name,
                                 &p, &len);) {
        check(data + name, size - name, p, len);
    }
    for (pos = 0; cms_nameserver_next(data, size, &pos, &p, &len);) {
        check(data, size, p, len);
    }
    return 0;
}
