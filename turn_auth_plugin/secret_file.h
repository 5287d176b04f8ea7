/*
 * Reads small files that hold secrets: passwords, sealing keys. Called by
 * settings_file.c when turnserver starts, and by who reads such a file again
 * while it runs.
 */

#ifndef SECRET_FILE_H
#define SECRET_FILE_H

#include <stddef.h>

/* A file may have one byte less. */
#define SECRET_FILE_SIZE 16384

/*
 * Reads a regular file, in whole and with a '\0' behind it, into secret memory
 * (give it back with secret_memory_give_back(p, SECRET_FILE_SIZE)). NULL with
 * what is wrong and what is expected in error: it is not there, no regular
 * file, empty, too long, or others than its owner and group may read or write
 * it.
 */
char *secret_file_read(const char *path, size_t *len, char *error,
                       size_t error_size);

#endif
