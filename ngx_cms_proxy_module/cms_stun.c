/*
 * Looks at the header of a STUN message (RFC 8489 section 5). Called by
 * cms_preread.
 */

#include "cms_stun.h"

/*
 * What the first bytes may be: the bits of mask must be those of value.
 * Message type: two zero bits, method bits and the class bits C1 (0x0100)
 * and C0 (0x0010); C1 is 0 in a request and in an indication.
 */
static const struct {
    unsigned char mask;
    unsigned char value;
} header[] = {
    {0xfd, 0x00}, {0x00, 0x00},                             /* type */
    {0x00, 0x00}, {0x03, 0x00},                             /* length */
    {0xff, 0x21}, {0xff, 0x12}, {0xff, 0xa4}, {0xff, 0x42}, /* cookie */
};

cms_stun_t
cms_stun_look(const unsigned char *p, size_t len)
{
    size_t i;

    for (i = 0; i < len && i < sizeof(header) / sizeof(*header); i++) {
        if ((p[i] & header[i].mask) != header[i].value) {
            return CMS_STUN_NO;
        }
    }
    return len < CMS_STUN_HEADER ? CMS_STUN_MORE : CMS_STUN_YES;
}
