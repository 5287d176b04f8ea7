/* sources: turn_auth_plugin/login_request.c */

#include "login_request.h"
#include "tap.h"

#include <stdlib.h>

static uint8_t message[600];
static size_t len;

static void begin(unsigned type)
{
    memset(message, 0, sizeof(message));
    message[0] = (uint8_t)(type >> 8);
    message[1] = (uint8_t)type;
    memcpy(message + 4,
           "\x21\x12\xa4\x42"
           "transaction!",
           16);
    len = 20;
}

static void attribute(unsigned type, const char *value, size_t n)
{
    message[len + 1] = (uint8_t)type;
    message[len + 2] = (uint8_t)(n >> 8);
    message[len + 3] = (uint8_t)n;
    memcpy(message + len + 4, value, n);
    len += 4 + (n + 3) / 4 * 4;
}

/* On the heap in its own size: a byte read behind it is found. */
static int parse(struct login_request *r, size_t n)
{
    static uint8_t *last;

    free(last);
    last = malloc(n ? n : 1);
    memcpy(last, message, n);
    return login_request_parse(r, last, n);
}

static void names(void)
{
    struct login_request r;

    begin(3);
    attribute(0x19, "\21\0\0\0", 4);
    attribute(0x06, "guest", 5);
    attribute(0x14, "octavio.test", 12);
    attribute(0x06, "second", 6);
    ok(parse(&r, len), "an Allocate request");
    is_mem(r.who.name, r.who.name_len, "guest", "its first name");
    is_mem(r.who.realm, r.who.realm_len, "octavio.test", "its realm");
    ok(memcmp(&r.transaction, "transact", 8) == 0, "its transaction");
    begin(3);
    attribute(0x06, "guest\0hidden", 12);
    parse(&r, len);
    is_mem(r.who.name, r.who.name_len, "guest", "a name ends at a zero byte");
    is_int((long)r.who.realm_len, 0, "no realm");
}

static void others(void)
{
    struct login_request r;

    begin(0x0103);
    ok(!parse(&r, len), "an answer is none");
    begin(0x0113);
    ok(!parse(&r, len), "nor an error");
    begin(0x0004);
    ok(!parse(&r, len), "nor a Refresh");
    ok(!parse(&r, 0), "nor nothing");
}

static void cut(void)
{
    struct login_request r;
    size_t whole;

    begin(3);
    attribute(0x14, "octavio.test", 12);
    attribute(0x06, "guest", 5);
    whole = len;
    for (size_t n = 20; n < whole - 3; n++) {
        if (!parse(&r, n) || r.who.name_len) {
            ok(0, "%zu bytes", n);
        }
    }
    ok(parse(&r, whole) && r.who.name_len == 5,
       "no name is read beyond the end");
    message[20 + 2] = 0xff;
    ok(parse(&r, whole) && !r.who.name_len, "nor by a length that lies");
}

int main(void)
{
    names();
    others();
    cut();
    return done_testing();
}
