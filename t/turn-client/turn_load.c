/*
 * Load on a TURN server over UDP, for tests and bench: each client loops
 * Allocate -> 401 -> Allocate with credentials -> Refresh 0, every loop from a
 * new port. Started by Edge::Coturn and t/bench/turn.bench:
 *
 *   turn_load -s 127.0.0.1:3478 -n 32 -T 10 -u user%d -U 100 -p PASSWORD
 *
 * -n clients at a time, -T seconds (or until SIGTERM), -u user name (%d is
 * replaced by 0..U-1), -U how many users, -f further clients that log in with
 * names nobody has (a flood), -i print a line every so many ms, -w give a
 * request up after so many ms (2000; sent again every 250 ms), -x end with the
 * first refusal, -r so many loops a second in all, evenly begun, each by a
 * client that has ended its last one (0: each begins anew at once; what could
 * not begin for 100 ms is left out; a flood has no rate).
 *
 * Each line is JSON: {"from_ms":0,"to_ms":500,"allocations":…,"per_second":…,
 * "refused":{"401":…},"timeouts":…,"p50_ms":…,"p99_ms":…,"max_ms":…,
 * "flood":…,"flood_allowed":…}; the times are those of the request with
 * credentials. The last line is the total and has "total":true; with -x
 * "refused_at":… as well, seconds of unix time.
 */

#include "stun.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define RESEND_MS 250
#define BEHIND_MS 100
#define MAX_CODE 700

enum state { IDLE, CHALLENGE, CREDENTIALS, RELEASE };

struct client {
    int fd;
    enum state state;
    int flood;
    unsigned loop;
    char user[128];
    char nonce[256];
    char realm[256];
    uint8_t key[16];
    struct stun request;
    double sent_ms;
    double resent_ms;
};

/* What happened in a window, or in all. */
struct tally {
    double from_ms;
    long allocations;
    long refused[MAX_CODE];
    long timeouts;
    long flood;
    long flood_allowed;
    float *times;
    size_t times_len;
    size_t times_size;
};

static struct {
    struct sockaddr_storage server;
    const char *user;
    const char *password;
    int users;
    int clients;
    int flooders;
    double seconds;
    double interval_ms;
    double give_up_ms;
    double rate;
    int until_refused;
} options = {.user = "user%d",
             .password = "",
             .users = 1,
             .clients = 32,
             .seconds = 10,
             .give_up_ms = 2000};

static struct tally window, total;
static int epoll_fd;
static volatile sig_atomic_t stopping;
static struct timespec refused_at;

static void on_signal(int s)
{
    (void)s;
    stopping = 1;
}

static double now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* ---- counting ---- */

static void add_time(struct tally *t, double ms)
{
    if (t->times_len == t->times_size) {
        t->times_size = t->times_size ? 2 * t->times_size : 4096;
        t->times = realloc(t->times, t->times_size * sizeof(float));
        if (!t->times) {
            abort();
        }
    }
    t->times[t->times_len++] = (float)ms;
}

static int compare_times(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

static double quantile(const struct tally *t, double q)
{
    return t->times_len
               ? (double)t->times[(size_t)floor(q * (double)(t->times_len - 1))]
               : 0;
}

static void print_refused(const struct tally *t)
{
    const char *comma = "";

    printf("\"refused\":{");
    for (int code = 0; code < MAX_CODE; code++) {
        if (t->refused[code]) {
            printf("%s\"%d\":%ld", comma, code, t->refused[code]);
            comma = ",";
        }
    }
    printf("},");
}

static void print_tally(struct tally *t, double start, double now, int last)
{
    double s = (now - t->from_ms) / 1e3;

    qsort(t->times, t->times_len, sizeof(float), compare_times);
    printf("{%s\"from_ms\":%.0f,\"to_ms\":%.0f,\"allocations\":%ld,",
           last ? "\"total\":true," : "", t->from_ms - start, now - start,
           t->allocations);
    printf("\"per_second\":%.1f,", s > 0 ? (double)t->allocations / s : 0);
    print_refused(t);
    printf("\"timeouts\":%ld,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f,",
           t->timeouts, quantile(t, 0.5), quantile(t, 0.99), quantile(t, 1));
    if (last && refused_at.tv_sec) {
        printf("\"refused_at\":%lld.%06ld,", (long long)refused_at.tv_sec,
               refused_at.tv_nsec / 1000);
    }
    printf("\"flood\":%ld,\"flood_allowed\":%ld}\n", t->flood,
           t->flood_allowed);
    fflush(stdout);
}

static void begin_window(double now)
{
    float *times = window.times;
    size_t size = window.times_size;

    memset(&window, 0, sizeof(window));
    window.times = times;
    window.times_size = size;
    window.from_ms = now;
}

static void count_refused(const struct client *c, int code)
{
    if (c->flood) {
        window.flood++;
        total.flood++;
        return;
    }
    if (options.until_refused) {
        clock_gettime(CLOCK_REALTIME, &refused_at);
        stopping = 1;
    }
    code = code > 0 && code < MAX_CODE ? code : 0;
    window.refused[code]++;
    total.refused[code]++;
}

static void count_allowed(const struct client *c, double ms)
{
    if (c->flood) {
        window.flood_allowed++;
        total.flood_allowed++;
        return;
    }
    window.allocations++;
    total.allocations++;
    add_time(&window, ms);
    add_time(&total, ms);
}

/* ---- one client ---- */

static void send_request(struct client *c)
{
    c->resent_ms = now_ms();
    if (send(c->fd, c->request.bytes, c->request.len, 0) < 0 &&
        errno != ECONNREFUSED && errno != EAGAIN) {
        perror("turn_load: send");
        exit(2);
    }
}

static void sign_and_send(struct client *c)
{
    stun_add_string(&c->request, STUN_USERNAME, c->user);
    stun_add_string(&c->request, STUN_REALM, c->realm);
    stun_add_string(&c->request, STUN_NONCE, c->nonce);
    stun_add_integrity(&c->request, c->key);
    c->sent_ms = now_ms();
    send_request(c);
}

static void choose_user(struct client *c)
{
    static unsigned turn;
    const char *at = strstr(options.user, "%d");

    if (c->flood) {
        snprintf(c->user, sizeof(c->user), "nobody%u-%u-%d", turn++, c->loop,
                 getpid());
    } else if (at) {
        snprintf(c->user, sizeof(c->user), "%.*s%u%s", (int)(at - options.user),
                 options.user, turn++ % (unsigned)options.users, at + 2);
    } else {
        snprintf(c->user, sizeof(c->user), "%s", options.user);
    }
}

/*
 * A server on loopback is called from 127.1.0.1:1024 and upwards, in turn:
 * coturn keeps a released allocation for a while, and the kernel's choice of
 * ports would meet it again (437).
 */
static void bind_new_port(int fd)
{
    const struct sockaddr_in *to = (const void *)&options.server;
    struct sockaddr_in from = {.sin_family = AF_INET};
    static uint32_t turn;
    static int begun;

    if (!begun) {
        /* Another load may have begun elsewhere a moment ago. */
        begun = getrandom(&turn, sizeof(turn), 0) > 0;
    }
    if (to->sin_family != AF_INET || ntohl(to->sin_addr.s_addr) >> 24 != 127) {
        return;
    }
    do {
        from.sin_addr.s_addr = htonl(0x7f010001 + turn / 60000);
        from.sin_port = htons((uint16_t)(1024 + turn % 60000));
        turn++;
    } while (bind(fd, (void *)&from, sizeof(from)) && errno == EADDRINUSE);
}

static void begin_loop(struct client *c)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};

    if (c->fd >= 0) {
        close(c->fd);
    }
    c->fd = socket(options.server.ss_family, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    bind_new_port(c->fd);
    if (c->fd < 0 || connect(c->fd, (void *)&options.server,
                             stun_address_length(&options.server))) {
        perror("turn_load: connect");
        exit(2);
    }
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &e);
    c->loop++;
    choose_user(c);
    c->state = CHALLENGE;
    stun_begin(&c->request, STUN_ALLOCATE, STUN_REQUEST);
    stun_add_u32(&c->request, STUN_REQUESTED_TRANSPORT, 17u << 24);
    c->sent_ms = now_ms();
    send_request(c);
}

static void end_loop(struct client *c)
{
    if (options.rate > 0 && !c->flood) {
        c->state = IDLE;
    } else {
        begin_loop(c);
    }
}

static void copy_attribute(const struct stun *m, unsigned type, char *to,
                           size_t size)
{
    size_t len;
    const uint8_t *p = stun_find(m, type, &len);

    snprintf(to, size, "%.*s", p ? (int)len : 0, (const char *)p);
}

static void allocate(struct client *c, const struct stun *challenge)
{
    copy_attribute(challenge, STUN_REALM, c->realm, sizeof(c->realm));
    copy_attribute(challenge, STUN_NONCE, c->nonce, sizeof(c->nonce));
    stun_key(c->key, c->user, c->realm, options.password);
    c->state = CREDENTIALS;
    stun_begin(&c->request, STUN_ALLOCATE, STUN_REQUEST);
    stun_add_u32(&c->request, STUN_REQUESTED_TRANSPORT, 17u << 24);
    sign_and_send(c);
}

static void release(struct client *c)
{
    c->state = RELEASE;
    stun_begin(&c->request, STUN_REFRESH, STUN_REQUEST);
    stun_add_u32(&c->request, STUN_LIFETIME, 0);
    sign_and_send(c);
}

static void on_answer(struct client *c, const struct stun *answer)
{
    int code = stun_error(answer, NULL, 0);

    if (c->state == CHALLENGE && code == 401) {
        allocate(c, answer);
    } else if (c->state == CREDENTIALS && code == 0) {
        count_allowed(c, now_ms() - c->sent_ms);
        release(c);
    } else {
        if (c->state != RELEASE) {
            count_refused(c, code);
        }
        end_loop(c);
    }
}

static void on_readable(struct client *c)
{
    struct stun m;
    ssize_t n = recv(c->fd, m.bytes, sizeof(m.bytes), 0);

    if (n <= 0 || stun_length(m.bytes, (size_t)n) <= 0) {
        return;
    }
    m.len = (size_t)n;
    if (c->state != IDLE && stun_same_transaction(&m, &c->request)) {
        on_answer(c, &m);
    }
}

static void check_times(struct client *c, int n)
{
    double now = now_ms();

    for (; n > 0; n--, c++) {
        if (c->state == IDLE) {
            continue;
        }
        if (now - c->sent_ms > options.give_up_ms) {
            if (!c->flood) {
                window.timeouts++;
                total.timeouts++;
            }
            end_loop(c);
        } else if (now - c->resent_ms > RESEND_MS) {
            send_request(c);
        }
    }
}

/* ---- all of them ---- */

/* Begins what is due; the milliseconds until the next. */
static int begin_due(struct client *clients, double now)
{
    static double due;
    double latest = now - BEHIND_MS;

    if (options.rate <= 0) {
        return 20;
    }
    due = due == 0 ? now : due < latest ? latest : due;
    for (int i = 0; i < options.clients && due <= now; i++) {
        if (clients[i].state == IDLE) {
            begin_loop(&clients[i]);
            due += 1e3 / options.rate;
        }
    }
    return due <= now ? 1 : due - now < 20 ? (int)ceil(due - now) : 20;
}

static void run(struct client *clients, int n)
{
    struct epoll_event events[64];
    double start = now_ms(), now = start, checked = start;
    int got;

    begin_window(start);
    total.from_ms = start;
    while (!stopping && now - start < options.seconds * 1e3) {
        got = epoll_wait(epoll_fd, events, 64, begin_due(clients, now));
        for (int i = 0; i < got; i++) {
            on_readable(events[i].data.ptr);
        }
        now = now_ms();
        if (now - checked > 20) {
            check_times(clients, n);
            checked = now;
        }
        if (options.interval_ms > 0 &&
            now - window.from_ms >= options.interval_ms) {
            print_tally(&window, start, now, 0);
            begin_window(now);
        }
    }
    print_tally(&total, start, now, 1);
}

static void read_options(int argc, char **argv)
{
    int o;

    while ((o = getopt(argc, argv, "s:n:T:u:U:p:f:i:w:r:x")) != -1) {
        switch (o) {
        case 's':
            if (stun_parse_address(optarg, &options.server) != 0) {
                fprintf(stderr, "turn_load: bad address %s\n", optarg);
                exit(2);
            }
            break;
        case 'n':
            options.clients = atoi(optarg);
            break;
        case 'T':
            options.seconds = atof(optarg);
            break;
        case 'u':
            options.user = optarg;
            break;
        case 'U':
            options.users = atoi(optarg);
            break;
        case 'p':
            options.password = optarg;
            break;
        case 'f':
            options.flooders = atoi(optarg);
            break;
        case 'i':
            options.interval_ms = atof(optarg);
            break;
        case 'w':
            options.give_up_ms = atof(optarg);
            break;
        case 'r':
            options.rate = atof(optarg);
            break;
        case 'x':
            options.until_refused = 1;
            break;
        default:
            exit(2);
        }
    }
}

int main(int argc, char **argv)
{
    struct client *clients;
    int n;

    stun_parse_address("127.0.0.1:3478", &options.server);
    read_options(argc, argv);
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    epoll_fd = epoll_create1(0);
    n = options.clients + options.flooders;
    clients = calloc((size_t)n, sizeof(*clients));
    if (!clients || epoll_fd < 0) {
        perror("turn_load");
        return 2;
    }
    for (int i = 0; i < n; i++) {
        clients[i].fd = -1;
        clients[i].flood = i >= options.clients;
        end_loop(&clients[i]);
    }
    run(clients, n);
    return 0;
}
