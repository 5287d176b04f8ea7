/*
 * Takes secrets out of request lines and URLs before they reach a log: guest
 * links carry "secret", API calls carry tokens. Pure, in place.
 */

#ifndef CMS_MASK_H
#define CMS_MASK_H

#include <stddef.h>

/*
 * Replaces, in a text that holds request lines or URLs, each query value by
 * one "*", but leaves id=DIGITS (the call ID); returns the new length, never
 * more than len. Masked as well: a query argument without a value, a fragment,
 * everything behind an encoded or misplaced query separator in a path
 * (%3F, %26, %23, %3B, "&", ";"), and path segments that are JSON web tokens
 * ("eyJ...").
 *
 * A URL ends at the " HTTP/1.1" that ends a request line, at a double quote
 * where nginx's error lines go on with ", upstream: " and the like or end, at
 * CR, LF, or with the text.
 */
size_t cms_mask(unsigned char *text, size_t len);

#endif
