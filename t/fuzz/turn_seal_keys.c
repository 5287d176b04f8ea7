/* sources: turn_auth_plugin/seal_keys.c */

/*
 * Any file of seal keys: read in whole or not at all, and what is wrong with it
 * shows nothing of it.
 */

#include "seal_keys.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seal_keys keys, none = {0};
    char error[256] = "";
    /* Exactly so many bytes, for the sanitizer to watch their end. */
    char *text = malloc(size ? size : 1);

    memcpy(text, data, size);
    if (seal_keys_parse(&keys, text, size, error, sizeof(error)) == 0) {
        if (keys.count == 0 || keys.count > SEAL_KEYS_MAX || error[0]) {
            abort();
        }
    } else if (strncmp(error, "line ", 5) != 0 ||
               memcmp(&keys, &none, sizeof(keys)) != 0) {
        abort();
    }
    free(text);
    return 0;
}
