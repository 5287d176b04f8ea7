/*
 * /proc/self/fd and getsockname(); see own_sockets.h.
 */

#define _GNU_SOURCE
#include "own_sockets.h"

#include <dirent.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

/* ---- one after the other ---- */

static int option(int fd, int name)
{
    int value = 0;
    socklen_t size = sizeof(value);

    return getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0 ? value : -1;
}

/*
 * Other threads open and close descriptors meanwhile: what was a socket may be
 * none when it is asked. Asking does no harm.
 */
static int next_fd(DIR *d)
{
    struct dirent *e;

    while ((e = readdir(d))) {
        if (e->d_name[0] != '.') {
            return atoi(e->d_name);
        }
    }
    return -1;
}

/* ---- does it listen? ---- */

static int is_at(const struct sockaddr_storage *own,
                 const struct sockaddr_storage *at)
{
    const struct sockaddr_in *own4 = (const void *)own, *at4 = (const void *)at;
    const struct sockaddr_in6 *own6 = (const void *)own,
                              *at6 = (const void *)at;

    if (own->ss_family != at->ss_family) {
        return 0;
    }
    if (at->ss_family == AF_INET) {
        return own4->sin_port == at4->sin_port &&
               (own4->sin_addr.s_addr == at4->sin_addr.s_addr ||
                own4->sin_addr.s_addr == htonl(INADDR_ANY));
    }
    return own6->sin6_port == at6->sin6_port &&
           (memcmp(&own6->sin6_addr, &at6->sin6_addr, sizeof(at6->sin6_addr)) ==
                0 ||
            memcmp(&own6->sin6_addr, &in6addr_any, sizeof(in6addr_any)) == 0);
}

int own_sockets_listen(const struct sockaddr_storage *at)
{
    struct sockaddr_storage own;
    socklen_t size;
    DIR *d = opendir("/proc/self/fd");
    int fd, found = 0;

    while (d && !found && (fd = next_fd(d)) >= 0) {
        size = sizeof(own);
        found = option(fd, SO_ACCEPTCONN) == 1 &&
                getsockname(fd, (struct sockaddr *)&own, &size) == 0 &&
                is_at(&own, at);
    }
    if (d) {
        closedir(d);
    }
    return found;
}
