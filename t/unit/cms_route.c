/* sources: ngx_cms_proxy_module/cms_route.c */

/* Routes and the call IDs of guest links. */

#include "cms_route.h"
#include "tap.h"

#define U(s) ((const unsigned char *)(s))

typedef struct {
    int post, websocket;
    const char *path;
    const char *route;
} route_case_t;

static const route_case_t route_cases[] = {
    {1, 0, "/api/join", "join"},     {1, 0, "/api/join/", "join"},
    {0, 0, "/api/join", "api"},      {1, 0, "/api/joined", "api"},
    {0, 0, "/api/status", "api"},    {0, 0, "/apis", "page"},
    {0, 0, "/", "page"},             {1, 0, "/api", "page"},
    {0, 1, "/anything", "websocket"}, {0, 0, "", "page"},
};

typedef struct {
    const char *path, *args, *id;
} id_case_t;

static const id_case_t id_cases[] = {
    {"/invited.sf", "secret=abc&id=100101", "100101"},
    {"/invited.sf", "id=100101&secret=abc", "100101"},
    {"/index.html", "id=7", "7"},
    {"/", "id=7", "7"},
    {"/meeting/100101", "secret=abc", "100101"},
    {"/meeting/100101/", "", "100101"},
    {"/en-US/meeting/100101", "", "100101"},
    {"/de/meeting/100101", "", "100101"},
    {"/meeting/12345678901234567890", "", "12345678901234567890"},
    {"/meeting/123456789012345678901", "", NULL},
    {"/meeting/abc", "", NULL},
    {"/meeting/1a", "", NULL},
    {"/meeting/", "", NULL},
    {"/en-US/home", "", NULL},
    {"/en_US/meeting/1", "", NULL},
    {"/invited.sf", "", NULL},
    {"/invited.sf", "id=", NULL},
    {"/invited.sf", "id=1x", NULL},
    {"/invited.sf", "xid=1", NULL},
    {"/other", "id=1", NULL},
    {"", "", NULL},
};

int
main(void)
{
    size_t i;

    for (i = 0; i < sizeof(route_cases) / sizeof(*route_cases); i++) {
        const route_case_t *c = &route_cases[i];
        const char *name = cms_route_name(
            cms_route(c->post, c->websocket, U(c->path), strlen(c->path)));

        is_mem(name, strlen(name), c->route, c->path);
    }
    for (i = 0; i < sizeof(id_cases) / sizeof(*id_cases); i++) {
        const id_case_t *c = &id_cases[i];
        const unsigned char *id;
        size_t len;
        int found = cms_call_id(U(c->path), strlen(c->path), U(c->args),
                                strlen(c->args), &id, &len);

        is_int(found, c->id != NULL, *c->path ? c->path : "(empty)");
        if (found && c->id) {
            is_mem(id, len, c->id, "  its call ID");
        }
    }
    return done_testing();
}
