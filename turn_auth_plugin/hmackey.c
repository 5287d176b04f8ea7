/*
 * Hex digits to keys and back; see hmackey.h.
 */

#include "hmackey.h"

static int digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

int hmackey_parse(uint8_t key[HMACKEY_LEN], const char *p, size_t len)
{
    int high, low;

    if (len < HMACKEY_HEX) {
        return -1;
    }
    for (int i = 0; i < HMACKEY_LEN; i++) {
        high = digit(p[2 * i]);
        low = digit(p[2 * i + 1]);
        if (high < 0 || low < 0) {
            return -1;
        }
        key[i] = (uint8_t)(high << 4 | low);
    }
    return 0;
}

void hmackey_print(char hex[HMACKEY_HEX + 1], const uint8_t key[HMACKEY_LEN])
{
    static const char digits[] = "0123456789abcdef";

    for (int i = 0; i < HMACKEY_LEN; i++) {
        hex[2 * i] = digits[key[i] >> 4];
        hex[2 * i + 1] = digits[key[i] & 15];
    }
    hex[HMACKEY_HEX] = '\0';
}
