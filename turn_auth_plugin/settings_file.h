/*
 * Finds and reads the settings file and the files of secrets that it names (a
 * wrong one is an error of the line that names it); called once by
 * libpq_boundary.c when turnserver starts.
 */

#ifndef SETTINGS_FILE_H
#define SETTINGS_FILE_H

#include "settings.h"

#define SETTINGS_FILE "/etc/cms-edge/turn-auth.conf"

/* The file that $TURN_AUTH_CONF names, or else SETTINGS_FILE. */
const char *settings_file_name(void);

/*
 * Reads that file. SETTINGS_FILE need not be there: then *s are the defaults,
 * and *is_there is 0. Returns 0, or -1 with what is wrong in error.
 */
int settings_file_read(struct settings *s, int *is_there, char *error,
                       size_t error_size);

#endif
