/*
 * A TCP proxy that puts a distance between a program and its server, for
 * tests and bench ("PostgreSQL 10 ms away"). Started by Edge::Coturn:
 *
 *   tcp_delay LISTEN_IP:PORT SERVER_IP:PORT MS
 *
 * Every byte arrives MS milliseconds after it was sent, each way, in order and
 * however many are under way. Lines on stdin change what happens from now on,
 * each confirmed by the same line on stdout:
 *
 *   delay MS   another distance
 *   hold       nothing passes any more, connects succeed (a silent server)
 *   pass       goes on, with what was held first
 *   refuse     every connection is reset, new ones are refused
 *   accept     the opposite of refuse
 *
 * Questions arrive and answers are held, so that they are old when they come:
 *
 *   hold-answers             what the server sends from now on
 *   hold-answers said TEXT   the same on connections whose client said TEXT
 *                            before (in its first 64 KiB), on no others
 *   hold-answers asked TEXT  on each connection whose client says TEXT (in one
 *                            piece), from then on
 *   held                     confirmed as soon as an answer is being held
 *   release                  all that is held goes on, nothing is held any more
 *   cut                      resets every connection; new ones are welcome
 *   cut said TEXT            only those whose client said TEXT
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_LINKS 512
#define CHUNK 16384
#define SAID 65536

struct chunk {
    struct chunk *next;
    double due_ms;
    size_t len;
    size_t sent;
    char bytes[];
};

/* One direction of a link: read from one socket, due bytes to the other. */
struct lane {
    int from;
    int to;
    int ended;
    int held;
    struct chunk *first;
    struct chunk **last;
};

enum { QUESTIONS, ANSWERS };

struct link {
    int used;
    struct lane lanes[2];
    size_t said_len;
    char said[SAID]; /* what the client said first */
};

static struct link links[MAX_LINKS];
static struct sockaddr_in listen_at, server_at;
static int listener = -1;
static double delay_ms;
static int holding;
static int hold_answers;     /* of new connections as well */
static char hold_asked[256]; /* "": nothing */
static int held_is_asked;    /* somebody waits for "held" */

static double now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void parse(const char *text, struct sockaddr_in *addr)
{
    char host[64];
    const char *colon = strchr(text, ':');

    if (!colon) {
        fprintf(stderr, "tcp_delay: %s is no IP:PORT\n", text);
        exit(2);
    }
    snprintf(host, sizeof(host), "%.*s", (int)(colon - text), text);
    addr->sin_family = AF_INET;
    addr->sin_port = htons((uint16_t)atoi(colon + 1));
    if (inet_pton(AF_INET, host, &addr->sin_addr) != 1) {
        fprintf(stderr, "tcp_delay: %s is no IPv4 address\n", host);
        exit(2);
    }
}

static void open_listener(void)
{
    int on = 1;

    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(listener, (void *)&listen_at, sizeof(listen_at)) ||
        listen(listener, 256)) {
        perror("tcp_delay: listen");
        exit(2);
    }
}

/* ---- links ---- */

static void close_link(struct link *l)
{
    struct chunk *c;

    for (int i = 0; i < 2; i++) {
        while ((c = l->lanes[i].first)) {
            l->lanes[i].first = c->next;
            free(c);
        }
        close(l->lanes[i].from);
    }
    l->used = 0;
}

/* Ends a link with a reset, so that both sides notice at once. */
static void reset_link(struct link *l)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};

    for (int i = 0; i < 2; i++) {
        setsockopt(l->lanes[i].from, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    }
    close_link(l);
}

static void begin_link(int client)
{
    int on = 1, server = socket(AF_INET, SOCK_STREAM, 0);
    struct link *l = links;

    while (l < links + MAX_LINKS && l->used) {
        l++;
    }
    if (l == links + MAX_LINKS ||
        connect(server, (void *)&server_at, sizeof(server_at))) {
        close(server);
        close(client);
        return;
    }
    fcntl(server, F_SETFL, O_NONBLOCK);
    fcntl(client, F_SETFL, O_NONBLOCK);
    setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    l->used = 1;
    l->said_len = 0;
    l->lanes[0] = (struct lane){.from = client, .to = server};
    l->lanes[1] =
        (struct lane){.from = server, .to = client, .held = hold_answers};
    l->lanes[0].last = &l->lanes[0].first;
    l->lanes[1].last = &l->lanes[1].first;
}

/* Remembers what a client said, and begins to hold the answer to it. */
static void listen_to(struct link *l, const char *text, size_t n)
{
    size_t room = SAID - l->said_len;

    memcpy(l->said + l->said_len, text, n < room ? n : room);
    l->said_len += n < room ? n : room;
    if (hold_asked[0] && memmem(text, n, hold_asked, strlen(hold_asked))) {
        l->lanes[ANSWERS].held = 1;
    }
}

static int has_said(const struct link *l, const char *text)
{
    return memmem(l->said, l->said_len, text, strlen(text)) != NULL;
}

/* Takes what has arrived, to be passed on later. */
static void take(struct link *l, struct lane *lane)
{
    struct chunk *c = malloc(sizeof(*c) + CHUNK);
    ssize_t n;

    if (!c) {
        abort();
    }
    n = recv(lane->from, c->bytes, CHUNK, 0);
    if (n <= 0) {
        lane->ended = n == 0 || errno != EAGAIN;
        free(c);
        return;
    }
    *c = (struct chunk){.due_ms = now_ms() + delay_ms, .len = (size_t)n};
    *lane->last = c;
    lane->last = &c->next;
    if (lane == &l->lanes[QUESTIONS]) {
        listen_to(l, c->bytes, c->len);
    }
}

/* Passes on what is due; returns -1 when the other side is gone. */
static int pass(struct lane *lane, double now)
{
    struct chunk *c;
    ssize_t n;

    while ((c = lane->first) && c->due_ms <= now && !lane->held) {
        n = send(lane->to, c->bytes + c->sent, c->len - c->sent, MSG_NOSIGNAL);
        if (n < 0) {
            return errno == EAGAIN ? 0 : -1;
        }
        c->sent += (size_t)n;
        if (c->sent < c->len) {
            return 0;
        }
        lane->first = c->next;
        if (!lane->first) {
            lane->last = &lane->first;
        }
        free(c);
    }
    return 0;
}

static void pass_all(double now)
{
    for (struct link *l = links; l < links + MAX_LINKS; l++) {
        for (int i = 0; l->used && i < 2; i++) {
            struct lane *lane = &l->lanes[i];

            if (pass(lane, now) ||
                (lane->ended && !lane->first && !lane->held)) {
                close_link(l);
            }
        }
    }
}

/* ---- commands and the loop ---- */

/* Those whose client said text; all, when it is NULL. */
static void reset_links(const char *text)
{
    for (struct link *l = links; l < links + MAX_LINKS; l++) {
        if (l->used && (!text || has_said(l, text))) {
            reset_link(l);
        }
    }
}

static void set_held(int held, const char *text)
{
    for (struct link *l = links; l < links + MAX_LINKS; l++) {
        if (l->used && (!text || has_said(l, text))) {
            l->lanes[ANSWERS].held = held;
        }
    }
}

static int is_held(void)
{
    for (struct link *l = links; l < links + MAX_LINKS; l++) {
        if (l->used && l->lanes[ANSWERS].held && l->lanes[ANSWERS].first) {
            return 1;
        }
    }
    return 0;
}

static void begin_to_hold(const char *which)
{
    if (strncmp(which, " asked ", 7) == 0) {
        snprintf(hold_asked, sizeof(hold_asked), "%s", which + 7);
    } else if (strncmp(which, " said ", 6) == 0) {
        set_held(1, which + 6);
    } else {
        hold_answers = 1;
        set_held(1, NULL);
    }
}

static void release(void)
{
    hold_answers = 0;
    hold_asked[0] = '\0';
    set_held(0, NULL);
}

static void confirm(const char *line)
{
    puts(line);
    fflush(stdout);
}

static void obey(char *line)
{
    line[strcspn(line, "\n")] = '\0';
    if (strcmp(line, "held") == 0) {
        held_is_asked = 1;
        return;
    }
    if (strncmp(line, "hold-answers", 12) == 0) {
        begin_to_hold(line + 12);
    } else if (strcmp(line, "release") == 0) {
        release();
    } else if (strcmp(line, "cut") == 0) {
        reset_links(NULL);
    } else if (strncmp(line, "cut said ", 9) == 0) {
        reset_links(line + 9);
    } else if (strncmp(line, "delay ", 6) == 0) {
        delay_ms = atof(line + 6);
    } else if (strcmp(line, "hold") == 0) {
        holding = 1;
    } else if (strcmp(line, "pass") == 0) {
        holding = 0;
    } else if (strcmp(line, "refuse") == 0 && listener >= 0) {
        close(listener);
        listener = -1;
        reset_links(NULL);
    } else if (strcmp(line, "accept") == 0 && listener < 0) {
        open_listener();
    }
    confirm(line);
}

static void on_stdin(int *open)
{
    char text[1024], *save = NULL;
    ssize_t n = read(0, text, sizeof(text) - 1);

    if (n <= 0) {
        *open = 0;
        return;
    }
    text[n] = '\0';
    for (char *line = strtok_r(text, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save)) {
        obey(line);
    }
}

static struct timespec time_to_next(double now)
{
    double next = now + 1000, left;

    for (struct link *l = links; l < links + MAX_LINKS; l++) {
        for (int i = 0; l->used && i < 2; i++) {
            const struct lane *lane = &l->lanes[i];

            if (lane->first && !lane->held && lane->first->due_ms < next) {
                next = lane->first->due_ms;
            }
        }
    }
    left = holding ? 1000 : next > now ? next - now : 0;
    return (struct timespec){.tv_sec = (time_t)(left / 1e3),
                             .tv_nsec = (long)(left * 1e6) % 1000000000};
}

static void wait_and_take(int stdin_open)
{
    struct pollfd p[2 + 2 * MAX_LINKS];
    struct lane *lanes[2 + 2 * MAX_LINKS];
    struct link *owners[2 + 2 * MAX_LINKS];
    struct timespec wait;
    nfds_t n = 2;
    int client, open = stdin_open;

    p[0] = (struct pollfd){.fd = open ? 0 : -1, .events = POLLIN};
    p[1] = (struct pollfd){.fd = listener, .events = POLLIN};
    for (struct link *l = links; l < links + MAX_LINKS && !holding; l++) {
        for (int i = 0; l->used && i < 2; i++) {
            if (!l->lanes[i].ended) {
                lanes[n] = &l->lanes[i];
                owners[n] = l;
                p[n++] = (struct pollfd){l->lanes[i].from, POLLIN, 0};
            }
        }
    }
    wait = time_to_next(now_ms());
    ppoll(p, n, &wait, NULL);
    for (nfds_t i = 2; i < n; i++) {
        if (p[i].revents) {
            take(owners[i], lanes[i]);
        }
    }
    if (p[1].revents && (client = accept(listener, NULL, NULL)) >= 0) {
        begin_link(client);
    }
    if (p[0].revents) {
        on_stdin(&open);
        if (!open) {
            exit(0);
        }
    }
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: tcp_delay IP:PORT IP:PORT MS\n");
        return 2;
    }
    parse(argv[1], &listen_at);
    parse(argv[2], &server_at);
    delay_ms = atof(argv[3]);
    open_listener();
    puts("ready");
    fflush(stdout);
    for (;;) {
        wait_and_take(1);
        if (!holding) {
            pass_all(now_ms());
        }
        if (held_is_asked && is_held()) {
            held_is_asked = 0;
            confirm("held");
        }
    }
}
