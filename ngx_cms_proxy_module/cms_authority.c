/*
 * Splits and compares authorities. Called for the Host of each request by the
 * gate, and for the names in the configuration.
 */

#include "cms_authority.h"

#include <string.h>

#define HOST_MAX 253 /* RFC 1035 section 2.3.4, without the root's dot */

static int
is_digit(unsigned char c)
{
    return c >= '0' && c <= '9';
}

static unsigned char
lower(unsigned char c)
{
    return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

static int
is_name_char(unsigned char c)
{
    c = lower(c);
    return is_digit(c) || (c >= 'a' && c <= 'z') || c == '-' || c == '_';
}

static int
is_hex(unsigned char c)
{
    c = lower(c);
    return is_digit(c) || (c >= 'a' && c <= 'f');
}

/* WHATWG URL, "ends in a number": such a host is an IPv4 address or nothing. */
static int
ends_in_number(const unsigned char *p, size_t len)
{
    size_t i, start;

    for (start = len; start > 0 && p[start - 1] != '.'; start--) {
        /* to the last label */
    }
    for (i = start; i < len && is_digit(p[i]); i++) {
        /* all digits? */
    }
    if (i == len) {
        return 1;
    }
    if (len - start < 2 || p[start] != '0' || lower(p[start + 1]) != 'x') {
        return 0;
    }
    for (i = start + 2; i < len && is_hex(p[i]); i++) {
        /* all hex digits? */
    }
    return i == len;
}

static cms_authority_status_t
check_host(const unsigned char *p, size_t len)
{
    size_t i, label = 0;

    if (len == 0) {
        return CMS_AUTHORITY_EMPTY;
    }
    if (p[0] == '[') {
        return CMS_AUTHORITY_IP;
    }
    if (len > HOST_MAX) {
        return CMS_AUTHORITY_INVALID;
    }
    for (i = 0; i < len; i++) {
        if (p[i] == '.') {
            if (label == 0) {
                return CMS_AUTHORITY_INVALID;
            }
            label = 0;
        } else if (!is_name_char(p[i]) || ++label > 63) {
            return CMS_AUTHORITY_INVALID;
        }
    }
    if (label == 0) {
        return CMS_AUTHORITY_INVALID;
    }
    return ends_in_number(p, len) ? CMS_AUTHORITY_IP : CMS_AUTHORITY_OK;
}

static int
parse_port(const unsigned char *p, size_t len, unsigned *port)
{
    size_t i;
    unsigned n = 0;

    if (len > 5) {
        return 0;
    }
    for (i = 0; i < len; i++) {
        if (!is_digit(p[i])) {
            return 0;
        }
        n = n * 10 + (p[i] - '0');
    }
    *port = n;
    return len == 0 || (n >= 1 && n <= 65535);
}

cms_authority_status_t
cms_authority_parse(const unsigned char *p, size_t len, cms_authority_t *a)
{
    const unsigned char *colon;
    size_t host_len = len;

    a->host = p;
    a->host_len = 0;
    a->port = 0;

    if (len && p[0] == '[') {
        return CMS_AUTHORITY_IP;
    }
    colon = len ? memchr(p, ':', len) : NULL;
    if (colon) {
        host_len = colon - p;
        if (!parse_port(colon + 1, len - host_len - 1, &a->port)) {
            return CMS_AUTHORITY_INVALID;
        }
    }
    if (host_len > 1 && p[host_len - 1] == '.') {
        host_len--;
    }
    a->host_len = host_len;
    return check_host(p, host_len);
}

const char *
cms_authority_reason(cms_authority_status_t status)
{
    switch (status) {
    case CMS_AUTHORITY_EMPTY:
        return "is empty";
    case CMS_AUTHORITY_IP:
        return "is an IP address";
    case CMS_AUTHORITY_INVALID:
        return "is not a valid host name with an optional port";
    case CMS_AUTHORITY_OK:
        break;
    }
    return "is valid";
}

int
cms_authority_same_host(const unsigned char *a, size_t a_len,
                        const unsigned char *b, size_t b_len)
{
    size_t i;

    if (a_len != b_len) {
        return 0;
    }
    for (i = 0; i < a_len; i++) {
        if (lower(a[i]) != lower(b[i])) {
            return 0;
        }
    }
    return 1;
}

int
cms_authority_of_url(const unsigned char *url, size_t len,
                     const unsigned char **p, size_t *p_len)
{
    size_t i, start;

    for (i = 0; i < len && (is_name_char(url[i]) || url[i] == '+'); i++) {
        /* the scheme */
    }
    if (i == 0 || len - i < 3 || memcmp(url + i, "://", 3) != 0) {
        return 0;
    }
    start = i + 3;
    for (i = start; i < len; i++) {
        if (url[i] == '/' || url[i] == '?' || url[i] == '#' || url[i] <= ' ') {
            break;
        }
    }
    *p = url + start;
    *p_len = i - start;
    return 1;
}

int
cms_authority_of_request_line(const unsigned char *line, size_t len,
                              const unsigned char **p, size_t *p_len)
{
    const unsigned char *space = len ? memchr(line, ' ', len) : NULL;

    if (space == NULL) {
        return 0;
    }
    while (space < line + len && *space == ' ') {
        space++;
    }
    return cms_authority_of_url(space, len - (space - line), p, p_len);
}
