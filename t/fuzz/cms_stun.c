/* sources: ngx_cms_proxy_module/cms_stun.c */

/* The answer comes as early as it can, and holds whatever follows. */

#include "cms_stun.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* RFC 8489 section 5, said the other way round. */
static int
is_message(const uint8_t *p)
{
    unsigned type = p[0] << 8 | p[1];
    unsigned length = p[2] << 8 | p[3];
    unsigned class = (type >> 7 & 2) | (type >> 4 & 1);
    unsigned method = (type >> 2 & 0xf80) | (type >> 1 & 0x70) | (type & 0xf);

    return type < 0x4000 && class < 2 && method < 0x100 && length % 4 == 0 &&
           memcmp(p + 4, "\x21\x12\xa4\x42", 4) == 0;
}

/* One byte more can make it a message, if the rest fits. */
static int
can_become(const uint8_t *p, size_t size)
{
    uint8_t whole[20] = {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42};

    memcpy(whole, p, size);
    return is_message(whole);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t len;

    for (len = 0; len <= size && len <= 24; len++) {
        uint8_t *copy = malloc(len);
        cms_stun_t answer, right;

        memcpy(copy, data, len);
        answer = cms_stun_look(copy, len);
        free(copy);
        if (len < 20) {
            right = can_become(data, len) ? CMS_STUN_MORE : CMS_STUN_NO;
        } else {
            right = is_message(data) ? CMS_STUN_YES : CMS_STUN_NO;
        }
        if (answer != right) {
            abort();
        }
    }
    return 0;
}
