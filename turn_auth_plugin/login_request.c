/*
 * A walk over the attributes; see login_request.h.
 */

#include "login_request.h"

#include <string.h>

#define HEADER 20
#define ATTRIBUTE 4
#define TRANSACTION 8 /* behind the length and the magic cookie */

#define USERNAME 0x0006
#define REALM 0x0014

static unsigned number(const uint8_t *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

int login_request_is(const uint8_t *message, size_t len)
{
    return len >= HEADER && message[0] == 0x00 && message[1] == 0x03;
}

static void take(const char **p, size_t *n, const uint8_t *value, size_t len)
{
    if (!*p) {
        *p = (const char *)value;
        *n = strnlen(*p, len);
    }
}

int login_request_parse(struct login_request *r, const uint8_t *message,
                        size_t len)
{
    size_t at = HEADER, n;

    if (!login_request_is(message, len)) {
        return 0;
    }
    memset(r, 0, sizeof(*r));
    memcpy(&r->transaction, message + TRANSACTION, sizeof(r->transaction));
    while (len - at >= ATTRIBUTE) {
        const uint8_t *value = message + at + ATTRIBUTE;

        n = number(message + at + 2);
        if (n > len - at - ATTRIBUTE) {
            break;
        }
        if (number(message + at) == USERNAME) {
            take(&r->who.name, &r->who.name_len, value, n);
        } else if (number(message + at) == REALM) {
            take(&r->who.realm, &r->who.realm_len, value, n);
        }
        n = (n + 3) / 4 * 4 + ATTRIBUTE;
        at += n < len - at ? n : len - at;
    }
    return 1;
}
