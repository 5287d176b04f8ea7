/*
 * Whole pages from the kernel, marked MADV_DONTDUMP; see secret_memory.h.
 */

#include "secret_memory.h"

#include <string.h>
#include <sys/mman.h>

void *secret_memory_get(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED) {
        return NULL;
    }
    madvise(p, size, MADV_DONTDUMP);
    return p;
}

void secret_memory_give_back(void *p, size_t size)
{
    if (p) {
        explicit_bzero(p, size);
        munmap(p, size);
    }
}
