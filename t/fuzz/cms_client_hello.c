/* sources: ngx_cms_proxy_module/cms_client_hello.c */

/*
 * The same message says the same in whatever records it comes; a shorter
 * piece says MORE or what the whole says; no hello is shorter than need.
 */

#include "cms_client_hello.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define WIRE_MAX (6 * 8192)

static cms_client_hello_status_t
look(cms_client_hello_t *h, const uint8_t *p, size_t len)
{
    uint8_t *copy = malloc(len);
    cms_client_hello_status_t status;

    memcpy(copy, p, len);
    status = cms_client_hello_read(h, copy, len);
    free(copy);
    return status;
}

static int
same(const cms_client_hello_t *a, const cms_client_hello_t *b)
{
    return a->server_name_len == b->server_name_len &&
           memcmp(a->server_name, b->server_name, a->server_name_len) == 0 &&
           a->alpn_len == b->alpn_len &&
           memcmp(a->alpn, b->alpn, a->alpn_len) == 0 &&
           a->alpn_present == b->alpn_present && a->alpn_stun == b->alpn_stun &&
           a->alpn_http == b->alpn_http && a->broken == b->broken;
}

static void
check_result(const cms_client_hello_t *h, cms_client_hello_status_t status)
{
    size_t i;

    if (h->server_name_len >= sizeof(h->server_name) ||
        h->alpn_len > sizeof(h->alpn) ||
        h->broken != (status == CMS_CLIENT_HELLO_BAD) ||
        (!h->alpn_present && (h->alpn_len || h->alpn_stun || h->alpn_http)) ||
        (status != CMS_CLIENT_HELLO_OK &&
         (h->server_name_len || h->alpn_present))) {
        abort();
    }
    for (i = 0; i < h->server_name_len; i++) {
        if (h->server_name[i] <= ' ' || h->server_name[i] > '~' ||
            strchr("\"'/:\\{}$;,", h->server_name[i])) {
            abort();
        }
    }
}

/* Pieces of any length, of which some are just below what was needed. */
static void
check_prefixes(const uint8_t *p, size_t len, const cms_client_hello_t *whole,
               cms_client_hello_status_t status)
{
    cms_client_hello_t h;
    size_t n, need = 0, step = len / 16 + 1;

    for (n = 0; n < len; n += step) {
        cms_client_hello_status_t got = look(&h, p, n);

        check_result(&h, got);
        if (got != CMS_CLIENT_HELLO_MORE) {
            if (got != status || !same(&h, whole)) {
                abort();
            }
            return;
        }
        if ((n > 0 && h.need <= n) || h.need < need) {
            abort();
        }
        need = h.need;
        if (need > len ? status == CMS_CLIENT_HELLO_OK
                       : look(&h, p, need - 1) == CMS_CLIENT_HELLO_OK) {
            abort();
        }
    }
}

/* The message with the header that it should have, in records that data says.
 */
static size_t
records_of(uint8_t *to, const uint8_t *message, size_t len, uint8_t seed)
{
    uint8_t header[5] = {0x16, 3, 1, 0, 0};
    size_t pos, n, out = 0;

    for (pos = 0; pos < len; pos += n) {
        n = seed == 0 ? len : seed < 64 ? seed : 1 + (pos * seed) % 97;
        n = n > len - pos ? len - pos : n;
        header[3] = n >> 8;
        header[4] = n;
        memcpy(to + out, header, 5);
        memcpy(to + out + 5, message + pos, n);
        out += 5 + n;
    }
    return out;
}

static void
check_records(uint8_t *message, size_t len, uint8_t seed)
{
    static uint8_t wire[WIRE_MAX];
    cms_client_hello_t one, many;
    cms_client_hello_status_t status;
    size_t wire_len;

    message[0] = 1;
    message[1] = 0;
    message[2] = (len - 4) >> 8;
    message[3] = len - 4;
    wire_len = records_of(wire, message, len, 0);
    status = look(&one, wire, wire_len);
    check_result(&one, status);
    if (status != CMS_CLIENT_HELLO_OK && status != CMS_CLIENT_HELLO_BAD) {
        abort();
    }
    wire_len = records_of(wire, message, len, seed);
    if (look(&many, wire, wire_len) != status || !same(&one, &many)) {
        abort();
    }
    check_prefixes(wire, wire_len, &one, status);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t message[8192];
    cms_client_hello_t h;
    cms_client_hello_status_t status;

    status = look(&h, data, size);
    check_result(&h, status);
    check_prefixes(data, size, &h, status);
    if (size > 5 && size <= sizeof(message)) {
        memcpy(message, data + 1, size - 1);
        check_records(message, size - 1, data[0]);
    }
    return 0;
}
