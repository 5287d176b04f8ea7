/* sources: turn_auth_plugin/census.c */

/*
 * Any hashes, chosen by somebody who knows how they are used: who was added is
 * there, and it stays small.
 */

#include "census.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct census *c = census_create(size ? data[0] : 0);
    uint64_t hash;

    for (size_t i = 0; i + 8 <= size; i++) {
        memcpy(&hash, data + i, 8);
        if (!census_add(c, hash) || !census_has(c, hash)) {
            abort();
        }
    }
    for (size_t i = 0; i + 8 <= size; i++) {
        memcpy(&hash, data + i, 8);
        if (!census_has(c, hash)) {
            abort();
        }
    }
    if (census_count(c) > size || census_bytes(c) > 100000 + 10 * size) {
        abort();
    }
    census_destroy(c);
    return 0;
}
