/* sources: turn_auth_plugin/host_list.c */

/*
 * Any list, begun anywhere, keeps its length and its entries; begun again with
 * what was first, it is the same.
 */

#include "host_list.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *list = calloc(1, size + 1), *turned, *back;
    size_t i, n;

    if (!list || size == 0) {
        free(list);
        return 0;
    }
    memcpy(list, data + 1, size - 1);
    n = host_list_count(list);
    i = data[0] % n;
    turned = host_list_from(list, i);
    if (strlen(turned) != strlen(list) || host_list_count(turned) != n) {
        abort();
    }
    back = host_list_from(turned, n - i);
    if (strcmp(back, list) != 0) {
        abort();
    }
    if (n == 1 && !host_list_has(list, 7, list)) {
        abort();
    }
    free(list);
    free(turned);
    free(back);
    return 0;
}
