/*
 * What /etc/hosts and /etc/resolv.conf say, for a configuration without a
 * "resolver" line. Called with the text of the file. Pure: no nginx types, no
 * allocation; results point into the text.
 */

#ifndef CMS_NAME_FILES_H
#define CMS_NAME_FILES_H

#include <stddef.h>

/*
 * hosts(5): the next address that stands for the name, from *pos on, which
 * begins at 0: 1 and its bounds as written, or 0 at the end. ASCII letter
 * case does not matter. Whether it is an address is for the caller to see.
 */
int cms_hosts_next(const unsigned char *text, size_t len, size_t *pos,
                   const unsigned char *name, size_t name_len,
                   const unsigned char **address, size_t *address_len);

/* resolv.conf(5): the next "nameserver" in the same way. */
int cms_nameserver_next(const unsigned char *text, size_t len, size_t *pos,
                        const unsigned char **address, size_t *address_len);

#endif
