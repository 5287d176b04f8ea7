/*
 * coturn's sockets as the kernel knows them: where it listens, how many clients
 * and relays it has. Read from this process's own descriptors, because coturn
 * tells such figures to nobody but its CLI. Called by figures_writer.c and
 * cli_connection.c.
 */

#ifndef OWN_SOCKETS_H
#define OWN_SOCKETS_H

#include <sys/socket.h>

/* Does this process take TCP connections at this address? */
int own_sockets_listen(const struct sockaddr_storage *at);

#endif
