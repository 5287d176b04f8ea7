/*
 * A TURN client for tests: one connection to the server, steps in order from
 * the command line or from stdin, one line of result for each. Started by
 * Edge::Coturn (t/lib) and by hand:
 *
 *   turn_client [-t] [-b FROM] [-w MS] -s 127.0.0.1:3478 -u USER -p PASSWORD \
 *               allocate permission=192.0.2.7 send=192.0.2.7:9,hello
 *
 * -t TCP, -T NAME TLS with a server of that name (-C CA file to trust, without
 * one all are; -A NAME one ALPN id, default: no ALPN), -F TEXT a line sent
 * first over TCP or TLS, -b local address, -w how long to wait for an answer
 * (3000 ms), -r realm (default: the server's), -R keep the first nonce for
 * ever.
 *
 *   binding              binding ok mapped=192.0.2.1:50000
 *   allocate[=OPTION]    allocate ok relay=… mapped=… lifetime=600
 *                        OPTION: tcp (RFC 6062), v6, v4
 *   permission=IP        permission ok
 *   bind=IP:PORT         bind ok (a channel)
 *   send=IP:PORT,TEXT    send ok (an indication: nobody answers)
 *   receive[=MS]         receive from=IP:PORT TEXT
 *   connect=IP:PORT      connect ok (RFC 6062)
 *   refresh[=SECONDS]    refresh ok lifetime=600
 *   -                    goes on with the lines of stdin, until its end
 *
 * Instead of "ok …": "error 403 Forbidden", or "timeout", or "closed". An
 * authenticated step first provokes the 401 with realm and nonce if it has
 * none; "error 401" is then the answer to the request with credentials.
 */

#include "stun.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct client {
    const char *server;
    const char *from;
    int fd;
    int tcp;
    const char *tls_name;
    const char *ca;
    const char *alpn;
    const char *first_line;
    SSL *ssl;
    int wait_ms;
    const char *user;
    const char *password;
    const char *realm_wanted;
    int keep_nonce;
    char realm[256];
    char nonce[256];
    uint8_t key[16];
    unsigned channel;
    /* Bytes of TCP not yet a whole message. */
    uint8_t pending[2 * STUN_MAX];
    size_t pending_len;
    /* A Data indication that arrived while an answer was waited for. */
    struct stun held;
    int has_held;
};

enum { GOT, TIMEOUT, CLOSED };

static long now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void die(const char *what)
{
    fprintf(stderr, "turn_client: %s: %s\n", what, strerror(errno));
    exit(2);
}

/* ---- transport ---- */

static void die_tls(const char *what)
{
    fprintf(stderr, "turn_client: TLS: %s: %s\n", what,
            ERR_reason_error_string(ERR_peek_error()));
    exit(2);
}

static void offer_alpn(SSL *ssl, const char *id)
{
    unsigned char list[256];
    size_t len = strlen(id);

    if (len >= sizeof(list)) {
        die_tls(id);
    }
    list[0] = (unsigned char)len;
    memcpy(list + 1, id, len);
    SSL_set_alpn_protos(ssl, list, (unsigned)len + 1);
}

static void start_tls(struct client *c)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    if (c->ca) {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
        if (SSL_CTX_load_verify_locations(ctx, c->ca, NULL) != 1) {
            die_tls(c->ca);
        }
    }
    c->ssl = SSL_new(ctx);
    SSL_CTX_free(ctx);
    SSL_set_tlsext_host_name(c->ssl, c->tls_name);
    SSL_set1_host(c->ssl, c->tls_name);
    if (c->alpn) {
        offer_alpn(c->ssl, c->alpn);
    }
    /* poll() waits, not SSL_read() behind a session ticket. */
    SSL_clear_mode(c->ssl, SSL_MODE_AUTO_RETRY);
    SSL_set_fd(c->ssl, c->fd);
    if (SSL_connect(c->ssl) != 1) {
        die_tls(c->tls_name);
    }
}

static void send_bytes(struct client *c, const void *p, size_t len)
{
    if (c->ssl) {
        SSL_write(c->ssl, p, (int)len);
    } else if (send(c->fd, p, len, MSG_NOSIGNAL) < 0 && errno != ECONNREFUSED &&
               errno != EPIPE && errno != ECONNRESET) {
        die("send");
    }
}

/* -1 with EAGAIN: nothing yet; 0 or -1: closed. */
static ssize_t receive_bytes(struct client *c, void *p, size_t size)
{
    ssize_t n;

    if (c->ssl) {
        n = SSL_read(c->ssl, p, (int)size);
        errno = n < 0 && SSL_get_error(c->ssl, (int)n) == SSL_ERROR_WANT_READ
                    ? EAGAIN
                    : 0;
        return n;
    }
    n = recv(c->fd, p, size, 0);
    if (n < 0 && errno == ECONNREFUSED) {
        errno = EAGAIN; /* over UDP nobody is there, yet */
    }
    return n;
}

/* In one segment: coturn reads a PROXY header no other way. */
static void send_line(struct client *c, const char *text)
{
    char line[512];
    int len = snprintf(line, sizeof(line), "%s\r\n", text);

    send_bytes(c, line, (size_t)len);
}

static void open_connection(struct client *c)
{
    struct sockaddr_storage to, local;

    if (stun_parse_address(c->server, &to) != 0) {
        die(c->server);
    }
    c->fd = socket(to.ss_family, c->tcp ? SOCK_STREAM : SOCK_DGRAM, 0);
    if (c->from && (stun_parse_address(c->from, &local) != 0 ||
                    bind(c->fd, (void *)&local, stun_address_length(&local)))) {
        die(c->from);
    }
    if (connect(c->fd, (void *)&to, stun_address_length(&to)) != 0) {
        die(c->server);
    }
    if (c->tls_name) {
        start_tls(c);
    }
    if (c->first_line) {
        send_line(c, c->first_line);
    }
}

static void close_connection(struct client *c)
{
    SSL_free(c->ssl);
    c->ssl = NULL;
    close(c->fd);
}

static void send_message(struct client *c, const struct stun *m)
{
    send_bytes(c, m->bytes, m->len);
}

/* Takes one message out of the pending bytes. */
static int take_pending(struct client *c, struct stun *m)
{
    int n = stun_length(c->pending, c->pending_len);

    if (n <= 0) {
        return 0;
    }
    memcpy(m->bytes, c->pending, (size_t)n);
    m->len = (size_t)n;
    c->pending_len -= (size_t)n;
    memmove(c->pending, c->pending + n, c->pending_len);
    return 1;
}

static int receive_message(struct client *c, struct stun *m, long until)
{
    struct pollfd p = {.fd = c->fd, .events = POLLIN};
    ssize_t n;
    long left;

    while (!take_pending(c, m)) {
        left = until - now_ms();
        if (left <= 0 || ((!c->ssl || !SSL_pending(c->ssl)) &&
                          poll(&p, 1, (int)left) == 0)) {
            return TIMEOUT;
        }
        if (!c->tcp) {
            c->pending_len = 0;
        }
        n = receive_bytes(c, c->pending + c->pending_len,
                          sizeof(c->pending) - c->pending_len);
        if (n < 0 && errno == EAGAIN) {
            continue;
        }
        if (n <= 0) {
            return CLOSED;
        }
        c->pending_len += (size_t)n;
    }
    return GOT;
}

/* Sends a request (again every 500 ms over UDP) until it is answered. */
static int transact(struct client *c, const struct stun *request,
                    struct stun *answer)
{
    long end = now_ms() + c->wait_ms, again;
    int r;

    for (;;) {
        send_message(c, request);
        again = c->tcp || now_ms() + 500 > end ? end : now_ms() + 500;
        while ((r = receive_message(c, answer, again)) == GOT) {
            if (stun_same_transaction(request, answer)) {
                return GOT;
            }
            if (stun_method(answer) == STUN_DATA) {
                c->held = *answer;
                c->has_held = 1;
            }
        }
        if (r == CLOSED || now_ms() >= end) {
            return r;
        }
    }
}

/* ---- credentials ---- */

static void copy_attribute(const struct stun *m, unsigned type, char *to,
                           size_t size)
{
    size_t len;
    const uint8_t *p = stun_find(m, type, &len);

    if (p && len < size) {
        memcpy(to, p, len);
        to[len] = '\0';
    }
}

static void learn_challenge(struct client *c, const struct stun *answer)
{
    copy_attribute(answer, STUN_REALM, c->realm, sizeof(c->realm));
    copy_attribute(answer, STUN_NONCE, c->nonce, sizeof(c->nonce));
    if (c->realm_wanted) {
        snprintf(c->realm, sizeof(c->realm), "%s", c->realm_wanted);
    }
    stun_key(c->key, c->user, c->realm, c->password);
}

static void sign(struct client *c, struct stun *m)
{
    stun_add_string(m, STUN_USERNAME, c->user);
    stun_add_string(m, STUN_REALM, c->realm);
    stun_add_string(m, STUN_NONCE, c->nonce);
    stun_add_integrity(m, c->key);
}

/* The same under another transaction ID: only good for provoking a 401. */
static int transact_unsigned(struct client *c, const struct stun *request,
                             struct stun *answer)
{
    struct stun m;

    stun_begin(&m, stun_method(request), STUN_REQUEST);
    memcpy(m.bytes + STUN_HEADER, request->bytes + STUN_HEADER,
           request->len - STUN_HEADER);
    memcpy(m.bytes + 2, request->bytes + 2, 2);
    m.len = request->len;
    return transact(c, &m, answer);
}

/* Keeps its transaction ID, by which IPv6 addresses in it are masked. */
static int transact_signed(struct client *c, const struct stun *request,
                           struct stun *answer)
{
    struct stun m = *request;

    sign(c, &m);
    return transact(c, &m, answer);
}

static int authenticated(struct client *c, const struct stun *request,
                         struct stun *answer)
{
    int r;

    if (!c->nonce[0]) {
        r = transact_unsigned(c, request, answer);
        if (r != GOT || stun_error(answer, NULL, 0) != 401) {
            return r;
        }
        learn_challenge(c, answer);
    }
    r = transact_signed(c, request, answer);
    if (r == GOT && stun_error(answer, NULL, 0) == 438 && !c->keep_nonce) {
        learn_challenge(c, answer);
        r = transact_signed(c, request, answer);
    }
    return r;
}

/* ---- steps ---- */

/* Prints what is no success, and returns whether it was one. */
static int succeeded(const char *step, int r, const struct stun *answer)
{
    char reason[128];
    int code;

    if (r == GOT && stun_class(answer) == STUN_SUCCESS) {
        printf("%s ok", step);
        return 1;
    }
    if (r == GOT) {
        code = stun_error(answer, reason, sizeof(reason));
        printf("%s error %d %s", step, code, reason);
    } else {
        printf("%s %s", step, r == TIMEOUT ? "timeout" : "closed");
    }
    return 0;
}

static void print_address(const struct stun *m, unsigned type, const char *name)
{
    struct sockaddr_storage addr;

    if (stun_find_address(m, type, &addr) == 0) {
        printf(" %s=%s", name, stun_print_address(&addr));
    }
}

static void print_lifetime(const struct stun *m)
{
    size_t len;
    const uint8_t *p = stun_find(m, STUN_LIFETIME, &len);

    if (p && len == 4) {
        printf(" lifetime=%u", (unsigned)p[2] << 8 | p[3]);
    }
}

static void step_binding(struct client *c, const char *arg)
{
    struct stun m, answer;

    (void)arg;
    stun_begin(&m, STUN_BINDING, STUN_REQUEST);
    if (succeeded("binding", transact(c, &m, &answer), &answer)) {
        print_address(&answer, STUN_XOR_MAPPED_ADDRESS, "mapped");
    }
}

static void step_allocate(struct client *c, const char *arg)
{
    struct stun m, answer;
    unsigned protocol = strstr(arg, "tcp") ? IPPROTO_TCP : IPPROTO_UDP;
    int r, tries = 3;

    stun_begin(&m, STUN_ALLOCATE, STUN_REQUEST);
    stun_add_u32(&m, STUN_REQUESTED_TRANSPORT, protocol << 24);
    if (strstr(arg, "v6") || strstr(arg, "v4")) {
        stun_add_u32(&m, STUN_REQUESTED_ADDRESS_FAMILY,
                     (strstr(arg, "v6") ? 2u : 1u) << 24);
    }
    /* 437: the kernel's choice of port had an allocation a while ago. */
    while ((r = authenticated(c, &m, &answer)) == GOT && --tries &&
           stun_error(&answer, NULL, 0) == 437 && !c->from) {
        close_connection(c);
        open_connection(c);
    }
    if (succeeded("allocate", r, &answer)) {
        print_address(&answer, STUN_XOR_RELAYED_ADDRESS, "relay");
        print_address(&answer, STUN_XOR_MAPPED_ADDRESS, "mapped");
        print_lifetime(&answer);
    }
}

/* Begins a message that names a peer; prints and fails on a bad address. */
static int begin_with_peer(struct stun *m, unsigned method, unsigned class,
                           const char *peer)
{
    struct sockaddr_storage addr;

    if (stun_parse_address(peer, &addr) != 0) {
        printf("bad address '%s'", peer);
        return 0;
    }
    stun_begin(m, method, class);
    stun_add_address(m, STUN_XOR_PEER_ADDRESS, &addr);
    return 1;
}

static void step_permission(struct client *c, const char *arg)
{
    struct stun m, answer;

    if (begin_with_peer(&m, STUN_PERMISSION, STUN_REQUEST, arg)) {
        succeeded("permission", authenticated(c, &m, &answer), &answer);
    }
}

static void step_bind(struct client *c, const char *arg)
{
    struct stun m, answer;

    if (begin_with_peer(&m, STUN_CHANNEL_BIND, STUN_REQUEST, arg)) {
        stun_add_u32(&m, STUN_CHANNEL_NUMBER, (0x4000 + c->channel++) << 16);
        succeeded("bind", authenticated(c, &m, &answer), &answer);
    }
}

static void step_connect(struct client *c, const char *arg)
{
    struct stun m, answer;

    if (begin_with_peer(&m, STUN_CONNECT, STUN_REQUEST, arg)) {
        succeeded("connect", authenticated(c, &m, &answer), &answer);
    }
}

static void step_send(struct client *c, const char *arg)
{
    struct stun m;
    char peer[128];
    const char *text = strchr(arg, ',');

    snprintf(peer, sizeof(peer), "%.*s",
             (int)(text ? text - arg : (long)strlen(arg)), arg);
    if (begin_with_peer(&m, STUN_SEND, STUN_INDICATION, peer)) {
        stun_add_string(&m, STUN_DATA_VALUE, text ? text + 1 : "");
        send_message(c, &m);
        printf("send ok");
    }
}

static void step_receive(struct client *c, const char *arg)
{
    struct stun m;
    size_t len;
    const uint8_t *p;
    long end = now_ms() + (arg[0] ? atol(arg) : c->wait_ms);
    int r = GOT;

    if (c->has_held) {
        m = c->held;
        c->has_held = 0;
    } else {
        do {
            r = receive_message(c, &m, end);
        } while (r == GOT && stun_method(&m) != STUN_DATA);
    }
    printf("receive");
    if (r != GOT) {
        printf(" %s", r == TIMEOUT ? "timeout" : "closed");
        return;
    }
    print_address(&m, STUN_XOR_PEER_ADDRESS, "from");
    p = stun_find(&m, STUN_DATA_VALUE, &len);
    printf(" %.*s", p ? (int)len : 0, (const char *)p);
}

static void step_refresh(struct client *c, const char *arg)
{
    struct stun m, answer;

    stun_begin(&m, STUN_REFRESH, STUN_REQUEST);
    if (arg[0]) {
        stun_add_u32(&m, STUN_LIFETIME, (uint32_t)atol(arg));
    }
    if (succeeded("refresh", authenticated(c, &m, &answer), &answer)) {
        print_lifetime(&answer);
    }
}

static const struct {
    const char *name;
    void (*run)(struct client *c, const char *arg);
} steps[] = {
    {"binding", step_binding}, {"allocate", step_allocate},
    {"bind", step_bind},       {"permission", step_permission},
    {"connect", step_connect}, {"send", step_send},
    {"receive", step_receive}, {"refresh", step_refresh},
};

static void run_step(struct client *c, const char *step)
{
    size_t n = strcspn(step, "=");

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        if (strlen(steps[i].name) == n && !strncmp(steps[i].name, step, n)) {
            steps[i].run(c, step[n] ? step + n + 1 : "");
            putchar('\n');
            fflush(stdout);
            return;
        }
    }
    fprintf(stderr, "turn_client: no step is called '%s'\n", step);
    exit(2);
}

static void run_lines(struct client *c)
{
    char line[1024];

    while (fgets(line, sizeof(line), stdin)) {
        line[strcspn(line, "\n")] = '\0';
        run_step(c, line);
    }
}

/* -1 for an option that there is not. */
static int read_options(struct client *c, int argc, char **argv)
{
    int o;

    while ((o = getopt(argc, argv, "s:u:p:r:b:w:tT:C:A:F:R")) != -1) {
        switch (o) {
        case 's':
            c->server = optarg;
            break;
        case 'u':
            c->user = optarg;
            break;
        case 'p':
            c->password = optarg;
            break;
        case 'r':
            c->realm_wanted = optarg;
            break;
        case 'b':
            c->from = optarg;
            break;
        case 'w':
            c->wait_ms = atoi(optarg);
            break;
        case 't':
            c->tcp = 1;
            break;
        case 'T':
            c->tcp = 1;
            c->tls_name = optarg;
            break;
        case 'C':
            c->ca = optarg;
            break;
        case 'A':
            c->alpn = optarg;
            break;
        case 'F':
            c->first_line = optarg;
            break;
        case 'R':
            c->keep_nonce = 1;
            break;
        default:
            return -1;
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct client c = {.server = "127.0.0.1:3478",
                       .wait_ms = 3000,
                       .user = "",
                       .password = ""};

    if (read_options(&c, argc, argv) != 0) {
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    open_connection(&c);
    for (; optind < argc; optind++) {
        if (strcmp(argv[optind], "-") == 0) {
            run_lines(&c);
        } else {
            run_step(&c, argv[optind]);
        }
    }
    return 0;
}
