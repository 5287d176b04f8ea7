/*
 * One descriptor after the other, by number; see own_sockets.h.
 */

#define _GNU_SOURCE
#include "own_sockets.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COTURN_CLI_PORT 5766

/* ---- descriptors ---- */

/* -1: it is no socket, or not one that has this option. */
static int option(int fd, int name)
{
    int value = 0;
    socklen_t size = sizeof(value);

    return getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0 ? value : -1;
}

/* One more than the highest descriptor there may be; 0 without /proc. */
static int descriptors(void)
{
    FILE *f = fopen("/proc/self/status", "re");
    char line[256];
    int n = 0;

    while (f && !n && fgets(line, sizeof(line), f)) {
        if (strncmp(line, "FDSize:", 7) == 0) {
            n = atoi(line + 7);
        }
    }
    if (f) {
        fclose(f);
    }
    return n;
}

/*
 * Other threads open and close descriptors meanwhile: what was a socket may be
 * none when it is asked. Asking does no harm.
 */
static int own_address(int fd, struct sockaddr_storage *own)
{
    socklen_t size = sizeof(*own);

    memset(own, 0, sizeof(*own));
    if (getsockname(fd, (struct sockaddr *)own, &size) != 0 ||
        (own->ss_family != AF_INET && own->ss_family != AF_INET6)) {
        return -1;
    }
    return 0;
}

static int is_connected(int fd)
{
    struct sockaddr_storage peer;
    socklen_t size = sizeof(peer);

    return getpeername(fd, (struct sockaddr *)&peer, &size) == 0;
}

/* ---- addresses ---- */

static uint16_t port_of(const struct sockaddr_storage *a)
{
    return ntohs(
        a->ss_family == AF_INET
            ? ((const struct sockaddr_in *)(const void *)a)->sin_port
            : ((const struct sockaddr_in6 *)(const void *)a)->sin6_port);
}

static const void *ip_of(const struct sockaddr_storage *a)
{
    return a->ss_family == AF_INET
               ? (const void *)&((const struct sockaddr_in *)(const void *)a)
                     ->sin_addr
               : (const void *)&((const struct sockaddr_in6 *)(const void *)a)
                     ->sin6_addr;
}

static int is_at(const struct sockaddr_storage *own,
                 const struct sockaddr_storage *at)
{
    size_t size = at->ss_family == AF_INET ? 4 : 16;

    return own->ss_family == at->ss_family && port_of(own) == port_of(at) &&
           (memcmp(ip_of(own), ip_of(at), size) == 0 ||
            memcmp(ip_of(own), &in6addr_any, size) == 0);
}

int own_sockets_listen(const struct sockaddr_storage *at)
{
    struct sockaddr_storage own;

    for (int fd = descriptors() - 1; fd >= 0; fd--) {
        if (option(fd, SO_ACCEPTCONN) == 1 && own_address(fd, &own) == 0 &&
            is_at(&own, at)) {
            return 1;
        }
    }
    return 0;
}

/* ---- counting ---- */

/* coturn has several sockets at the same address. */
static void add_listener(struct own_sockets *s, int tcp,
                         const struct sockaddr_storage *own)
{
    struct own_listener l = {.tcp = tcp, .port = port_of(own)};

    inet_ntop(own->ss_family, ip_of(own), l.ip, sizeof(l.ip));
    for (size_t i = 0; i < s->listener_count; i++) {
        if (s->listeners[i].tcp == tcp && s->listeners[i].port == l.port &&
            strcmp(s->listeners[i].ip, l.ip) == 0) {
            return;
        }
    }
    if (s->listener_count < OWN_LISTENERS) {
        s->listeners[s->listener_count++] = l;
    }
}

static void learn_listener(struct own_sockets *s, int fd, uint16_t cli_port)
{
    struct sockaddr_storage own;
    int tcp = option(fd, SO_PROTOCOL) == IPPROTO_TCP;
    int udp = option(fd, SO_PROTOCOL) == IPPROTO_UDP;
    uint16_t port;

    if ((!tcp || option(fd, SO_ACCEPTCONN) != 1) &&
        (!udp || option(fd, SO_REUSEADDR) != 1 || is_connected(fd))) {
        return;
    }
    if (own_address(fd, &own) != 0) {
        return;
    }
    port = port_of(&own);
    if (port && !(tcp && (port == cli_port || port == COTURN_CLI_PORT))) {
        add_listener(s, tcp, &own);
    }
}

static int has_tcp_port(const struct own_sockets *s, uint16_t port)
{
    for (size_t i = 0; i < s->listener_count; i++) {
        if (s->listeners[i].tcp && s->listeners[i].port == port) {
            return 1;
        }
    }
    return 0;
}

static void count_tcp(struct own_sockets *s, int fd)
{
    struct sockaddr_storage own;

    s->tcp_clients += own_address(fd, &own) == 0 &&
                      has_tcp_port(s, port_of(&own)) &&
                      option(fd, SO_ACCEPTCONN) == 0;
}

/* A name server look-up has a socket that is connected, too. */
static void count_udp(struct own_sockets *s, int fd)
{
    int reuse = option(fd, SO_REUSEADDR) == 1;

    if (is_connected(fd)) {
        s->dtls_clients += reuse;
    } else {
        s->relays += !reuse;
    }
}

static void count(struct own_sockets *s, int fd)
{
    switch (option(fd, SO_PROTOCOL)) {
    case IPPROTO_TCP:
        count_tcp(s, fd);
        break;
    case IPPROTO_UDP:
        count_udp(s, fd);
        break;
    default:
        break;
    }
}

void own_sockets_count(struct own_sockets *s, int learn, uint16_t cli_port)
{
    int n = descriptors();

    for (int fd = 0; learn && fd < n; fd++) {
        learn_listener(s, fd, cli_port);
    }
    s->tcp_clients = 0;
    s->dtls_clients = 0;
    s->relays = 0;
    for (int fd = 0; fd < n; fd++) {
        count(s, fd);
    }
}
