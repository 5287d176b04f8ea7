/*
 * How long a TURN server takes to refuse a wrong password and an unknown user,
 * and whether the two answers can be told apart. Started by Edge::Coturn:
 *
 *   turn_timing -s 127.0.0.1:3478 -u KNOWN -x UNKNOWN -n 10000
 *
 * Each refusal is a new session over UDP: Allocate, 401 with the nonce,
 * Allocate with a wrong password; the answer to that is timed. The server is on
 * loopback. The two kinds alternate, in random order. %d in UNKNOWN is a number
 * that grows. One line of JSON:
 * {"wrong_us":…,"unknown_us":…,"refused":…,"different":…}: medians; different
 * counts pairs of answers that differ in more than transaction ID and nonce.
 */

#include "stun.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum { WRONG, UNKNOWN };

static struct {
    struct sockaddr_storage server;
    const char *names[2];
    int count;
} options = {.names = {"known", "unknown"}, .count = 10000};

static double now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void fail(const char *what)
{
    fprintf(stderr, "turn_timing: %s\n", what);
    exit(2);
}

/*
 * From 127.1.0.1:1024 and upwards, in turn: coturn remembers a session, and its
 * user, for a while, and the kernel's choice of ports would meet it again.
 */
static int bind_next(int fd)
{
    static uint32_t turn;
    static int begun;
    struct sockaddr_in from = {.sin_family = AF_INET};

    if (!begun) {
        begun = getrandom(&turn, sizeof(turn), 0) > 0;
        turn &= 0xffffff;
    }
    from.sin_addr.s_addr = htonl(0x7f010001 + turn / 60000);
    from.sin_port = htons((uint16_t)(1024 + turn % 60000));
    turn++;
    return bind(fd, (void *)&from, sizeof(from));
}

static int new_session(void)
{
    struct timeval patience = {.tv_sec = 5};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    if (fd < 0 || bind_next(fd) ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) ||
        connect(fd, (void *)&options.server,
                stun_address_length(&options.server))) {
        fail("no socket");
    }
    return fd;
}

static double ask(int fd, const struct stun *request, struct stun *answer)
{
    double sent_us = now_us();
    ssize_t n;

    if (send(fd, request->bytes, request->len, 0) < 0) {
        fail("cannot send");
    }
    n = recv(fd, answer->bytes, sizeof(answer->bytes), 0);
    if (n <= 0) {
        fail("no answer");
    }
    answer->len = (size_t)n;
    return now_us() - sent_us;
}

static void begin_allocate(struct stun *m)
{
    stun_begin(m, STUN_ALLOCATE, STUN_REQUEST);
    stun_add_u32(m, STUN_REQUESTED_TRANSPORT, 17u << 24);
}

static void add_same(struct stun *m, unsigned type, const struct stun *from)
{
    size_t len = 0;
    const uint8_t *p = stun_find(from, type, &len);

    stun_add(m, type, p, p ? len : 0);
}

static double refusal_us(const char *name, struct stun *answer)
{
    static const uint8_t wrong[16] = "no password at a";
    struct stun request, challenge;
    int fd = new_session();
    double us;

    begin_allocate(&request);
    ask(fd, &request, &challenge);
    begin_allocate(&request);
    stun_add_string(&request, STUN_USERNAME, name);
    add_same(&request, STUN_REALM, &challenge);
    add_same(&request, STUN_NONCE, &challenge);
    stun_add_integrity(&request, wrong);
    us = ask(fd, &request, answer);
    close(fd);
    return us;
}

static void print_name(char *name, size_t size, const char *form, int number)
{
    const char *at = strstr(form, "%d");

    if (at) {
        snprintf(name, size, "%.*s%d%s", (int)(at - form), form, number,
                 at + 2);
    } else {
        snprintf(name, size, "%s", form);
    }
}

/* What must differ becomes zeros. */
static void blank(struct stun *m)
{
    size_t len;
    const uint8_t *nonce = stun_find(m, STUN_NONCE, &len);

    memset(m->bytes + 8, 0, 12);
    if (nonce) {
        memset(m->bytes + (nonce - m->bytes), 0, len);
    }
}

static int same(struct stun *a, struct stun *b)
{
    blank(a);
    blank(b);
    return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *times, int n)
{
    qsort(times, (size_t)n, sizeof(*times), compare);
    return times[n / 2];
}

static void run(void)
{
    double *times[2] = {calloc((size_t)options.count, sizeof(double)),
                        calloc((size_t)options.count, sizeof(double))};
    struct stun answers[2];
    int refused = 0, different = 0;
    uint8_t first = 0;
    char name[600];

    for (int i = 0; i < options.count; i++) {
        if (getrandom(&first, 1, 0) != 1) {
            fail("no random byte");
        }
        for (int j = 0; j < 2; j++) {
            int kind = (first + j) & 1;

            print_name(name, sizeof(name), options.names[kind], i);
            times[kind][i] = refusal_us(name, &answers[kind]);
            refused += stun_error(&answers[kind], NULL, 0) == 401;
        }
        different += !same(&answers[WRONG], &answers[UNKNOWN]);
    }
    printf("{\"wrong_us\":%.2f,\"unknown_us\":%.2f,\"refused\":%d,"
           "\"different\":%d}\n",
           median(times[WRONG], options.count),
           median(times[UNKNOWN], options.count), refused, different);
}

int main(int argc, char **argv)
{
    int o;

    while ((o = getopt(argc, argv, "s:u:x:n:")) != -1) {
        switch (o) {
        case 's':
            if (stun_parse_address(optarg, &options.server) != 0) {
                fail("bad address");
            }
            break;
        case 'u':
            options.names[WRONG] = optarg;
            break;
        case 'x':
            options.names[UNKNOWN] = optarg;
            break;
        case 'n':
            options.count = atoi(optarg);
            break;
        default:
            return 2;
        }
    }
    run();
    return 0;
}
