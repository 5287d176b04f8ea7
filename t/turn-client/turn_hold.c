/*
 * One user with many live relays, for tests: makes them, then says for each
 * line of stdin how many are still alive. Started by t/plugin-revocation.t and
 * t/plugin-figures.t:
 *
 *   turn_hold -s 127.0.0.1:3478 -u USER -p PASSWORD -n 1800
 *
 * -t TCP, -o ORIGIN sends this text as ORIGIN attribute ("\n" in it is a line
 * end). Prints "hold N", N of them were made; then for each line "alive N":
 * so many were refreshed. Ends with stdin.
 */

#include "stun.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STUN_ORIGIN 0x802f
#define RESEND_MS 500
#define TRIES 6

struct client {
    int fd;
    int is_made;
    char realm[256];
    char nonce[256];
    uint8_t key[16];
    uint8_t pending[2 * STUN_MAX];
    size_t pending_len;
};

static struct {
    struct sockaddr_storage server;
    const char *user;
    const char *password;
    const char *origin;
    int clients;
    int tcp;
} options = {.user = "", .password = "", .clients = 1};

static void open_client(struct client *c)
{
    c->fd = socket(options.server.ss_family,
                   options.tcp ? SOCK_STREAM : SOCK_DGRAM, 0);
    if (c->fd < 0 || connect(c->fd, (void *)&options.server,
                             stun_address_length(&options.server)) != 0) {
        perror("turn_hold");
        exit(2);
    }
}

/* One message, or 0 when none comes in time. */
static int receive(struct client *c, struct stun *m)
{
    struct pollfd p = {.fd = c->fd, .events = POLLIN};
    ssize_t n;
    int len;

    while ((len = stun_length(c->pending, c->pending_len)) <= 0) {
        if (poll(&p, 1, RESEND_MS) <= 0) {
            return 0;
        }
        c->pending_len = options.tcp ? c->pending_len : 0;
        n = recv(c->fd, c->pending + c->pending_len,
                 sizeof(c->pending) - c->pending_len, 0);
        if (n <= 0) {
            return 0;
        }
        c->pending_len += (size_t)n;
    }
    memcpy(m->bytes, c->pending, (size_t)len);
    m->len = (size_t)len;
    c->pending_len -= (size_t)len;
    memmove(c->pending, c->pending + len, c->pending_len);
    return 1;
}

/* The error code, 0 for success, -1 when there is no answer. */
static int transact(struct client *c, const struct stun *request,
                    struct stun *answer)
{
    for (int tries = 0; tries < TRIES; tries++) {
        if ((!tries || !options.tcp) &&
            send(c->fd, request->bytes, request->len, MSG_NOSIGNAL) < 0 &&
            errno != ECONNREFUSED) {
            return -1;
        }
        while (receive(c, answer)) {
            if (stun_same_transaction(request, answer)) {
                return stun_error(answer, NULL, 0);
            }
        }
    }
    return -1;
}

static void copy(const struct stun *m, unsigned type, char *to, size_t size)
{
    size_t len;
    const uint8_t *p = stun_find(m, type, &len);

    if (p && len < size) {
        memcpy(to, p, len);
        to[len] = '\0';
    }
}

static void begin(struct client *c, struct stun *m, unsigned method)
{
    stun_begin(m, method, STUN_REQUEST);
    if (method == STUN_ALLOCATE) {
        stun_add_u32(m, STUN_REQUESTED_TRANSPORT, IPPROTO_UDP << 24);
        if (options.origin) {
            stun_add_string(m, STUN_ORIGIN, options.origin);
        }
    }
    if (c->nonce[0]) {
        stun_add_string(m, STUN_USERNAME, options.user);
        stun_add_string(m, STUN_REALM, c->realm);
        stun_add_string(m, STUN_NONCE, c->nonce);
        stun_add_integrity(m, c->key);
    }
}

static int ask(struct client *c, unsigned method)
{
    struct stun m, answer;
    int code;

    begin(c, &m, method);
    code = transact(c, &m, &answer);
    if (code == 401 || code == 438) {
        copy(&answer, STUN_REALM, c->realm, sizeof(c->realm));
        copy(&answer, STUN_NONCE, c->nonce, sizeof(c->nonce));
        stun_key(c->key, options.user, c->realm, options.password);
        begin(c, &m, method);
        code = transact(c, &m, &answer);
    }
    return code;
}

static int make(struct client *c)
{
    int code;

    open_client(c);
    /* 437: the kernel's choice of port had an allocation a while ago. */
    while ((code = ask(c, STUN_ALLOCATE)) == 437) {
        close(c->fd);
        open_client(c);
    }
    return c->is_made = code == 0;
}

/* Newlines in the shell's and in Perl's arguments are hard to read. */
static char *with_line_ends(char *text)
{
    char *at;

    while ((at = strstr(text, "\\n"))) {
        *at = '\n';
        memmove(at + 1, at + 2, strlen(at + 2) + 1);
    }
    return text;
}

static void read_options(int argc, char **argv)
{
    int o;

    while ((o = getopt(argc, argv, "s:u:p:n:o:t")) != -1) {
        switch (o) {
        case 's':
            stun_parse_address(optarg, &options.server);
            break;
        case 'u':
            options.user = optarg;
            break;
        case 'p':
            options.password = optarg;
            break;
        case 'n':
            options.clients = atoi(optarg);
            break;
        case 'o':
            options.origin = with_line_ends(optarg);
            break;
        case 't':
            options.tcp = 1;
            break;
        default:
            exit(2);
        }
    }
}

int main(int argc, char **argv)
{
    struct client *clients;
    char line[64];
    int made = 0;

    read_options(argc, argv);
    clients = calloc((size_t)options.clients, sizeof(*clients));
    for (int i = 0; i < options.clients; i++) {
        made += make(&clients[i]);
    }
    printf("hold %d\n", made);
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin)) {
        int alive = 0;

        for (int i = 0; i < options.clients; i++) {
            alive += clients[i].is_made && ask(&clients[i], STUN_REFRESH) == 0;
        }
        printf("alive %d\n", alive);
        fflush(stdout);
    }
    free(clients);
    return 0;
}
