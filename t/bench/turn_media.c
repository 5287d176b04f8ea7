/*
 * Media through TURN over TLS or TCP: clients with one allocation and one
 * channel each, and behind it their peer, a UDP socket of this same program.
 * Started by t/bench/share-turn.bench:
 *
 *   turn_media -s 127.0.0.1:5349 -a 192.0.2.7 -u USER -p PASSWORD -V 1.3 \
 *              -n 16 -l 1200 -r 200 -d both
 *
 * -V the newest TLS version (1.2, 1.3; without: plain TCP), -n clients, -l
 * bytes of a message, -T seconds, -d up (client to peer), down or both, -a the
 * address of the peers, -c the host name to ask for. -r so many Mbit/s in all,
 * evenly, every message a TLS record and a segment of its own; without, as fast
 * as it goes: each client keeps -w messages on the way in each direction.
 *
 * Says "ready" once all channels are bound, begins with a line on stdin, and
 * ends with a line of JSON: {"sent":1,"received":1,"bytes":1200,
 * "seconds":1.000,"p50_us":90,"p99_us":90,"tls":"TLSv1.3 TLS_AES_128_…",
 * "cpu":0.010} (messages, bytes received, how long one was on its way, own CPU
 * seconds).
 */

#define _GNU_SOURCE /* epoll_pwait2 */
#include "../turn-client/stun.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define CHANNEL 0x4000
#define IN_SIZE 65536
/* A client with more than this to send keeps no more. */
#define OUT_MAX 65536
#define TICK_NS 200000
#define BURST_NS 20000000
/* So long nothing comes before messages count as lost. */
#define DRAIN_NS 300000000LL
#define TIMES 100000

/* What a message begins with. */
struct stamp {
    int64_t sent_ns;
};

struct flow {
    long sent;
    long received;
    /* Sent, not received and not given up. */
    long on_way;
};

struct client {
    int fd;
    int peer_fd;
    SSL *ssl;
    /* What SSL wrote and the socket did not yet take. */
    BIO *out;
    uint8_t in[IN_SIZE];
    size_t in_len;
    struct flow up, down;
    struct sockaddr_storage relay;
    char realm[256];
    char nonce[256];
    uint8_t key[16];
};

static struct {
    struct sockaddr_storage server, peer;
    const char *user;
    const char *password;
    const char *name;
    int version;
    int clients;
    int length;
    int window;
    int up;
    int down;
    double seconds;
    double rate;
} options = {.user = "user",
             .password = "",
             .clients = 16,
             .length = 1200,
             .window = 16,
             .up = 1,
             .down = 1,
             .seconds = 2};

static struct client *clients;
static int epoll_fd;
static long bytes;
static uint8_t message[4 + 65536];
/* How many messages took so many microseconds. */
static long times[TIMES];

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "turn_media: %s: %s\n", what, strerror(errno));
    ERR_print_errors_fp(stderr);
    exit(2);
}

/* ---- the connection of a client ---- */

/* Passes on what SSL wrote; 0 when the socket is full. */
static int flush(struct client *c)
{
    static char gone[2 * OUT_MAX];
    char *p;
    long n;
    ssize_t sent;

    while ((n = BIO_get_mem_data(c->out, &p)) > 0) {
        sent = send(c->fd, p, (size_t)n, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno != EAGAIN) {
                die("send");
            }
            return 0;
        }
        if (sent == n) {
            (void)BIO_reset(c->out);
        } else {
            BIO_read(c->out, gone, (int)sent);
        }
    }
    return 1;
}

static void put(struct client *c, const void *p, size_t n)
{
    int done =
        c->ssl ? SSL_write(c->ssl, p, (int)n) : BIO_write(c->out, p, (int)n);

    if (done != (int)n) {
        die("write");
    }
}

/* Bytes read, 0 when none are there. */
static size_t get(struct client *c)
{
    size_t room = IN_SIZE - c->in_len;
    ssize_t n;

    if (c->ssl) {
        n = SSL_read(c->ssl, c->in + c->in_len, (int)room);
        if (n <= 0 && SSL_get_error(c->ssl, (int)n) != SSL_ERROR_WANT_READ) {
            die("read");
        }
    } else {
        n = recv(c->fd, c->in + c->in_len, room, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            die("read");
        }
    }
    if (n <= 0) {
        return 0;
    }
    c->in_len += (size_t)n;
    return (size_t)n;
}

static void take(struct client *c, size_t n)
{
    c->in_len -= n;
    memmove(c->in, c->in + n, c->in_len);
}

static void connect_client(struct client *c, SSL_CTX *tls)
{
    int on = 1;

    c->fd = socket(options.server.ss_family, SOCK_STREAM, 0);
    if (connect(c->fd, (void *)&options.server,
                stun_address_length(&options.server)) != 0) {
        die("connect");
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    c->out = BIO_new(BIO_s_mem());
    if (!tls) {
        return;
    }
    c->ssl = SSL_new(tls);
    SSL_set_fd(c->ssl, c->fd);
    if (options.name) {
        SSL_set_tlsext_host_name(c->ssl, options.name);
    }
    if (SSL_connect(c->ssl) != 1) {
        die("TLS handshake");
    }
    SSL_set0_wbio(c->ssl, c->out);
}

/* ---- the allocation of a client ---- */

static void wait_for(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    if (poll(&p, 1, 5000) != 1) {
        errno = ETIMEDOUT;
        die("no answer");
    }
}

/* Sends a request; its answer's error code, 0 for success. */
static int ask(struct client *c, struct stun *m)
{
    int n;

    put(c, m->bytes, m->len);
    flush(c);
    while ((n = stun_length(c->in, c->in_len)) <= 0) {
        if (!get(c)) {
            wait_for(c->fd);
        }
    }
    memcpy(m->bytes, c->in, (size_t)n);
    m->len = (size_t)n;
    take(c, (size_t)n);
    return stun_class(m) == STUN_SUCCESS ? 0 : stun_error(m, NULL, 0);
}

static void sign(struct client *c, struct stun *m)
{
    stun_add_string(m, STUN_USERNAME, options.user);
    stun_add_string(m, STUN_REALM, c->realm);
    stun_add_string(m, STUN_NONCE, c->nonce);
    stun_add_integrity(m, c->key);
}

static void copy_text(const struct stun *m, unsigned type, char *to,
                      size_t size)
{
    size_t n;
    const uint8_t *p = stun_find(m, type, &n);

    snprintf(to, size, "%.*s", p ? (int)n : 0, (const char *)p);
}

static void allocate(struct client *c)
{
    struct stun m;
    int is_signed, code;

    for (is_signed = 0; is_signed < 2; is_signed++) {
        stun_begin(&m, STUN_ALLOCATE, STUN_REQUEST);
        stun_add_u32(&m, STUN_REQUESTED_TRANSPORT, 17u << 24);
        if (is_signed) {
            sign(c, &m);
        }
        code = ask(c, &m);
        if (code != (is_signed ? 0 : 401)) {
            fprintf(stderr, "turn_media: Allocate: %d\n", code);
            exit(2);
        }
        if (!is_signed) {
            copy_text(&m, STUN_REALM, c->realm, sizeof(c->realm));
            copy_text(&m, STUN_NONCE, c->nonce, sizeof(c->nonce));
            stun_key(c->key, options.user, c->realm, options.password);
        }
    }
    if (stun_find_address(&m, STUN_XOR_RELAYED_ADDRESS, &c->relay) != 0) {
        die("no relay address");
    }
}

static void open_peer(struct client *c, struct sockaddr_storage *own)
{
    socklen_t n = sizeof(*own);
    int size = 8 << 20;

    c->peer_fd = socket(options.peer.ss_family, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    setsockopt(c->peer_fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
    if (bind(c->peer_fd, (void *)&options.peer,
             stun_address_length(&options.peer)) != 0 ||
        connect(c->peer_fd, (void *)&c->relay,
                stun_address_length(&c->relay)) != 0 ||
        getsockname(c->peer_fd, (void *)own, &n) != 0) {
        die("peer");
    }
}

static void bind_channel(struct client *c)
{
    struct sockaddr_storage peer;
    struct stun m;
    int code;

    open_peer(c, &peer);
    stun_begin(&m, STUN_CHANNEL_BIND, STUN_REQUEST);
    stun_add_u32(&m, STUN_CHANNEL_NUMBER, (uint32_t)CHANNEL << 16);
    stun_add_address(&m, STUN_XOR_PEER_ADDRESS, &peer);
    sign(c, &m);
    code = ask(c, &m);
    if (code) {
        fprintf(stderr, "turn_media: ChannelBind: %d\n", code);
        exit(2);
    }
}

static void watch(struct client *c)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET};
    int i = (int)(c - clients);

    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    e.data.u32 = (uint32_t)i * 2;
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &e);
    e.events = EPOLLIN | EPOLLET;
    e.data.u32 = (uint32_t)i * 2 + 1;
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->peer_fd, &e);
}

static SSL_CTX *tls_context(void)
{
    SSL_CTX *tls;

    if (!options.version) {
        return NULL;
    }
    tls = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(tls, options.version);
    SSL_CTX_set_mode(tls, SSL_MODE_AUTO_RETRY);
    return tls;
}

static void open_clients(void)
{
    SSL_CTX *tls = tls_context();

    epoll_fd = epoll_create1(0);
    clients = calloc((size_t)options.clients, sizeof(*clients));
    if (!clients) {
        abort();
    }
    for (int i = 0; i < options.clients; i++) {
        connect_client(&clients[i], tls);
        allocate(&clients[i]);
        bind_channel(&clients[i]);
        watch(&clients[i]);
    }
}

/* ---- messages ---- */

static void came(struct flow *f, const uint8_t *p, size_t n)
{
    struct stamp s;
    int64_t us;

    if (n != (size_t)options.length) {
        fprintf(stderr, "turn_media: a message of %zu bytes came\n", n);
        exit(2);
    }
    memcpy(&s, p, sizeof(s));
    us = (now_ns() - s.sent_ns) / 1000;
    times[us < 0 ? 0 : us < TIMES ? us : TIMES - 1]++;
    f->received++;
    f->on_way -= f->on_way > 0;
    bytes += (long)n;
}

static void make_message(void)
{
    struct stamp s = {now_ns()};

    message[0] = CHANNEL >> 8;
    message[1] = CHANNEL & 0xff;
    message[2] = (uint8_t)(options.length >> 8);
    message[3] = (uint8_t)options.length;
    memcpy(message + 4, &s, sizeof(s));
}

/* 0 when the way is full. */
static int send_up(struct client *c)
{
    make_message();
    if (BIO_pending(c->out) > OUT_MAX) {
        return 0;
    }
    put(c, message, 4 + (((size_t)options.length + 3) & ~(size_t)3));
    c->up.sent++;
    c->up.on_way++;
    return 1;
}

static int send_down(struct client *c)
{
    make_message();
    if (send(c->peer_fd, message + 4, (size_t)options.length, 0) < 0) {
        if (errno != EAGAIN && errno != ENOBUFS) {
            die("send to relay");
        }
        return 0;
    }
    c->down.sent++;
    c->down.on_way++;
    return 1;
}

static void read_client(struct client *c)
{
    size_t n, at = 0;

    while (get(c)) {
        while (c->in_len - at >= 4) {
            n = (size_t)(c->in[at + 2] << 8 | c->in[at + 3]);
            if (c->in_len - at < 4 + ((n + 3) & ~(size_t)3)) {
                break;
            }
            came(&c->down, c->in + at + 4, n);
            at += 4 + ((n + 3) & ~(size_t)3);
        }
        take(c, at);
        at = 0;
    }
}

static void read_peer(struct client *c)
{
    static uint8_t p[65536];
    ssize_t n;

    while ((n = recv(c->peer_fd, p, sizeof(p), 0)) >= 0) {
        came(&c->up, p, (size_t)n);
    }
}

/* As fast as it goes: what came makes room for as many. */
static void fill(struct client *c)
{
    while (options.up && c->up.on_way < options.window && send_up(c)) {
    }
    flush(c);
    while (options.down && c->down.on_way < options.window && send_down(c)) {
    }
}

/* ---- the run ---- */

static int wait_events(int64_t ns)
{
    struct epoll_event events[64];
    struct timespec t = {ns / 1000000000, ns % 1000000000};
    struct client *c;
    int n = epoll_pwait2(epoll_fd, events, 64, &t, NULL);

    for (int i = 0; i < n; i++) {
        c = &clients[events[i].data.u32 / 2];
        if (events[i].data.u32 % 2) {
            read_peer(c);
        } else {
            flush(c);
            read_client(c);
        }
        if (!options.rate) {
            fill(c);
        }
    }
    return n;
}

/* As many as are due: to one client after the other, up and down in turn. */
static void send_due(int64_t begun)
{
    static long sent, turn;
    double per_ns = options.rate / 8e3 / options.length;
    long due = (long)((double)(now_ns() - begun) * per_ns);
    long most = 1 + (long)(BURST_NS * per_ns);
    int ways = options.up + options.down, is_up;
    struct client *c;

    /* What this program was too late for is not sent in one burst. */
    sent = due - sent > most ? due - most : sent;
    for (; sent < due; sent++, turn++) {
        c = &clients[turn / ways % options.clients];
        is_up = ways == 2 ? turn % 2 : options.up;
        if (!is_up) {
            send_down(c);
        } else if (send_up(c)) {
            flush(c);
        } else {
            c->up.sent++; /* and lost */
        }
    }
}

static void run_paced(int64_t begun, int64_t end)
{
    while (now_ns() < end) {
        send_due(begun);
        wait_events(TICK_NS);
    }
}

/* Those that were lost no longer fill the window. */
static void forget_lost(void)
{
    for (int i = 0; i < options.clients; i++) {
        clients[i].up.on_way = clients[i].down.on_way = 0;
        fill(&clients[i]);
    }
}

static void run_full(int64_t end)
{
    int64_t heard = now_ns();

    forget_lost();
    while (now_ns() < end) {
        if (wait_events(DRAIN_NS) > 0) {
            heard = now_ns();
        } else if (now_ns() - heard > DRAIN_NS) {
            forget_lost();
        }
    }
}

static void drain(void)
{
    options.rate = 1; /* nothing is sent any more */
    while (wait_events(DRAIN_NS) > 0) {
    }
}

/* ---- figures ---- */

static long quantile_us(double q)
{
    long all = 0, seen = 0;
    int i;

    for (i = 0; i < TIMES; i++) {
        all += times[i];
    }
    for (i = 0; i < TIMES - 1; i++) {
        seen += times[i];
        if ((double)seen >= q * (double)all) {
            break;
        }
    }
    return i;
}

static double cpu_seconds(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void print_figures(double seconds, double cpu)
{
    struct flow all = {0, 0, 0};
    const SSL *ssl = clients[0].ssl;

    for (int i = 0; i < options.clients; i++) {
        all.sent += clients[i].up.sent + clients[i].down.sent;
        all.received += clients[i].up.received + clients[i].down.received;
    }
    printf("{\"sent\":%ld,\"received\":%ld,\"bytes\":%ld,\"seconds\":%.3f,"
           "\"p50_us\":%ld,\"p99_us\":%ld,\"tls\":\"%s %s\",\"cpu\":%.3f}\n",
           all.sent, all.received, bytes, seconds, quantile_us(0.5),
           quantile_us(0.99), ssl ? SSL_get_version(ssl) : "none",
           ssl ? SSL_get_cipher(ssl) : "", cpu);
}

static void run(void)
{
    double cpu = cpu_seconds();
    int64_t begun = now_ns();
    int64_t end = begun + (int64_t)(options.seconds * 1e9);

    if (options.rate > 0) {
        run_paced(begun, end);
    } else {
        run_full(end);
    }
    end = now_ns();
    cpu = cpu_seconds() - cpu;
    drain();
    print_figures((double)(end - begun) / 1e9, cpu);
}

static void usage(void)
{
    fprintf(stderr, "see the beginning of turn_media.c\n");
    exit(2);
}

static void read_options(int argc, char **argv)
{
    int o;

    while ((o = getopt(argc, argv, "s:a:u:p:c:V:n:l:w:r:T:d:")) != -1) {
        switch (o) {
        case 's':
            o = stun_parse_address(optarg, &options.server);
            break;
        case 'a':
            o = stun_parse_address(optarg, &options.peer);
            break;
        case 'u':
            options.user = optarg;
            break;
        case 'p':
            options.password = optarg;
            break;
        case 'c':
            options.name = optarg;
            break;
        case 'V':
            options.version =
                strcmp(optarg, "1.2") ? TLS1_3_VERSION : TLS1_2_VERSION;
            break;
        case 'n':
            options.clients = atoi(optarg);
            break;
        case 'l':
            options.length = atoi(optarg);
            break;
        case 'w':
            options.window = atoi(optarg);
            break;
        case 'r':
            options.rate = atof(optarg);
            break;
        case 'T':
            options.seconds = atof(optarg);
            break;
        case 'd':
            options.up = strcmp(optarg, "down") != 0;
            options.down = strcmp(optarg, "up") != 0;
            break;
        default:
            usage();
        }
        if (o == -1) {
            usage();
        }
    }
}

int main(int argc, char **argv)
{
    char line[16];

    read_options(argc, argv);
    if (options.clients < 1 || options.length < (int)sizeof(struct stamp) ||
        options.length > 8192 || !options.server.ss_family ||
        !options.peer.ss_family) {
        usage();
    }
    open_clients();
    printf("ready\n");
    fflush(stdout);
    if (fgets(line, sizeof(line), stdin)) {
        run();
    }
    return 0;
}
