/*
 * coturn's sockets as the kernel knows them: where it listens, how many clients
 * and relays it has. Read from this process's own descriptors, because coturn
 * tells such figures to nobody but its CLI. Called by figures_writer.c and
 * cli_connection.c.
 *
 * What can be told apart (4.5 to 4.17): coturn binds a UDP relay without
 * SO_REUSEADDR, everything else with it. So relays are counted one by one - an
 * allocation for IPv4 and IPv6 has two, and so has one with an even port and
 * the next one reserved. Clients over TCP and TLS have a connection each,
 * whether they have a relay or not (yet); clients over DTLS a connected socket.
 * Clients over UDP share the listener's socket and cannot be counted.
 */

#ifndef OWN_SOCKETS_H
#define OWN_SOCKETS_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* Further listening addresses are left out. */
#define OWN_LISTENERS 32

struct own_listener {
    int tcp; /* TCP or TLS; else UDP, DTLS */
    char ip[INET6_ADDRSTRLEN];
    uint16_t port;
};

struct own_sockets {
    struct own_listener listeners[OWN_LISTENERS]; /* kept from call to call */
    size_t listener_count;
    unsigned tcp_clients;  /* connections to a TCP listener */
    unsigned dtls_clients; /* connected UDP sockets */
    unsigned relays;
};

/*
 * Counts clients and relays now. learn: also looks for listeners - wanted while
 * turnserver starts, later a TCP relay (RFC 6062) would look like one. The CLI
 * (cli_port, 0: none is known) is no listener. Costs some system calls for each
 * descriptor.
 */
void own_sockets_count(struct own_sockets *s, int learn, uint16_t cli_port);

/* Does this process take TCP connections at this address? */
int own_sockets_listen(const struct sockaddr_storage *at);

#endif
