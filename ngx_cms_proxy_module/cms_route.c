/*
 * Names the route of a request and finds the call ID of a guest link. Called
 * for the variables $cms_route and $cms_call_id.
 */

#include "cms_route.h"

#include <string.h>

#define CALL_ID_MAX 20

static const char *const route_names[] = {
    [CMS_ROUTE_PAGE] = "page",
    [CMS_ROUTE_JOIN] = "join",
    [CMS_ROUTE_API] = "api",
    [CMS_ROUTE_WEBSOCKET] = "websocket",
};

/* The pages of CMS 2.x that carry the call ID as an argument. */
static const char *const pages_with_id[] = {"/", "/invited.sf", "/index.html"};

static int
starts_with(const unsigned char *p, size_t len, const char *prefix)
{
    size_t n = strlen(prefix);

    return len >= n && memcmp(p, prefix, n) == 0;
}

static int
is_text(const unsigned char *p, size_t len, const char *text)
{
    return len == strlen(text) && starts_with(p, len, text);
}

cms_route_t
cms_route(int post, int websocket, const unsigned char *path, size_t len)
{
    if (websocket) {
        return CMS_ROUTE_WEBSOCKET;
    }
    if (!starts_with(path, len, "/api/")) {
        return CMS_ROUTE_PAGE;
    }
    if (post && (is_text(path, len, "/api/join") ||
                 is_text(path, len, "/api/join/"))) {
        return CMS_ROUTE_JOIN;
    }
    return CMS_ROUTE_API;
}

const char *
cms_route_name(cms_route_t route)
{
    return route_names[route];
}

static int
is_letter(unsigned char c)
{
    c |= 0x20;
    return c >= 'a' && c <= 'z';
}

/* "/en-US" or "/de": its length, or 0. */
static size_t
locale_len(const unsigned char *p, size_t len)
{
    if (len < 4 || p[0] != '/' || !is_letter(p[1]) || !is_letter(p[2])) {
        return 0;
    }
    if (p[3] == '/') {
        return 3;
    }
    if (len >= 7 && p[3] == '-' && is_letter(p[4]) && is_letter(p[5]) &&
        p[6] == '/') {
        return 6;
    }
    return 0;
}

/* The digits that p begins with, if they end where a segment or value does. */
static int
digits(const unsigned char *p, size_t len, char stop,
       const unsigned char **id, size_t *id_len)
{
    size_t n = 0;

    while (n < len && p[n] >= '0' && p[n] <= '9') {
        n++;
    }
    if (n == 0 || n > CALL_ID_MAX || (n < len && p[n] != stop)) {
        return 0;
    }
    *id = p;
    *id_len = n;
    return 1;
}

static int
id_argument(const unsigned char *args, size_t len, const unsigned char **id,
            size_t *id_len)
{
    const unsigned char *end = args + len, *amp;

    while (args < end) {
        if (starts_with(args, end - args, "id=") &&
            digits(args + 3, end - args - 3, '&', id, id_len)) {
            return 1;
        }
        amp = memchr(args, '&', end - args);
        if (amp == NULL) {
            return 0;
        }
        args = amp + 1;
    }
    return 0;
}

int
cms_call_id(const unsigned char *path, size_t path_len,
            const unsigned char *args, size_t args_len,
            const unsigned char **id, size_t *id_len)
{
    size_t skip = locale_len(path, path_len), i;

    path += skip;
    path_len -= skip;
    if (starts_with(path, path_len, "/meeting/")) {
        return digits(path + 9, path_len - 9, '/', id, id_len);
    }
    for (i = 0; i < sizeof(pages_with_id) / sizeof(*pages_with_id); i++) {
        if (is_text(path, path_len, pages_with_id[i])) {
            return args_len && id_argument(args, args_len, id, id_len);
        }
    }
    return 0;
}
