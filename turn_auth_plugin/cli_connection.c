/*
 * A non-blocking socket and poll(); see cli_connection.h.
 */

#define _GNU_SOURCE
#include "cli_connection.h"

#include "monotonic.h"
#include "own_sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Of a CLI that is silent, in the middle of a reply too. */
#define REPLY_TIMEOUT_MS 2000

static int fail(struct cli_connection *c, const char *error)
{
    c->error = error;
    cli_close(c);
    return -1;
}

void cli_connection_begin(struct cli_connection *c, int stop_fd)
{
    c->fd = -1;
    c->stop_fd = stop_fd;
    c->error = "";
}

void cli_close(struct cli_connection *c)
{
    if (c->fd >= 0) {
        close(c->fd);
        c->fd = -1;
    }
}

/* ---- bytes ---- */

/* Waits for the events; 0, or -1 with c->error. */
static int wait_for(struct cli_connection *c, short events, int64_t until_ms)
{
    struct pollfd p[2] = {{.fd = c->fd, .events = events},
                          {.fd = c->stop_fd, .events = POLLIN}};
    int64_t left_ms;
    int n;

    do {
        left_ms = until_ms - monotonic_ms();
        n = poll(p, 2, left_ms > 0 ? (int)left_ms : 0);
    } while (n < 0 && errno == EINTR);
    if (p[1].revents) {
        return fail(c, "turnserver ends");
    }
    return n > 0 ? 0 : fail(c, "no answer within 2 s");
}

static int send_all(struct cli_connection *c, const char *p, size_t n)
{
    int64_t until_ms = monotonic_ms() + REPLY_TIMEOUT_MS;
    ssize_t sent;

    while (n > 0) {
        sent = send(c->fd, p, n, MSG_NOSIGNAL);
        if (sent > 0) {
            p += sent;
            n -= (size_t)sent;
        } else if (errno == EAGAIN) {
            if (wait_for(c, POLLOUT, until_ms) != 0) {
                return -1;
            }
        } else if (errno != EINTR) {
            return fail(c, strerror(errno));
        }
    }
    return 0;
}

/* Some bytes; 0, or -1 with c->error. */
static int receive(struct cli_connection *c)
{
    ssize_t n;

    do {
        if (wait_for(c, POLLIN, monotonic_ms() + REPLY_TIMEOUT_MS) != 0) {
            return -1;
        }
        n = recv(c->fd, c->bytes, sizeof(c->bytes), 0);
    } while (n < 0 && (errno == EINTR || errno == EAGAIN));
    if (n <= 0) {
        return fail(c, n ? strerror(errno) : "it closed the connection");
    }
    c->at = c->bytes;
    c->left = (size_t)n;
    return 0;
}

/* ---- replies ---- */

/* CLI_MORE: it failed. */
static enum cli_reply read_reply(struct cli_connection *c,
                                 struct cli_sessions *l)
{
    enum cli_reply reply;

    do {
        if (c->left == 0 && receive(c) != 0) {
            return CLI_MORE;
        }
        reply = l ? cli_read_sessions(&c->reader, l, &c->at, &c->left)
                  : cli_read_prompt(&c->reader, &c->at, &c->left);
    } while (reply == CLI_MORE);
    return reply;
}

int cli_ask(struct cli_connection *c, const struct user_name *const *users,
            size_t *count)
{
    char command[CLI_COMMAND];
    size_t len = 0, longer, i;

    for (i = 0; i < *count; i++, len = longer) {
        longer = cli_ps(command, len, users[i]);
        if (longer == len) {
            break;
        }
    }
    *count = i;
    return send_all(c, command, len);
}

int cli_read_list(struct cli_connection *c, const struct user_name *u,
                  struct cli_sessions *l)
{
    cli_sessions_begin(l, u);
    return read_reply(c, l) == CLI_READY ? 0 : -1;
}

static int read_prompt(struct cli_connection *c)
{
    switch (read_reply(c, NULL)) {
    case CLI_READY:
        return 0;
    case CLI_PASSWORD:
        return fail(c, "it asks for the password again");
    case CLI_MORE:
        break;
    }
    return -1;
}

int cli_cancel(struct cli_connection *c, const uint64_t *ids, size_t count)
{
    char command[CLI_COMMAND];
    size_t len, longer, sent;

    for (size_t i = 0; i < count; i += sent) {
        len = 0;
        for (sent = 0; i + sent < count; sent++, len = longer) {
            longer = cli_cs(command, len, ids[i + sent]);
            if (longer == len) {
                break;
            }
        }
        if (send_all(c, command, len) != 0) {
            return -1;
        }
        for (size_t replies = 0; replies < sent; replies++) {
            if (read_prompt(c) != 0) {
                return -1;
            }
        }
    }
    return 0;
}

/* ---- connecting ---- */

/* address is of the form that settings.c lets through. */
static socklen_t read_address(const char *address, struct sockaddr_storage *to)
{
    struct sockaddr_in *in = (void *)to;
    struct sockaddr_in6 *in6 = (void *)to;
    const char *colon = strrchr(address, ':');
    uint16_t port = htons((uint16_t)atoi(colon + 1));
    char host[INET6_ADDRSTRLEN] = "";
    int brackets = address[0] == '[';

    memset(to, 0, sizeof(*to));
    memcpy(host, address + brackets, (size_t)(colon - address) - 2 * brackets);
    if (brackets) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = port;
        inet_pton(AF_INET6, host, &in6->sin6_addr);
        return sizeof(*in6);
    }
    in->sin_family = AF_INET;
    in->sin_port = port;
    inet_pton(AF_INET, host, &in->sin_addr);
    return sizeof(*in);
}

static int open_connection(struct cli_connection *c, const char *address)
{
    struct sockaddr_storage to;
    socklen_t size = read_address(address, &to);
    int error = 0, one = 1;
    socklen_t error_size = sizeof(error);

    if (!own_sockets_listen(&to)) {
        return fail(c, "this turnserver does not listen there");
    }
    c->fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        return fail(c, strerror(errno));
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(c->fd, (struct sockaddr *)&to, size) == 0) {
        return 0;
    }
    if (errno != EINPROGRESS) {
        return fail(c, strerror(errno));
    }
    if (wait_for(c, POLLOUT, monotonic_ms() + REPLY_TIMEOUT_MS) != 0) {
        return -1;
    }
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &error_size);
    return error ? fail(c, strerror(error)) : 0;
}

/* Line by line, so that the password is sent at once and alone. */
static int send_password(struct cli_connection *c,
                         const struct setting_secret *password)
{
    char line[SETTING_PASSWORD + 2];
    int result;

    memcpy(line, password->text, password->len);
    memcpy(line + password->len, "\r\n", 2);
    result = send_all(c, line, password->len + 2);
    explicit_bzero(line, sizeof(line));
    return result;
}

int cli_connect(struct cli_connection *c, const char *address,
                const struct setting_secret *password)
{
    enum cli_reply reply;

    cli_reader_begin(&c->reader);
    c->left = 0;
    if (open_connection(c, address) != 0) {
        return -1;
    }
    reply = read_reply(c, NULL);
    if (reply == CLI_PASSWORD) {
        if (send_password(c, password) != 0) {
            return -1;
        }
        reply = read_reply(c, NULL);
    }
    if (reply == CLI_PASSWORD) {
        return fail(c, "it does not take the password in cli_password_file");
    }
    return reply == CLI_READY ? 0 : -1;
}
