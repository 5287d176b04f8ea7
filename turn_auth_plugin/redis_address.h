/*
 * The addresses of the host that the settings name: looked up in a thread of
 * its own, since a name server that is silent would hold up the caller. Called
 * by redis_link.c, in the store thread.
 */

#ifndef REDIS_ADDRESS_H
#define REDIS_ADDRESS_H

#include <stddef.h>

#define REDIS_ADDRESS_TEXT 64

struct redis_address;

/*
 * server: host:port or [IPv6]:port; where there is no port, Redis' own. NULL:
 * no memory. Lives with the process.
 */
struct redis_address *redis_address_create(const char *server);

int redis_address_port(const struct redis_address *a);

/*
 * Another of the host's addresses each time, as last known; "" when none is
 * known (yet). Begins to look them up again.
 */
void redis_address_next(struct redis_address *a, char text[REDIS_ADDRESS_TEXT]);

#endif
