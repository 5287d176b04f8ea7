/*
 * Text between commas; see host_list.h.
 */

#include "host_list.h"

#include <stdlib.h>
#include <string.h>

size_t host_list_count(const char *list)
{
    size_t n = list != NULL;

    for (; list && *list; list++) {
        n += *list == ',';
    }
    return n;
}

static const char *entry_at(const char *list, size_t i)
{
    while (i--) {
        list += strcspn(list, ",") + 1;
    }
    return list;
}

int host_list_has(const char *list, size_t i, const char *entry)
{
    size_t n = host_list_count(list);
    const char *p;

    if (n == 0) {
        return 1;
    }
    p = entry_at(list, n == 1 ? 0 : i);
    return strcspn(p, ",") == strlen(entry) &&
           memcmp(p, entry, strlen(entry)) == 0;
}

char *host_list_from(const char *list, size_t i)
{
    size_t n = host_list_count(list), size;
    const char *at;
    char *copy;

    if (n == 0 || !(copy = calloc(1, strlen(list) + 1))) {
        return NULL;
    }
    at = entry_at(list, i % n);
    strcpy(copy, at);
    if (at > list) {
        /* The comma before it comes between the two halves. */
        size = (size_t)(at - list) - 1;
        strcat(copy, ",");
        strncat(copy, list, size);
    }
    return copy;
}
