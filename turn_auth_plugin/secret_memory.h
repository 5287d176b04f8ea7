/*
 * Memory for keys and secrets: left out of core files, wiped before it is
 * given back. Called by whoever holds such: user_cache.c, rows.c,
 * secret_file.c.
 */

#ifndef SECRET_MEMORY_H
#define SECRET_MEMORY_H

#include <stddef.h>

/* Zeroed memory in whole pages, or NULL. */
void *secret_memory_get(size_t size);
/* size as it was asked for; p may be NULL. */
void secret_memory_give_back(void *p, size_t size);

#endif
