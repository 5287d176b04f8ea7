
/*
 * The gate: every request is held against the guest URIs of the web bridges
 * that its location proxies to, and only then given to the stock proxy.  What
 * is refused gets a short page that names nothing inside, and one log line.
 */


#include "ngx_http_cms_proxy_module.h"


#define NGX_HTTP_CMS_PROXY_LOOP  508


/*
 * One edge may stand behind another, on purpose; that a request comes through
 * this many is a target that leads back to the edge.
 */

#define NGX_HTTP_CMS_PROXY_HOPS  4


typedef struct {
    ngx_str_t                       *loop;      /* CDN-Loop (RFC 8586) */
    ngx_uint_t                       loops;     /* how often we are in it */
    ngx_uint_t                       hosts;     /* how many Host headers */
    ngx_uint_t                       upgrade;   /* Connection: upgrade */
} ngx_http_cms_proxy_fields_t;


static ngx_int_t ngx_http_cms_proxy_refuse(ngx_http_request_t *r,
    ngx_http_cms_proxy_ctx_t *ctx);
static ngx_int_t ngx_http_cms_proxy_send_page(ngx_http_request_t *r,
    ngx_http_cms_proxy_ctx_t *ctx);
static void ngx_http_cms_proxy_judge(ngx_http_request_t *r,
    ngx_http_cms_proxy_ctx_t *ctx);
static char *ngx_http_cms_proxy_judge_host(ngx_http_request_t *r,
    ngx_http_cms_proxy_ctx_t *ctx, ngx_uint_t hosts);
static ngx_http_cms_proxy_guest_t *ngx_http_cms_proxy_find_guest(
    ngx_http_request_t *r, ngx_http_cms_proxy_loc_conf_t *plcf,
    cms_authority_t *a);
static ngx_uint_t ngx_http_cms_proxy_port_fits(ngx_http_request_t *r,
    ngx_http_cms_proxy_guest_t *guest, in_port_t port);
static in_port_t ngx_http_cms_proxy_default_port(ngx_http_request_t *r);
static void ngx_http_cms_proxy_read_fields(ngx_http_request_t *r,
    ngx_http_cms_proxy_fields_t *f);
static ngx_uint_t ngx_http_cms_proxy_asks_websocket(ngx_http_request_t *r,
    ngx_http_cms_proxy_fields_t *fields);
static ngx_uint_t ngx_http_cms_proxy_tokens(ngx_str_t *value, char *token,
    size_t len);
static void ngx_http_cms_proxy_cleanup(void *data);


/* content handler of a location with cms_proxy */

ngx_int_t
ngx_http_cms_proxy_handler(ngx_http_request_t *r)
{
    ngx_int_t                       rc;
    ngx_http_cms_proxy_ctx_t       *ctx;
    ngx_http_core_loc_conf_t       *hidden;
    ngx_http_cms_proxy_loc_conf_t  *plcf;
    ngx_http_cms_proxy_srv_conf_t  *wb;

    ctx = ngx_http_cms_proxy_get_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->route == NULL) {
        return ngx_http_cms_proxy_refuse(r, ctx);
    }

    wb = ctx->route->webbridge;

    rc = ngx_http_cms_proxy_wait(r, ctx);
    if (rc != NGX_DECLINED) {
        return rc;
    }

    /* what another process learned, where the peers are not shared with it */

    if (ngx_http_cms_proxy_stale(wb)) {
        ngx_http_cms_proxy_apply(wb);
    }

    if (!ctx->websocket) {

        /* the stock proxy lets a 101 through if the client asked for any */

        r->headers_in.upgrade = NULL;
    }

    plcf = ngx_http_get_module_loc_conf(r, ngx_http_cms_proxy_module);
    hidden = ctx->route->hidden[ngx_http_core_module.ctx_index];

    r->loc_conf = plcf->routed[ctx->route->index];

    return hidden->handler(r);
}


static ngx_int_t
ngx_http_cms_proxy_refuse(ngx_http_request_t *r, ngx_http_cms_proxy_ctx_t *ctx)
{
    ngx_int_t  rc;

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "cms_proxy refused the request: %V", &ctx->refusal);

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    if (ctx->status == NGX_HTTP_BAD_REQUEST) {
        r->keepalive = 0;
    }

    if (ctx->allow
        && ngx_http_cms_proxy_add_header(r, "Allow", ctx->allow) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_cms_proxy_has_page(r, ctx->status)) {
        return ctx->status;
    }

    return ngx_http_cms_proxy_send_page(r, ctx);
}


static ngx_int_t
ngx_http_cms_proxy_send_page(ngx_http_request_t *r,
    ngx_http_cms_proxy_ctx_t *ctx)
{
    char       *title, *text;
    ngx_buf_t  *b;

    if (ctx->status == NGX_HTTP_NOT_ALLOWED) {
        title = "405 Method Not Allowed";
        text = "This server does not accept requests of this kind.";

    } else if (ctx->status == NGX_HTTP_CMS_PROXY_LOOP) {
        title = "508 Loop Detected";
        text = "This service is not set up properly. "
               "Please tell whoever invited you.";

    } else {
        title = "400 Bad Request";
        text = "The name in this request is not one that guests can use here. "
               "Please check the address of your meeting link.";
    }

    b = ngx_http_cms_proxy_page(r, title, text);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->headers_out.status = ctx->status;

    return ngx_http_cms_proxy_send(r, b);
}


/*
 * The verdict is made once for a location, by whoever asks first: a variable
 * in an early phase or the content handler.  It outlives an internal redirect
 * (to an error page), so that the access log still shows it.
 */

ngx_http_cms_proxy_ctx_t *
ngx_http_cms_proxy_get_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t             *cln;
    ngx_http_cms_proxy_ctx_t       *ctx;
    ngx_http_cms_proxy_loc_conf_t  *plcf;

    plcf = ngx_http_get_module_loc_conf(r, ngx_http_cms_proxy_module);
    ctx = ngx_http_get_module_ctx(r, ngx_http_cms_proxy_module);

    if (ctx == NULL && r == r->main) {

        /* the pool is shared with subrequests: theirs do not count */

        for (cln = r->pool->cleanup; cln; cln = cln->next) {
            if (cln->handler == ngx_http_cms_proxy_cleanup
                && ((ngx_http_cms_proxy_ctx_t *) cln->data)->main)
            {
                ctx = cln->data;
                ngx_http_set_ctx(r, ctx, ngx_http_cms_proxy_module);
                break;
            }
        }
    }

    if (plcf->routes == NULL || (ctx && ctx->routes == plcf->routes)) {
        return ctx;
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_cms_proxy_ctx_t));
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_http_cms_proxy_cleanup;
    ctx = cln->data;

    ngx_memzero(ctx, sizeof(ngx_http_cms_proxy_ctx_t));
    ctx->routes = plcf->routes;
    ctx->main = (r == r->main);

    ngx_http_cms_proxy_judge(r, ctx);

    ngx_http_set_ctx(r, ctx, ngx_http_cms_proxy_module);

    return ctx;
}


static void
ngx_http_cms_proxy_cleanup(void *data)
{
    /* only marks our context in the list of cleanups */
}


static void
ngx_http_cms_proxy_judge(ngx_http_request_t *r, ngx_http_cms_proxy_ctx_t *ctx)
{
    char                           *reason;
    ngx_http_cms_proxy_srv_conf_t  *wb;
    ngx_http_cms_proxy_fields_t     fields;

    ngx_http_cms_proxy_read_fields(r, &fields);

    ctx->status = NGX_HTTP_BAD_REQUEST;
    ctx->loop = fields.loop;

    reason = ngx_http_cms_proxy_judge_host(r, ctx, fields.hosts);

    if (reason == NULL) {
        wb = ctx->route->webbridge;

        if (fields.loops >= NGX_HTTP_CMS_PROXY_HOPS) {
            ctx->status = NGX_HTTP_CMS_PROXY_LOOP;
            reason = "proxy loop, the target leads back here";

        } else if (r->method & wb->methods) {
            ctx->websocket = ctx->main
                             && ngx_http_cms_proxy_asks_websocket(r, &fields);
            return;

        } else {
            ctx->status = NGX_HTTP_NOT_ALLOWED;
            ctx->allow = &wb->allow;
            reason = "method not allowed";
        }

        ctx->route = NULL;
    }

    ctx->refusal.data = (u_char *) reason;
    ctx->refusal.len = ngx_strlen(reason);
}


/* NULL and ctx filled in, or the reason to refuse */

static char *
ngx_http_cms_proxy_judge_host(ngx_http_request_t *r,
    ngx_http_cms_proxy_ctx_t *ctx, ngx_uint_t hosts)
{
    size_t                          len;
    ngx_str_t                      *host;
    const u_char                   *p;
    cms_authority_t                 a, b;
    cms_authority_status_t          status;
    ngx_http_cms_proxy_guest_t     *guest;
    ngx_http_cms_proxy_loc_conf_t  *plcf;

    plcf = ngx_http_get_module_loc_conf(r, ngx_http_cms_proxy_module);

    if (r->headers_in.host == NULL) {
        return "no Host";
    }

    if (hosts > 1) {
        return "several Host headers";
    }

    host = &r->headers_in.host->value;

    status = cms_authority_parse(host->data, host->len, &a);

    switch (status) {

    case CMS_AUTHORITY_OK:
        break;

    case CMS_AUTHORITY_EMPTY:
        return "empty Host";

    case CMS_AUTHORITY_IP:
        return "Host is an IP address";

    default:
        return "invalid Host";
    }

    if (cms_authority_of_request_line(r->request_line.data,
                                      r->request_line.len, &p, &len))
    {
        if (cms_authority_parse(p, len, &b) != CMS_AUTHORITY_OK
            || !cms_authority_same_host(a.host, a.host_len, b.host,
                                        b.host_len)
            || (a.port ? a.port : ngx_http_cms_proxy_default_port(r))
               != (b.port ? b.port : ngx_http_cms_proxy_default_port(r)))
        {
            return "Host and request URI disagree";
        }
    }

    guest = ngx_http_cms_proxy_find_guest(r, plcf, &a);

    if (guest == NULL) {
        return "Host is no guest URI";
    }

    ctx->route = guest->route;
    ctx->guest_uri = guest->uri;
    ctx->asked_port = a.port;
    ctx->asked = guest->uri->host;

    if (a.port) {
        ctx->asked.data = ngx_pnalloc(r->pool, a.host_len + sizeof(":65535"));
        if (ctx->asked.data == NULL) {
            ctx->route = NULL;
            return "out of memory";
        }

        ctx->asked.len = ngx_sprintf(ctx->asked.data, "%V:%ui",
                                     &guest->uri->host, (ngx_uint_t) a.port)
                         - ctx->asked.data;
    }

    return NULL;
}


static ngx_http_cms_proxy_guest_t *
ngx_http_cms_proxy_find_guest(ngx_http_request_t *r,
    ngx_http_cms_proxy_loc_conf_t *plcf, cms_authority_t *a)
{
    u_char                       name[256];
    ngx_uint_t                   key;
    ngx_http_cms_proxy_guest_t  *guest;

    key = ngx_hash_strlow(name, (u_char *) a->host, a->host_len);

    guest = ngx_hash_find(&plcf->guests, key, name, a->host_len);

    while (guest && !ngx_http_cms_proxy_port_fits(r, guest, a->port)) {
        guest = guest->next;
    }

    return guest;
}


/*
 * A guest URI with a port wants just that port; none means the scheme's.
 * One without goes with none and with the port of the listener.
 */

static ngx_uint_t
ngx_http_cms_proxy_port_fits(ngx_http_request_t *r,
    ngx_http_cms_proxy_guest_t *guest, in_port_t port)
{
    if (guest->uri->port) {
        return guest->uri->port
               == (port ? port : ngx_http_cms_proxy_default_port(r));
    }

    if (port == 0) {
        return 1;
    }

    if (ngx_connection_local_sockaddr(r->connection, NULL, 0) != NGX_OK) {
        return 0;
    }

    return port == ngx_inet_get_port(r->connection->local_sockaddr);
}


static in_port_t
ngx_http_cms_proxy_default_port(ngx_http_request_t *r)
{
#if (NGX_HTTP_SSL)
    if (r->connection->ssl) {
        return 443;
    }
#endif

    return 80;
}


/* one walk through the request's headers for all that the gate looks at */

static void
ngx_http_cms_proxy_read_fields(ngx_http_request_t *r,
    ngx_http_cms_proxy_fields_t *f)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    static ngx_str_t  host = ngx_string("host");
    static ngx_str_t  connection = ngx_string("connection");
    static ngx_str_t  loop = ngx_string("cdn-loop");

    ngx_memzero(f, sizeof(ngx_http_cms_proxy_fields_t));

    part = &r->headers_in.headers.part;
    i = 0;

    while ((h = ngx_http_cms_proxy_next_header(&part, &i, NULL))) {

        if (ngx_http_cms_proxy_is_header(h, &host)) {
            f->hosts++;

        } else if (ngx_http_cms_proxy_is_header(h, &connection)) {
            f->upgrade |= ngx_http_cms_proxy_tokens(&h->value, "upgrade",
                                                    sizeof("upgrade") - 1)
                          != 0;

        } else if (ngx_http_cms_proxy_is_header(h, &loop)) {
            f->loop = &h->value;
            f->loops += ngx_http_cms_proxy_tokens(&h->value,
                                     NGX_HTTP_CMS_PROXY_CDN_ID,
                                     sizeof(NGX_HTTP_CMS_PROXY_CDN_ID) - 1);
        }
    }
}


/* RFC 6455, 4.1: GET, HTTP/1.1, Upgrade: websocket, Connection: Upgrade */

static ngx_uint_t
ngx_http_cms_proxy_asks_websocket(ngx_http_request_t *r,
    ngx_http_cms_proxy_fields_t *fields)
{
    return r->headers_in.upgrade
           && fields->upgrade
           && r->method == NGX_HTTP_GET
           && r->http_version == NGX_HTTP_VERSION_11
           && r->headers_in.content_length_n <= 0
           && !r->headers_in.chunked
           && ngx_http_cms_proxy_is_websocket(&r->headers_in.headers);
}


ngx_uint_t
ngx_http_cms_proxy_is_websocket(ngx_list_t *headers)
{
    ngx_uint_t        i, n;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    static ngx_str_t  upgrade = ngx_string("upgrade");

    part = &headers->part;
    i = 0;
    n = 0;

    while ((h = ngx_http_cms_proxy_next_header(&part, &i, &upgrade))) {

        if (h->value.len != sizeof("websocket") - 1
            || ngx_strncasecmp(h->value.data, (u_char *) "websocket",
                               sizeof("websocket") - 1)
               != 0)
        {
            return 0;
        }

        n++;
    }

    return n == 1;
}


ngx_table_elt_t *
ngx_http_cms_proxy_next_header(ngx_list_part_t **part, ngx_uint_t *i,
    ngx_str_t *name)
{
    ngx_table_elt_t  *h;

    for ( ;; ) {

        if (*i >= (*part)->nelts) {

            if ((*part)->next == NULL) {
                return NULL;
            }

            *part = (*part)->next;
            *i = 0;
            continue;
        }

        h = (*part)->elts;
        h += (*i)++;

        if (name == NULL || ngx_http_cms_proxy_is_header(h, name)) {
            return h;
        }
    }
}


/* most names differ in length or first letter; name is in lower case */

ngx_uint_t
ngx_http_cms_proxy_is_header(ngx_table_elt_t *h, ngx_str_t *name)
{
    return h->key.len == name->len
           && ngx_tolower(h->key.data[0]) == name->data[0]
           && ngx_strncasecmp(h->key.data, name->data, name->len) == 0;
}


/*
 * How often a comma-separated list holds this token; parameters behind ";"
 * do not count.
 */

static ngx_uint_t
ngx_http_cms_proxy_tokens(ngx_str_t *value, char *token, size_t len)
{
    u_char      *p, *last, *start;
    ngx_uint_t   n;

    n = 0;
    p = value->data;
    last = p + value->len;

    while (p < last) {

        while (p < last && (*p == ' ' || *p == '\t' || *p == ',')) {
            p++;
        }

        start = p;

        while (p < last && *p != ' ' && *p != '\t' && *p != ',' && *p != ';') {
            p++;
        }

        if ((size_t) (p - start) == len
            && ngx_strncasecmp(start, (u_char *) token, len) == 0)
        {
            n++;
        }

        while (p < last && *p != ',') {
            p++;
        }
    }

    return n;
}
