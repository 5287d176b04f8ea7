/*
 * Which of a name's addresses goes into which slot, so that an address which
 * stays in DNS stays in its slot: its guests, connections and figures do, too.
 * Called by the resolver with every answer. Pure: no nginx types, no
 * allocation.
 */

#ifndef CMS_SLOTS_H
#define CMS_SLOTS_H

#include <stddef.h>

#define CMS_SLOTS_NONE ((size_t)-1)

/* the most slots that a line can have; more are not used */
#define CMS_SLOTS_MAX 64

/* an address with its port, compared byte by byte; len 0: none */
typedef struct {
    const unsigned char *p;
    size_t len;
    unsigned priority; /* of an answer: RFC 2782, the lowest is the best */
    unsigned weight;   /* of an answer: its share among its priority */
    size_t slot;       /* of an answer: set by cms_slots_place() */
} cms_slots_address_t;

/*
 * Sets the slot of each of the n answers: where it is held already, or the
 * first that is free or whose address is in no answer. Of answers that are
 * the same, the one of the best priority counts, and the first of these; the
 * others get CMS_SLOTS_NONE. Where there is not room for all, better
 * priorities come first, then those held already, then the order of the
 * answers. Returns how many different addresses got no slot.
 *
 * A slot that no answer is in afterwards holds nothing any more.
 */
size_t cms_slots_place(const cms_slots_address_t *held, size_t nslots,
                       cms_slots_address_t *answers, size_t n);

/* what the largest weight is at most, once scaled */
#define CMS_SLOTS_WEIGHT_MAX 100

/*
 * Makes the weights of each priority as small as they can be, 1 to
 * CMS_SLOTS_WEIGHT_MAX: nginx's "hash" sees 15 bits, "ip_hash" fewer, and
 * DNS may say 65535 for all. Shares stay the same where they fit, and about
 * the same where they do not.
 */
void cms_slots_scale(cms_slots_address_t *answers, size_t n);

#endif
