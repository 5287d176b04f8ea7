/*
 * All kinds of clients who come to a shared port in numbers, and leave again
 * at any moment and in any way. Started by Edge::Strangers (t/lib):
 *
 *   strangers -s 127.0.0.1:443 -k h2,stun-tls,silent -n 10000 -c 100 -m 200
 *
 * -k kinds, in turn:
 *   h2        TLS that offers h2, and a request by HTTP/2
 *   tls       TLS without ALPN, and a request by HTTP/1.1
 *   stun-tls  TLS without ALPN, and a Binding request
 *   stun      a Binding request
 *   http      a request without TLS
 *   garbage   random bytes
 *   hello     a part of a ClientHello
 *   silent    nothing at all
 * -n how many in all (0: until stdin ends), -c how many at a time, -r how many
 * begin in a second at most, -m three of four leave within so many ms, by
 * chance, the others, and without -m all, once they have their answer or are
 * closed. They leave with FIN, RST or close_notify.
 *
 * Each has its own address in 127.0.0.0/8. Prints "ready" when as many as -c
 * have connected, or all; at the end how it went for each kind, in one line of
 * JSON: {"h2":{"begun":9,"answered":7,"closed":1,"left":8,"failed":0},…}
 * (answered: as this kind expects; closed: by the other side; failed: no
 * connection).
 */

#include "../turn-client/stun.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define HOST "cmsweb.octavio.test"
#define REQUEST "GET /en-US/home HTTP/1.1\r\nHost: " HOST "\r\n\r\n"
#define GARBAGE_MAX 300
#define TICK_MS 5
#define KINDS 8
/* So many of those who leave by chance do not. */
#define STAY 0.25

/* Preface, SETTINGS, and HEADERS of GET / with the authority as a literal. */
static const char request2[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                               "\0\0\0\4\0\0\0\0\0"
                               "\0\0\30\1\5\0\0\0\1\202\207\204\101\023" HOST;

struct client;

struct kind {
    const char *name;
    int tls;
    const char *alpn; /* with the length of each in front */
    /* What it says, into its buffer; the answer that it expects begins so. */
    void (*say)(struct client *c);
    const char *answer;
    size_t answer_len;
    long begun, answered, closed, left, failed;
};

struct client {
    struct kind *kind; /* NULL: not there */
    int fd;
    SSL *ssl;
    int is_connected;
    int has_said;
    int has_answer;
    double leave_ms; /* 0: when it has its answer */
    uint8_t said[2048];
    size_t said_len;
};

static struct {
    struct sockaddr_storage server;
    struct kind *kinds[64];
    int kind_count;
    long count;
    int at_a_time;
    double per_second;
    double stay_ms;
} options = {.at_a_time = 100};

static struct client *clients;
static int epoll_fd;
static SSL_CTX *tls;
static long begun, connected, there;
static int is_ending;

static double now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* 0 <= x < 1 */
static double chance(void)
{
    return drand48();
}

/* ---- what each kind says ---- */

static void say(struct client *c, const void *p, size_t n)
{
    memcpy(c->said, p, n);
    c->said_len = n;
}

static void say_http2(struct client *c)
{
    say(c, request2, sizeof(request2) - 1);
}

static void say_http(struct client *c)
{
    say(c, REQUEST, sizeof(REQUEST) - 1);
}

static void say_stun(struct client *c)
{
    struct stun m;

    stun_begin(&m, STUN_BINDING, STUN_REQUEST);
    say(c, m.bytes, m.len);
}

static void say_garbage(struct client *c)
{
    c->said_len = 1 + (size_t)(chance() * GARBAGE_MAX);
    RAND_bytes(c->said, (int)c->said_len);
}

static void say_hello(struct client *c)
{
    SSL *ssl = SSL_new(tls);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    int n;

    SSL_set_bio(ssl, in, out);
    SSL_set_tlsext_host_name(ssl, HOST);
    SSL_connect(ssl);
    n = BIO_read(out, c->said, sizeof(c->said));
    c->said_len = 1 + (size_t)(chance() * (n - 2));
    SSL_free(ssl);
    ERR_clear_error();
}

static void say_nothing(struct client *c)
{
    c->said_len = 0;
}

#define ANSWER(text) text, sizeof(text) - 1
#define KIND(name, tls, alpn, say, answer)                                     \
    {                                                                          \
        name, tls, alpn, say, answer, 0, 0, 0, 0, 0                            \
    }

static struct kind kinds[KINDS] = {
    /* SETTINGS of some length come first */
    KIND("h2", 1, "\2h2\10http/1.1", say_http2, ANSWER("\0\0")),
    KIND("tls", 1, NULL, say_http, ANSWER("HTTP/1.1 200")),
    KIND("stun-tls", 1, NULL, say_stun, ANSWER("\1\1")),
    KIND("stun", 0, NULL, say_stun, ANSWER("\1\1")),
    KIND("http", 0, NULL, say_http, ANSWER("HTTP/1.1 400")),
    KIND("garbage", 0, NULL, say_garbage, ANSWER("")),
    KIND("hello", 0, NULL, say_hello, ANSWER("")),
    KIND("silent", 0, NULL, say_nothing, ANSWER("")),
};

/* ---- one client ---- */

static void end(struct client *c, long *how)
{
    ++*how;
    if (c->ssl) {
        SSL_free(c->ssl);
        ERR_clear_error();
    }
    close(c->fd);
    c->kind = NULL;
    there--;
}

static void leave(struct client *c)
{
    struct linger at_once = {1, 0};
    double way = chance();

    if (way < 0.3) {
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    } else if (way < 0.6 && c->ssl && c->has_said) {
        SSL_shutdown(c->ssl);
    }
    end(c, &c->kind->left);
}

/* Whether to go on later (1), or that it is over (0). */
static int tls_waits(struct client *c, int n)
{
    int error = SSL_get_error(c->ssl, n);

    ERR_clear_error();
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

/* 1: said, or to go on later. */
static int speak(struct client *c)
{
    long n;

    if (c->has_said || c->said_len == 0) {
        return 1;
    }
    if (c->ssl) {
        n = SSL_do_handshake(c->ssl);
        if (n == 1) {
            n = SSL_write(c->ssl, c->said, (int)c->said_len);
        }
        if (n <= 0) {
            return tls_waits(c, (int)n);
        }
    } else {
        n = send(c->fd, c->said, c->said_len, MSG_NOSIGNAL);
        if (n < 0) {
            return errno == EAGAIN;
        }
    }
    c->has_said = 1;
    return 1;
}

static void came(struct client *c, const char *p, size_t n)
{
    const struct kind *k = c->kind;

    if (!c->has_answer && k->answer_len > 0 && n >= k->answer_len &&
        memcmp(p, k->answer, k->answer_len) == 0) {
        c->has_answer = 1;
        c->kind->answered++;
    }
}

/* 1: all read that is there; 0: the other side closed. */
static int hear(struct client *c)
{
    char p[4096];
    long n;

    for (;;) {
        n = c->ssl ? SSL_read(c->ssl, p, sizeof(p))
                   : recv(c->fd, p, sizeof(p), 0);
        if (n <= 0) {
            return c->ssl ? tls_waits(c, (int)n) : n < 0 && errno == EAGAIN;
        }
        came(c, p, (size_t)n);
    }
}

static void go_on(struct client *c, unsigned events)
{
    int error = 0;
    socklen_t n = sizeof(error);

    if (!c->is_connected) {
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &n);
        if (error) {
            end(c, &c->kind->failed);
            return;
        }
        if (!(events & EPOLLOUT)) {
            return;
        }
        c->is_connected = 1;
        connected++;
    }
    if (!speak(c) || ((!c->ssl || c->has_said) && !hear(c))) {
        end(c, &c->kind->closed);
    } else if (c->leave_ms == 0 && c->has_answer) {
        leave(c);
    }
}

/* ---- all of them ---- */

/* Another address for each: one has too few ports for many that end. */
static void bind_somewhere(int fd)
{
    struct sockaddr_in from = {.sin_family = AF_INET};
    int on = 1;

    from.sin_addr.s_addr =
        htonl(0x7f010000u + 1 + (uint32_t)begun % 60000);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    bind(fd, (void *)&from, sizeof(from));
}

static void start_tls(struct client *c)
{
    const char *alpn = c->kind->alpn;

    c->ssl = SSL_new(tls);
    SSL_set_fd(c->ssl, c->fd);
    SSL_set_tlsext_host_name(c->ssl, HOST);
    SSL_set_connect_state(c->ssl);
    if (alpn) {
        SSL_set_alpn_protos(c->ssl, (const uint8_t *)alpn,
                            (unsigned)strlen(alpn));
    }
}

static double leaving_time(void)
{
    if (options.stay_ms == 0 || chance() < STAY) {
        return 0;
    }
    return now_ms() + chance() * options.stay_ms;
}

static void begin(struct client *c)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET};

    memset(c, 0, offsetof(struct client, said));
    c->kind = options.kinds[begun % options.kind_count];
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0) {
        perror("strangers: socket");
        exit(2);
    }
    bind_somewhere(c->fd);
    c->leave_ms = leaving_time();
    c->kind->begun++;
    begun++;
    there++;
    if (c->kind->tls) {
        start_tls(c);
    }
    c->kind->say(c);
    if (connect(c->fd, (void *)&options.server, sizeof(struct sockaddr_in)) &&
        errno != EINPROGRESS) {
        end(c, &c->kind->failed);
        return;
    }
    e.data.ptr = c;
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &e);
}

static int may_begin(double begun_ms)
{
    return !is_ending && (options.count == 0 || begun < options.count) &&
           there < options.at_a_time &&
           (options.per_second == 0 ||
            (double)begun < (now_ms() - begun_ms) * options.per_second / 1e3);
}

/* Those whose time has come leave, others begin in their place. */
static void come_and_go(double begun_ms)
{
    double now = now_ms();

    for (int i = 0; i < options.at_a_time; i++) {
        struct client *c = &clients[i];

        if (c->kind && ((c->leave_ms && c->leave_ms < now) || is_ending)) {
            leave(c);
        }
        if (!c->kind && may_begin(begun_ms)) {
            begin(c);
        }
    }
}

static int is_over(void)
{
    return there == 0 &&
           (is_ending || (options.count && begun >= options.count));
}

static void listen_to_stdin(void)
{
    struct pollfd p = {.fd = 0, .events = POLLIN};
    char c;

    if (options.count == 0 && poll(&p, 1, 0) == 1 && read(0, &c, 1) == 0) {
        is_ending = 1;
    }
}

static void run(void)
{
    struct epoll_event events[256];
    double begun_ms = now_ms();
    int is_ready = 0;

    while (!is_over()) {
        int n;

        come_and_go(begun_ms);
        n = epoll_wait(epoll_fd, events, 256, TICK_MS);
        for (int i = 0; i < n; i++) {
            struct client *c = events[i].data.ptr;

            if (c->kind) {
                go_on(c, events[i].events);
            }
        }
        listen_to_stdin();
        if (!is_ready && (connected >= options.at_a_time || is_over())) {
            is_ready = 1;
            puts("ready");
            fflush(stdout);
        }
    }
}

static void report(void)
{
    const char *comma = "{";

    for (int i = 0; i < KINDS; i++) {
        const struct kind *k = &kinds[i];

        if (k->begun) {
            printf("%s\"%s\":{\"begun\":%ld,\"answered\":%ld,\"closed\":%ld,"
                   "\"left\":%ld,\"failed\":%ld}",
                   comma, k->name, k->begun, k->answered, k->closed, k->left,
                   k->failed);
            comma = ",";
        }
    }
    puts("}");
}

static void read_kinds(char *list)
{
    char *name, *rest;

    for (name = strtok_r(list, ",", &rest); name;
         name = strtok_r(NULL, ",", &rest)) {
        int i = 0;

        while (i < KINDS && strcmp(kinds[i].name, name) != 0) {
            i++;
        }
        if (i == KINDS || options.kind_count == 64) {
            fprintf(stderr, "strangers: no kind \"%s\"\n", name);
            exit(2);
        }
        options.kinds[options.kind_count++] = &kinds[i];
    }
}

static void read_options(int argc, char **argv)
{
    int o;

    while ((o = getopt(argc, argv, "s:k:n:c:r:m:")) != -1) {
        switch (o) {
        case 's': o = stun_parse_address(optarg, &options.server); break;
        case 'k': read_kinds(optarg); break;
        case 'n': options.count = atol(optarg); break;
        case 'c': options.at_a_time = atoi(optarg); break;
        case 'r': options.per_second = atof(optarg); break;
        case 'm': options.stay_ms = atof(optarg); break;
        default: o = -1;
        }
        if (o == -1) {
            exit(2);
        }
    }
    if (options.kind_count == 0 || options.at_a_time <= 0 ||
        options.server.ss_family != AF_INET) {
        fprintf(stderr, "strangers: -s IP:PORT -k KINDS, see strangers.c\n");
        exit(2);
    }
}

int main(int argc, char **argv)
{
    struct rlimit files;

    read_options(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    srand48(time(NULL) ^ getpid());
    tls = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
    epoll_fd = epoll_create1(0);
    clients = calloc((size_t)options.at_a_time, sizeof(*clients));
    run();
    report();
    free(clients);
    return 0;
}
