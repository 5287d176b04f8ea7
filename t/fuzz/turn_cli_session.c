/* sources: turn_auth_plugin/cli_session.c */

/*
 * What coturn's CLI may send. Any bytes: read in bounds, the same in one part
 * or two. And any text as a client's ORIGIN (127 bytes) in a list of two
 * sessions: these two are named, nothing else.
 */

#include "cli_session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REST                                                                   \
    "      started: undefined time\r\n      expired\r\n"                       \
    "      client protocol UDP, relay protocol UDP\r\n"                        \
    "      client addr 1.1.1.1:1, server addr 1.1.1.1:1\r\n"                   \
    "      fingerprints enforced: OFF\r\n      mobile: OFF\r\n"                \
    "      usage: rp=0, rb=0, sp=0, sb=0\r\n"                                  \
    "       rate: r=0, s=0, total=0 (bytes per sec)\r\n"
#define ORIGIN_MAX 127

static const struct user_name user = {"r", 1, "u", 1};

static void check(int good)
{
    if (!good) {
        abort();
    }
}

static enum cli_reply read_part(struct cli_reader *r, struct cli_sessions *l,
                                const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    const uint8_t *p = copy;
    enum cli_reply reply;

    memcpy(copy, data, size);
    reply = cli_read_sessions(r, l, &p, &size);
    free(copy);
    return reply;
}

static void read_in_two(struct cli_sessions *l, const uint8_t *data,
                        size_t size, size_t first)
{
    struct cli_reader r;

    cli_reader_begin(&r);
    cli_sessions_begin(l, &user);
    if (read_part(&r, l, data, first) == CLI_MORE) {
        read_part(&r, l, data + first, size - first);
    }
    check(l->count <= CLI_SESSIONS && r.len <= CLI_LINE);
}

static void any_bytes(const uint8_t *data, size_t size)
{
    static struct cli_sessions one, two;
    struct cli_reader r;

    read_in_two(&one, data, size, size);
    read_in_two(&two, data, size, size / 2);
    check(one.count == two.count && one.total == two.total &&
          memcmp(one.ids, two.ids, one.count * sizeof(one.ids[0])) == 0);
    cli_reader_begin(&r);
    while (cli_read_prompt(&r, &data, &size) != CLI_MORE) {
    }
}

/* coturn's text ends at a zero; its telnet makes LF to CR LF. */
static size_t print_origin(char *to, const uint8_t *data, size_t size)
{
    size_t n = 0;

    for (size_t i = 0; i < size && i < ORIGIN_MAX && data[i]; i++) {
        if (data[i] == '\n') {
            to[n++] = '\r';
        }
        if (data[i] == 0xff) {
            to[n++] = (char)data[i];
        }
        to[n++] = (char)data[i];
    }
    return n;
}

static void any_origin(const uint8_t *data, size_t size)
{
    static struct cli_sessions l;
    char text[4096];
    size_t n;

    n = (size_t)sprintf(text, "\r\n    1) id=000000000000000001, user <u>:\r\n"
                              "      realm: r\r\n      origin: ");
    n += print_origin(text + n, data, size);
    n += (size_t)sprintf(
        text + n,
        "\r\n" REST "\r\n    2) id=000000000000000002, user <u>:\r\n"
        "      realm: r\r\n" REST "\r\n  Total sessions: 2\r\n\r\n> ");
    read_in_two(&l, (const uint8_t *)text, n, n / 3);
    check(l.count == 2 && l.ids[0] == 1 && l.ids[1] == 2 && l.ended);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    any_bytes(data, size);
    any_origin(data, size);
    return 0;
}
