/*
 * What a request to a web bridge is about, told by method and path alone, and
 * the call ID in a guest link. Pure.
 */

#ifndef CMS_ROUTE_H
#define CMS_ROUTE_H

#include <stddef.h>

typedef enum {
    CMS_ROUTE_PAGE,      /* everything else */
    CMS_ROUTE_JOIN,      /* POST /api/join: a guest asks to be let in */
    CMS_ROUTE_API,       /* other requests below /api/ */
    CMS_ROUTE_WEBSOCKET, /* an Upgrade that is let through */
} cms_route_t;

cms_route_t cms_route(int post, int websocket, const unsigned char *path,
                      size_t len);

/* The route's name as $cms_route shows it: a constant string. */
const char *cms_route_name(cms_route_t route);

/*
 * The call ID of a guest link, 1 to 20 digits: /invited.sf?id=N and
 * /index.html?id=N (CMS 2.x, arguments in any order), /meeting/N and
 * /LOCALE/meeting/N (CMS 3.x). path is without, args without "?"; both may be
 * empty. 1 and its bounds, or 0 if the request is no guest link.
 */
int cms_call_id(const unsigned char *path, size_t path_len,
                const unsigned char *args, size_t args_len,
                const unsigned char **id, size_t *id_len);

#endif
