/*
 * The file of seal keys, read again while turnserver runs whenever it changes.
 * Called by user_seals.c.
 */

#ifndef SEAL_KEY_FILE_H
#define SEAL_KEY_FILE_H

#include "seal_keys.h"

#include <sys/stat.h>

struct seal_key_file {
    const char *path;
    struct seal_keys *keys; /* in secret memory */
    struct stat seen;       /* of what was read last, good or bad */
    int bad;                /* what was read last was */
};

/*
 * Takes the keys that were read when turnserver started: text is what stood in
 * the file then. 0, or -1 with what is wrong in error. path must live on.
 */
int seal_key_file_begin(struct seal_key_file *f, const char *path,
                        const char *text, size_t len, char *error,
                        size_t error_size);

enum seal_key_file_change {
    SEAL_KEYS_SAME, /* or still as bad as before */
    SEAL_KEYS_NEW,  /* or good again */
    SEAL_KEYS_BAD,  /* the old ones stay; error says what is wrong */
};

/* Has the file changed? Then its keys are taken, if it is good in whole. */
enum seal_key_file_change seal_key_file_check(struct seal_key_file *f,
                                              char *error, size_t error_size);

#endif
