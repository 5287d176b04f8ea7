/*
 * Finds and reads the settings file and the files of secrets that it names (a
 * wrong one is an error of the line that names it); called once by
 * libpq_boundary.c when turnserver starts.
 */

#ifndef SETTINGS_FILE_H
#define SETTINGS_FILE_H

#include "settings.h"

#define SETTINGS_FILE "/etc/cms-edge/turn-auth.conf"

/*
 * Reads the file that $TURN_AUTH_CONF names, which must be there, or else
 * SETTINGS_FILE, which need not: then *s are the defaults. 0, or -1 with what
 * is wrong in error.
 */
int settings_file_read(struct settings *s, char *error, size_t error_size);

#endif
