#include "cms_affinity.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

#define AFFINITY_COOKIE "cms_affinity"

/* of nginx's longest upstream name and address; more is not told apart */
#define AFFINITY_TEXT_MAX 1024

static const char hex_digits[] = "0123456789abcdef";

static int
hex_value(unsigned char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* the ID is lower case: it is compared byte by byte */
static int
is_id(const unsigned char *p, size_t len)
{
    size_t i;

    if (len != CMS_AFFINITY_ID_LEN) {
        return 0;
    }
    for (i = 0; i < len; i++) {
        if (hex_value(p[i]) < 0 || (p[i] >= 'A' && p[i] <= 'F')) {
            return 0;
        }
    }
    return 1;
}

int
cms_affinity_id(const unsigned char key[CMS_AFFINITY_KEY_LEN],
                const unsigned char *webbridge, size_t webbridge_len,
                const unsigned char *address, size_t address_len,
                unsigned char id[CMS_AFFINITY_ID_LEN])
{
    unsigned char text[AFFINITY_TEXT_MAX], mac[EVP_MAX_MD_SIZE];
    unsigned mac_len;
    size_t n, i;

    n = webbridge_len < 512 ? webbridge_len : 512;
    memcpy(text, webbridge, n);
    text[n++] = '\0';
    if (address_len > sizeof(text) - n) {
        address_len = sizeof(text) - n;
    }
    memcpy(text + n, address, address_len);
    n += address_len;

    if (HMAC(EVP_sha256(), key, CMS_AFFINITY_KEY_LEN, text, n, mac,
             &mac_len) == NULL) {
        return 0;
    }
    for (i = 0; i < CMS_AFFINITY_ID_LEN / 2; i++) {
        id[2 * i] = hex_digits[mac[i] >> 4];
        id[2 * i + 1] = hex_digits[mac[i] & 15];
    }
    return 1;
}

/* appends; the end. On the way of every request, so no printf */
static unsigned char *
put(unsigned char *p, const void *text, size_t len)
{
    memcpy(p, text, len);
    return p + len;
}

#define PUT_TEXT(p, text) put(p, text, sizeof(text) - 1)

size_t
cms_affinity_name(unsigned char name[CMS_AFFINITY_NAME_MAX], unsigned port)
{
    unsigned char *p = PUT_TEXT(name, AFFINITY_COOKIE);
    char digits[16];

    if (port) {
        p = put(p, digits, (size_t)snprintf(digits, sizeof(digits), "_%u",
                                            port & 0xffff));
    }
    return (size_t)(p - name);
}

/* the end of the pair that starts at pos: the next ";" or the end */
static size_t
pair_end(const unsigned char *value, size_t len, size_t pos)
{
    const unsigned char *p = memchr(value + pos, ';', len - pos);

    return p ? (size_t)(p - value) : len;
}

int
cms_affinity_find(const unsigned char *value, size_t len,
                  const unsigned char *name, size_t name_len, size_t *pos,
                  const unsigned char **id)
{
    size_t start, end, last;

    while (*pos < len) {
        start = *pos;
        end = pair_end(value, len, start);
        *pos = end + 1;

        while (start < end && (value[start] == ' ' || value[start] == '\t')) {
            start++;
        }
        last = end;
        while (last > start &&
               (value[last - 1] == ' ' || value[last - 1] == '\t')) {
            last--;
        }
        if (last - start > name_len && value[start + name_len] == '=' &&
            memcmp(value + start, name, name_len) == 0 &&
            is_id(value + start + name_len + 1,
                  last - start - name_len - 1)) {
            *id = value + start + name_len + 1;
            return 1;
        }
    }
    return 0;
}

size_t
cms_affinity_set_cookie(unsigned char *buf, const unsigned char *name,
                        size_t name_len,
                        const unsigned char id[CMS_AFFINITY_ID_LEN],
                        int secure)
{
    unsigned char *p = put(buf, name, name_len);

    p = PUT_TEXT(p, "=");
    p = put(p, id, CMS_AFFINITY_ID_LEN);
    p = PUT_TEXT(p, "; Path=/; HttpOnly; SameSite=Lax");
    if (secure) {
        p = PUT_TEXT(p, "; Secure");
    }
    *p = '\0';
    return (size_t)(p - buf);
}

static int
is_space(unsigned char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

int
cms_affinity_key(const unsigned char *text, size_t len,
                 unsigned char key[CMS_AFFINITY_KEY_LEN])
{
    size_t i;
    int high, low;

    while (len && is_space(text[len - 1])) {
        len--;
    }
    while (len && is_space(*text)) {
        text++;
        len--;
    }
    if (len != 2 * CMS_AFFINITY_KEY_LEN) {
        return 0;
    }
    for (i = 0; i < CMS_AFFINITY_KEY_LEN; i++) {
        high = hex_value(text[2 * i]);
        low = hex_value(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            return 0;
        }
        key[i] = (unsigned char)(high << 4 | low);
    }
    return 1;
}
