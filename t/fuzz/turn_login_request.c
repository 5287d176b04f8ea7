/* sources: turn_auth_plugin/login_request.c */

/* Any bytes: names lie inside the message, and end before a zero byte. */

#include "login_request.h"

#include <stdlib.h>
#include <string.h>

static void check(int good)
{
    if (!good) {
        abort();
    }
}

static void inside(const char *p, size_t n, const char *message, size_t len)
{
    if (p) {
        check(p >= message + 24 && p + n <= message + len);
        check(!memchr(p, '\0', n));
    } else {
        check(n == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *message = malloc(size ? size : 1);
    struct login_request r;

    memcpy(message, data, size);
    if (size >= 2 && data[0] & 0x80) {
        message[0] = 0, message[1] = 3;
    }
    check(login_request_parse(&r, message, size) ==
          login_request_is(message, size));
    if (login_request_is(message, size)) {
        inside(r.who.name, r.who.name_len, (char *)message, size);
        inside(r.who.realm, r.who.realm_len, (char *)message, size);
    }
    free(message);
    return 0;
}
