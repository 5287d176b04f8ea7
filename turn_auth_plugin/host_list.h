/*
 * libpq's lists of hosts, addresses and ports ("db1,db2"): finding an entry,
 * and beginning a list with another one. Called by connecting.c.
 */

#ifndef HOST_LIST_H
#define HOST_LIST_H

#include <stddef.h>

/* How many entries; 0 for NULL. An empty list has one, which is empty. */
size_t host_list_count(const char *list);
/* Is entry i this one? In a list of one, or NULL, the entry stands for all. */
int host_list_has(const char *list, size_t i, const char *entry);
/*
 * A copy that begins with entry i and ends with the one before it, for free();
 * NULL for NULL, or when there is no memory.
 */
char *host_list_from(const char *list, size_t i);

#endif
