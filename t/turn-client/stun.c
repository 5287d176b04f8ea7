/*
 * STUN messages for the test clients; see stun.h.
 */

#include "stun.h"

#include <arpa/inet.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define COOKIE 0x2112A442u

static void put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
    put16(p, v >> 16);
    put16(p + 2, v & 0xffff);
}

static unsigned get16(const uint8_t *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

static void set_length(struct stun *m)
{
    put16(m->bytes + 2, (unsigned)(m->len - STUN_HEADER));
}

/* ---- building ---- */

void stun_begin(struct stun *m, unsigned method, unsigned class)
{
    memset(m->bytes, 0, STUN_HEADER);
    put16(m->bytes, method | class);
    put32(m->bytes + 4, COOKIE);
    if (getrandom(m->bytes + 8, 12, 0) != 12) {
        abort();
    }
    m->len = STUN_HEADER;
}

void stun_add(struct stun *m, unsigned type, const void *value, size_t len)
{
    size_t padded = (len + 3) & ~(size_t)3;
    uint8_t *p = m->bytes + m->len;

    if (m->len + 4 + padded > STUN_MAX) {
        fprintf(stderr, "STUN attribute of %zu bytes does not fit\n", len);
        exit(2);
    }
    put16(p, type);
    put16(p + 2, (unsigned)len);
    memset(p + 4, 0, padded);
    memcpy(p + 4, value, len);
    m->len += 4 + padded;
    set_length(m);
}

void stun_add_string(struct stun *m, unsigned type, const char *value)
{
    stun_add(m, type, value, strlen(value));
}

void stun_add_u32(struct stun *m, unsigned type, uint32_t value)
{
    uint8_t v[4];

    put32(v, value);
    stun_add(m, type, v, sizeof(v));
}

/* The mask of XOR addresses is the cookie and the transaction ID. */
static void xor_bytes(const struct stun *m, uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        p[i] ^= m->bytes[4 + i];
    }
}

void stun_add_address(struct stun *m, unsigned type,
                      const struct sockaddr_storage *addr)
{
    const struct sockaddr_in *v4 = (const void *)addr;
    const struct sockaddr_in6 *v6 = (const void *)addr;
    uint8_t v[20] = {0};
    size_t n = addr->ss_family == AF_INET ? 4 : 16;

    v[1] = n == 4 ? 1 : 2;
    memcpy(v + 2, n == 4 ? &v4->sin_port : &v6->sin6_port, 2);
    memcpy(v + 4, n == 4 ? (const void *)&v4->sin_addr : &v6->sin6_addr, n);
    xor_bytes(m, v + 2, 2);
    xor_bytes(m, v + 4, n);
    stun_add(m, type, v, 4 + n);
}

void stun_add_integrity(struct stun *m, const uint8_t *key)
{
    uint8_t mac[20];
    unsigned n = sizeof(mac);

    /* The length that is signed counts this attribute already. */
    put16(m->bytes + 2, (unsigned)(m->len + 24 - STUN_HEADER));
    HMAC(EVP_sha1(), key, 16, m->bytes, m->len, mac, &n);
    stun_add(m, STUN_MESSAGE_INTEGRITY, mac, sizeof(mac));
}

void stun_key(uint8_t *key, const char *user, const char *realm,
              const char *password)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned n = 16;

    EVP_DigestInit_ex(ctx, EVP_md5(), NULL);
    EVP_DigestUpdate(ctx, user, strlen(user));
    EVP_DigestUpdate(ctx, ":", 1);
    EVP_DigestUpdate(ctx, realm, strlen(realm));
    EVP_DigestUpdate(ctx, ":", 1);
    EVP_DigestUpdate(ctx, password, strlen(password));
    EVP_DigestFinal_ex(ctx, key, &n);
    EVP_MD_CTX_free(ctx);
}

/* ---- reading ---- */

int stun_length(const uint8_t *p, size_t n)
{
    size_t len;

    if (n < STUN_HEADER) {
        return 0;
    }
    len = STUN_HEADER + get16(p + 2);
    if ((p[0] & 0xc0) || (len & 3) || len > STUN_MAX) {
        return -1;
    }
    return n < len ? 0 : (int)len;
}

unsigned stun_method(const struct stun *m)
{
    return get16(m->bytes) & ~(unsigned)STUN_CLASS;
}

unsigned stun_class(const struct stun *m)
{
    return get16(m->bytes) & STUN_CLASS;
}

int stun_same_transaction(const struct stun *a, const struct stun *b)
{
    return memcmp(a->bytes + 4, b->bytes + 4, 16) == 0;
}

const uint8_t *stun_find(const struct stun *m, unsigned type, size_t *len)
{
    size_t at = STUN_HEADER, n;

    while (at + 4 <= m->len) {
        n = get16(m->bytes + at + 2);
        if (at + 4 + n > m->len) {
            break;
        }
        if (get16(m->bytes + at) == type) {
            *len = n;
            return m->bytes + at + 4;
        }
        at += 4 + ((n + 3) & ~(size_t)3);
    }
    return NULL;
}

int stun_find_address(const struct stun *m, unsigned type,
                      struct sockaddr_storage *addr)
{
    struct sockaddr_in *v4 = (void *)addr;
    struct sockaddr_in6 *v6 = (void *)addr;
    size_t len, n;
    const uint8_t *p = stun_find(m, type, &len);
    uint8_t v[20];

    if (!p || (len != 8 && len != 20)) {
        return -1;
    }
    n = len - 4;
    memcpy(v, p, len);
    xor_bytes(m, v + 2, 2);
    xor_bytes(m, v + 4, n);
    memset(addr, 0, sizeof(*addr));
    addr->ss_family = n == 4 ? AF_INET : AF_INET6;
    memcpy(n == 4 ? &v4->sin_port : &v6->sin6_port, v + 2, 2);
    memcpy(n == 4 ? (void *)&v4->sin_addr : &v6->sin6_addr, v + 4, n);
    return 0;
}

int stun_error(const struct stun *m, char *reason, size_t size)
{
    size_t len;
    const uint8_t *p = stun_find(m, STUN_ERROR_CODE, &len);

    if (!p || len < 4) {
        return 0;
    }
    if (reason) {
        snprintf(reason, size, "%.*s", (int)(len - 4), (const char *)p + 4);
    }
    return (p[2] & 7) * 100 + p[3];
}

/* ---- addresses as text ---- */

int stun_parse_address(const char *text, struct sockaddr_storage *addr)
{
    struct sockaddr_in *v4 = (void *)addr;
    struct sockaddr_in6 *v6 = (void *)addr;
    char host[64];
    const char *end = NULL;
    int port = 0;

    memset(addr, 0, sizeof(*addr));
    snprintf(host, sizeof(host), "%s", text);
    if (text[0] == '[' && (end = strchr(text, ']'))) {
        snprintf(host, sizeof(host), "%.*s", (int)(end - text - 1), text + 1);
        port = end[1] == ':' ? atoi(end + 2) : 0;
    } else if (strchr(text, '.') && (end = strrchr(text, ':')) &&
               strchr(text, ':') == end) {
        host[end - text] = '\0';
        port = atoi(end + 1);
    }
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        return 0;
    }
    if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        return 0;
    }
    return -1;
}

const char *stun_print_address(const struct sockaddr_storage *addr)
{
    const struct sockaddr_in *v4 = (const void *)addr;
    const struct sockaddr_in6 *v6 = (const void *)addr;
    static char text[80];
    char host[INET6_ADDRSTRLEN];

    if (addr->ss_family == AF_INET) {
        inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
        snprintf(text, sizeof(text), "%s:%d", host, ntohs(v4->sin_port));
    } else {
        inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
        snprintf(text, sizeof(text), "[%s]:%d", host, ntohs(v6->sin6_port));
    }
    return text;
}

socklen_t stun_address_length(const struct sockaddr_storage *addr)
{
    return addr->ss_family == AF_INET ? sizeof(struct sockaddr_in)
                                      : sizeof(struct sockaddr_in6);
}
