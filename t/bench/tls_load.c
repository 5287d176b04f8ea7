/*
 * HTTPS load: -n clients, each of which opens a TLS connection, asks for / as
 * often as -k says, closes it, and begins anew. Started by t/bench/share.bench:
 *
 *   tls_load -s 127.0.0.1:443 -c cmsweb.octavio.test -V 1.3 -A h2 -n 8 -k 100
 *
 * -N so many connections in all, or -T seconds; -V TLS version (1.2, 1.3), -A
 * what ALPN offers (h2, http/1.1; without: no ALPN, HTTP/1.1), -R each client
 * resumes the session of its first connection, which does not count.
 *
 * Ends with a line of JSON: {"connections":1,"requests":1,"resumed":1,
 * "seconds":1.000}. An answer that is no 200, or a session that was to be
 * resumed and was not, ends it with an error.
 */

#include "../turn-client/stun.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define IN_SIZE 65536
#define H2_DATA 0
#define H2_HEADERS 1
#define H2_SETTINGS 4
#define H2_END_STREAM 1
#define H2_ACK 1

/* One thread each. */
struct client {
    pthread_t thread;
    int number;
    int fd;
    SSL *ssl;
    SSL_SESSION *session;
    uint8_t in[IN_SIZE];
    size_t in_len;
    uint32_t stream;
};

static struct {
    struct sockaddr_storage server;
    const char *name;
    const char *alpn;
    int version;
    int clients;
    int resume;
    long requests;
    long connections;
    double seconds;
} options = {.name = "localhost",
             .version = TLS1_3_VERSION,
             .clients = 1,
             .requests = 1,
             .connections = -1,
             .seconds = 1e9};

static SSL_CTX *tls;
static atomic_long connections, requests, resumed;
static double end;

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what)
{
    fprintf(stderr, "tls_load: %s: %s\n", what, strerror(errno));
    ERR_print_errors_fp(stderr);
    _exit(2);
}

/* ---- the connection ---- */

/* Each client has an address of its own, so that ports do not run out. */
static void open_tcp(struct client *c)
{
    struct sockaddr_in own = {.sin_family = AF_INET};
    int on = 1;

    own.sin_addr.s_addr = htonl(0x7f000100u + (unsigned)c->number + 1);
    c->fd = socket(options.server.ss_family, SOCK_STREAM, 0);
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (bind(c->fd, (void *)&own, sizeof(own)) != 0 ||
        connect(c->fd, (void *)&options.server,
                stun_address_length(&options.server)) != 0) {
        die("connect");
    }
}

static void open_tls(struct client *c)
{
    /* Used once, OpenSSL does not offer it again. */
    SSL_SESSION *offered = c->session ? SSL_SESSION_dup(c->session) : NULL;
    unsigned char alpn[16];

    c->ssl = SSL_new(tls);
    SSL_set_app_data(c->ssl, c);
    SSL_set_fd(c->ssl, c->fd);
    SSL_set_tlsext_host_name(c->ssl, options.name);
    if (options.alpn) {
        alpn[0] = (unsigned char)strlen(options.alpn);
        memcpy(alpn + 1, options.alpn, alpn[0]);
        SSL_set_alpn_protos(c->ssl, alpn, 1u + alpn[0]);
    }
    if (offered) {
        SSL_set_session(c->ssl, offered);
        SSL_SESSION_free(offered);
    }
    if (SSL_connect(c->ssl) != 1) {
        die("TLS handshake");
    }
    if (offered && !SSL_session_reused(c->ssl)) {
        die("the session was not resumed");
    }
}

static void close_all(struct client *c)
{
    SSL_shutdown(c->ssl);
    SSL_free(c->ssl);
    close(c->fd);
}

static void put(struct client *c, const void *p, size_t n)
{
    if (SSL_write(c->ssl, p, (int)n) != (int)n) {
        die("write");
    }
}

static void get(struct client *c)
{
    int n = SSL_read(c->ssl, c->in + c->in_len, (int)(IN_SIZE - c->in_len));

    if (n <= 0) {
        die("no answer");
    }
    c->in_len += (size_t)n;
}

static void take(struct client *c, size_t n)
{
    c->in_len -= n;
    memmove(c->in, c->in + n, c->in_len);
}

/* The first session of a client is the one that is resumed. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
    struct client *c = SSL_get_app_data(ssl);

    if (!options.resume || c->session) {
        return 0;
    }
    c->session = session;
    return 1;
}

/* ---- HTTP/1.1 ---- */

static void ask_http1(struct client *c)
{
    char text[256], *head_end, *length;
    size_t n, whole;

    n = (size_t)snprintf(text, sizeof(text),
                         "GET / HTTP/1.1\r\nHost: %s\r\n"
                         "\r\n",
                         options.name);
    put(c, text, n);
    do {
        get(c);
        c->in[c->in_len < IN_SIZE ? c->in_len : IN_SIZE - 1] = '\0';
        head_end = strstr((char *)c->in, "\r\n\r\n");
    } while (!head_end);
    length = strstr((char *)c->in, "Content-Length: ");
    if (strncmp((char *)c->in, "HTTP/1.1 200", 12) || !length) {
        die((char *)c->in);
    }
    whole = (size_t)(head_end + 4 - (char *)c->in) +
            (size_t)atol(length + strlen("Content-Length: "));
    while (c->in_len < whole) {
        get(c);
    }
    take(c, whole);
}

/* ---- HTTP/2 (RFC 9113), with what nginx needs of it ---- */

static size_t frame(uint8_t *p, size_t n, int type, int flags, uint32_t stream)
{
    p[0] = 0;
    p[1] = (uint8_t)(n >> 8);
    p[2] = (uint8_t)n;
    p[3] = (uint8_t)type;
    p[4] = (uint8_t)flags;
    stream = htonl(stream);
    memcpy(p + 5, &stream, 4);
    return 9 + n;
}

static void begin_http2(struct client *c)
{
    /* preface, empty SETTINGS, WINDOW_UPDATE of the connection to 1 GB */
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                                  "\0\0\0\4\0\0\0\0\0"
                                  "\0\0\4\10\0\0\0\0\0\77\0\0\0";

    c->stream = 1;
    put(c, preface, sizeof(preface) - 1);
}

/* The next frame; its length without the 9 bytes of its head. */
static size_t next_frame(struct client *c)
{
    size_t n;

    while (c->in_len < 9) {
        get(c);
    }
    n = (size_t)c->in[1] << 8 | c->in[2];
    while (c->in_len < 9 + n) {
        get(c);
    }
    return n;
}

static void ask_http2(struct client *c)
{
    /* :method GET, :scheme https, :path /, :authority */
    uint8_t p[256] = {[9] = 0x82, 0x87, 0x84, 0x01}, ack[9];
    size_t n = strlen(options.name);
    int is_end;

    p[13] = (uint8_t)n;
    memcpy(p + 14, options.name, n);
    put(c, p, frame(p, 5 + n, H2_HEADERS, 4 | H2_END_STREAM, c->stream));
    do {
        n = next_frame(c);
        if (c->in[3] == H2_SETTINGS && !(c->in[4] & H2_ACK)) {
            put(c, ack, frame(ack, 0, H2_SETTINGS, H2_ACK, 0));
        } else if (c->in[3] == H2_HEADERS && c->in[9] != 0x88) {
            die("an answer that is no 200");
        } else if (c->in[3] == 3 || c->in[3] == 7) {
            die("RST_STREAM or GOAWAY");
        }
        is_end = c->in[3] <= H2_HEADERS && (c->in[4] & H2_END_STREAM);
        take(c, 9 + n);
    } while (!is_end);
    c->stream += 2;
}

/* ---- the run ---- */

static void connection(struct client *c, long n)
{
    int is_http2 = options.alpn && !strcmp(options.alpn, "h2");
    const unsigned char *alpn;
    unsigned alpn_len;

    open_tcp(c);
    open_tls(c);
    SSL_get0_alpn_selected(c->ssl, &alpn, &alpn_len);
    if (is_http2 && alpn_len != 2) {
        die("no HTTP/2");
    }
    c->in_len = 0;
    if (is_http2) {
        begin_http2(c);
    }
    for (long i = 0; i < n && now() < end; i++) {
        if (is_http2) {
            ask_http2(c);
        } else {
            ask_http1(c);
        }
        requests++;
    }
    resumed += SSL_session_reused(c->ssl);
    close_all(c);
    connections++;
}

static void *client(void *arg)
{
    struct client *c = arg;

    while (now() < end && connections < options.connections) {
        connection(c, options.requests);
    }
    return NULL;
}

/* Tickets of TLS 1.3 come with the first answer. */
static void first_session(struct client *c)
{
    connection(c, 1);
    if (!c->session) {
        die("no session to resume");
    }
}

static void run(void)
{
    struct client *clients = calloc((size_t)options.clients, sizeof(*clients));
    double begun;
    int i;

    end = 1e300;
    for (i = 0; clients && i < options.clients; i++) {
        clients[i].number = i;
        if (options.resume) {
            first_session(&clients[i]);
        }
    }
    connections = requests = resumed = 0;
    begun = now();
    end = begun + options.seconds;
    for (i = 0; i < options.clients; i++) {
        pthread_create(&clients[i].thread, NULL, client, &clients[i]);
    }
    for (i = 0; i < options.clients; i++) {
        pthread_join(clients[i].thread, NULL);
    }
    printf("{\"connections\":%ld,\"requests\":%ld,\"resumed\":%ld,"
           "\"seconds\":%.3f}\n",
           connections, requests, resumed, now() - begun);
}

static void make_tls(void)
{
    tls = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(tls, options.version);
    SSL_CTX_set_max_proto_version(tls, options.version);
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_CLIENT |
                                            SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(tls, on_session);
}

static void usage(void)
{
    fprintf(stderr, "see the beginning of tls_load.c\n");
    exit(2);
}

int main(int argc, char **argv)
{
    int o;

    while ((o = getopt(argc, argv, "s:c:V:A:n:k:N:T:R")) != -1) {
        switch (o) {
        case 's':
            stun_parse_address(optarg, &options.server);
            break;
        case 'c':
            options.name = optarg;
            break;
        case 'V':
            options.version =
                strcmp(optarg, "1.2") ? TLS1_3_VERSION : TLS1_2_VERSION;
            break;
        case 'A':
            options.alpn = optarg;
            break;
        case 'n':
            options.clients = atoi(optarg);
            break;
        case 'k':
            options.requests = atol(optarg);
            break;
        case 'N':
            options.connections = atol(optarg);
            break;
        case 'T':
            options.seconds = atof(optarg);
            break;
        case 'R':
            options.resume = 1;
            break;
        default:
            usage();
        }
    }
    if (!options.server.ss_family || options.clients < 1 ||
        strlen(options.name) > 200 ||
        (options.alpn && strlen(options.alpn) > 15)) {
        usage();
    }
    if (options.connections < 0) {
        options.connections = 1000000000;
    }
    make_tls();
    run();
    return 0;
}
