
/*
 * Response headers of a web bridge: its internal names become the guest URI
 * asked for, a 101 passes only if it answers a WebSocket, and a WebSocket
 * gets its own timeout.  Where no web bridge answers, guests get our page.
 */


#include "ngx_http_cms_proxy_module.h"


typedef struct {
    ngx_str_t                        name;
    ngx_uint_t                       cookie;
} ngx_http_cms_proxy_header_t;


static ngx_int_t ngx_http_cms_proxy_header_filter(ngx_http_request_t *r);
#if (nginx_version >= 1029000)
static ngx_int_t ngx_http_cms_proxy_early_hints_filter(ngx_http_request_t *r);
#endif
static ngx_uint_t ngx_http_cms_proxy_is_unavailable(ngx_http_request_t *r,
    ngx_http_cms_proxy_ctx_t *ctx);
static ngx_int_t ngx_http_cms_proxy_unavailable(ngx_http_request_t *r);
static ngx_int_t ngx_http_cms_proxy_switching(ngx_http_request_t *r,
    ngx_http_cms_proxy_ctx_t *ctx);
static ngx_int_t ngx_http_cms_proxy_rewrite_headers(ngx_http_request_t *r,
    ngx_http_cms_proxy_ctx_t *ctx);
static ngx_http_cms_proxy_header_t *ngx_http_cms_proxy_find_header(
    ngx_str_t *name);
static ngx_int_t ngx_http_cms_proxy_rewrite_value(ngx_http_request_t *r,
    cms_rewrite_set_t *set, cms_rewrite_to_t *to, ngx_str_t *value);
static ngx_int_t ngx_http_cms_proxy_rewrite_cookie(ngx_http_request_t *r,
    ngx_http_cms_proxy_ctx_t *ctx, ngx_str_t *value);
static ngx_int_t ngx_http_cms_proxy_filter_init(ngx_conf_t *cf);


/* response headers that can hold a name of the web bridge */

static ngx_http_cms_proxy_header_t  ngx_http_cms_proxy_headers[] = {
    { ngx_string("Location"), 0 },
    { ngx_string("Content-Location"), 0 },
    { ngx_string("Refresh"), 0 },
    { ngx_string("Link"), 0 },
    { ngx_string("Access-Control-Allow-Origin"), 0 },
    { ngx_string("Content-Security-Policy"), 0 },
    { ngx_string("Content-Security-Policy-Report-Only"), 0 },
    { ngx_string("Report-To"), 0 },
    { ngx_string("Reporting-Endpoints"), 0 },
    { ngx_string("SourceMap"), 0 },
    { ngx_string("Timing-Allow-Origin"), 0 },
    { ngx_string("Set-Cookie"), 1 },
    { ngx_null_string, 0 }
};


static ngx_http_module_t  ngx_http_cms_proxy_filter_module_ctx = {
    NULL,                                  /* preconfiguration */
    ngx_http_cms_proxy_filter_init,        /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_cms_proxy_filter_module = {
    NGX_MODULE_V1,
    &ngx_http_cms_proxy_filter_module_ctx, /* module context */
    NULL,                                  /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;

#if (nginx_version >= 1029000)
static ngx_http_output_header_filter_pt  ngx_http_next_early_hints_filter;
#endif


static ngx_int_t
ngx_http_cms_proxy_header_filter(ngx_http_request_t *r)
{
    ngx_int_t                      rc;
    ngx_http_cms_proxy_ctx_t      *ctx;
    ngx_http_cms_proxy_balance_t  *bp;

    ctx = ngx_http_cms_proxy_verdict(r);

    if (ctx == NULL) {
        return ngx_http_next_header_filter(r);
    }

    /* the target that answers, or NULL */

    bp = (r->upstream && ctx->balance && ctx->balance->current)
         ? ctx->balance : NULL;

    if (bp) {
        ngx_http_cms_proxy_balance_answered(bp);

    } else if (ngx_http_cms_proxy_is_unavailable(r, ctx)) {
        return ngx_http_cms_proxy_unavailable(r);
    }

    if (r->upstream == NULL) {
        return ngx_http_next_header_filter(r);
    }

    /* what the web bridge said: an error_page may have changed our status */

    if (r->upstream->headers_in.status_n == NGX_HTTP_SWITCHING_PROTOCOLS
        && ctx->refused != r->upstream)
    {
        rc = ngx_http_cms_proxy_switching(r, ctx);

        if (rc != NGX_OK) {
            return rc;
        }

        if (bp && ngx_http_cms_proxy_balance_websocket(r, bp) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (ngx_http_cms_proxy_rewrite_headers(r, ctx) != NGX_OK
        || ngx_http_cms_proxy_body_header(r, ctx) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (bp && ngx_http_cms_proxy_affinity_set(r, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_next_header_filter(r);
}


/* no target answered, and the administrator has no page for that */

static ngx_uint_t
ngx_http_cms_proxy_is_unavailable(ngx_http_request_t *r,
    ngx_http_cms_proxy_ctx_t *ctx)
{
    if (r->err_status != NGX_HTTP_BAD_GATEWAY
        && r->err_status != NGX_HTTP_GATEWAY_TIME_OUT)
    {
        return 0;
    }

    return (ctx->refused == NULL || ctx->refused != r->upstream)
           && !ngx_http_cms_proxy_has_page(r, r->err_status);
}


/* our page instead of nginx's, which "header_only" keeps back */

static ngx_int_t
ngx_http_cms_proxy_unavailable(ngx_http_request_t *r)
{
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_chain_t   out;

    b = ngx_http_cms_proxy_page(r, "Meetings are not available",
            "The meeting service does not answer at the moment. "
            "Please try again in a few minutes.");
    if (b == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_http_next_header_filter(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    r->header_only = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


#if (nginx_version >= 1029000)

/* 103, where "early_hints" lets it through: its Link headers */

static ngx_int_t
ngx_http_cms_proxy_early_hints_filter(ngx_http_request_t *r)
{
    ngx_http_cms_proxy_ctx_t  *ctx;

    ctx = r->upstream ? ngx_http_cms_proxy_verdict(r) : NULL;

    if (ctx && ngx_http_cms_proxy_rewrite_headers(r, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_next_early_hints_filter(r);
}

#endif


/*
 * The verdict on this request, if it is for a web bridge; not one of another
 * location, before an internal redirect.
 */

ngx_http_cms_proxy_ctx_t *
ngx_http_cms_proxy_verdict(ngx_http_request_t *r)
{
    ngx_http_cms_proxy_ctx_t       *ctx;
    ngx_http_cms_proxy_loc_conf_t  *plcf;

    ctx = ngx_http_get_module_ctx(r, ngx_http_cms_proxy_module);
    plcf = ngx_http_get_module_loc_conf(r, ngx_http_cms_proxy_module);

    if (ctx == NULL || ctx->route == NULL || ctx->routes != plcf->routes) {
        return NULL;
    }

    return ctx;
}


static ngx_int_t
ngx_http_cms_proxy_switching(ngx_http_request_t *r,
    ngx_http_cms_proxy_ctx_t *ctx)
{
    ngx_http_upstream_conf_t  *conf;

    if (!ctx->websocket
        || !ngx_http_cms_proxy_is_websocket(&r->upstream->headers_in.headers))
    {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "cms_proxy refused the response: the web bridge "
                      "switched protocols %s",
                      ctx->websocket ? "to another than websocket"
                      : "without being asked");

        ngx_http_clean_header(r);

        /* the page that says so comes through here as well */

        ctx->refused = r->upstream;
        r->upstream->upgrade = 0;

        return NGX_HTTP_BAD_GATEWAY;
    }

    r->err_status = 0;
    r->headers_out.status = NGX_HTTP_SWITCHING_PROTOCOLS;

    /*
     * From here on the read timeout is how long a WebSocket may be quiet,
     * which has nothing to do with how long a page may take.
     */

    conf = ngx_palloc(r->pool, sizeof(ngx_http_upstream_conf_t));
    if (conf == NULL) {
        return NGX_ERROR;
    }

    *conf = *r->upstream->conf;
    conf->read_timeout = ctx->route->webbridge->websocket_timeout;

    /* what guests send is short: the buffer for it fits into r->pool */

    conf->buffer_size = ngx_min(conf->buffer_size, 2048);

    r->upstream->conf = conf;

    return ngx_http_cms_proxy_rewrite_frames(r, ctx);
}


static ngx_int_t
ngx_http_cms_proxy_rewrite_headers(ngx_http_request_t *r,
    ngx_http_cms_proxy_ctx_t *ctx)
{
    ngx_int_t                     rc;
    ngx_uint_t                    i;
    ngx_list_part_t              *part;
    ngx_table_elt_t              *h;
    cms_rewrite_to_t             *to;
    cms_rewrite_set_t            *set;
    ngx_http_cms_proxy_header_t  *header;

    set = ctx->route->webbridge->rewrite_set;

    if (set->count == 0) {
        return NGX_OK;
    }

    to = ngx_http_cms_proxy_rewrite_to(r, ctx);
    if (to == NULL) {
        return NGX_ERROR;
    }

    part = &r->headers_out.headers.part;
    i = 0;

    while ((h = ngx_http_cms_proxy_next_header(&part, &i, NULL))) {

        if (h->hash == 0) {
            continue;
        }

        header = ngx_http_cms_proxy_find_header(&h->key);

        if (header == NULL) {
            continue;
        }

        rc = header->cookie
             ? ngx_http_cms_proxy_rewrite_cookie(r, ctx, &h->value)
             : ngx_http_cms_proxy_rewrite_value(r, set, to, &h->value);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_OK;
}


static ngx_http_cms_proxy_header_t *
ngx_http_cms_proxy_find_header(ngx_str_t *name)
{
    ngx_http_cms_proxy_header_t  *header;

    for (header = ngx_http_cms_proxy_headers; header->name.len; header++) {

        if (header->name.len == name->len
            && header->name.data[0] == ngx_toupper(name->data[0])
            && ngx_strncasecmp(header->name.data, name->data, name->len) == 0)
        {
            return header;
        }
    }

    return NULL;
}


static ngx_int_t
ngx_http_cms_proxy_rewrite_value(ngx_http_request_t *r,
    cms_rewrite_set_t *set, cms_rewrite_to_t *to, ngx_str_t *value)
{
    u_char  *p;
    size_t   len, matches;

    len = cms_rewrite(set, to, 0, value->data, value->len, NULL, &matches);

    if (matches == 0) {
        return NGX_OK;
    }

    /* header values are taken to end with a zero */

    p = ngx_pnalloc(r->pool, len + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    cms_rewrite(set, to, 0, value->data, value->len, p, &matches);
    p[len] = '\0';

    value->data = p;
    value->len = len;

    return NGX_OK;
}


/*
 * Domain of the web bridge's host, or of a parent of it: browsers would
 * reject the cookie under the guest URI, so it becomes the guest URI's.
 */

static ngx_int_t
ngx_http_cms_proxy_rewrite_cookie(ngx_http_request_t *r,
    ngx_http_cms_proxy_ctx_t *ctx, ngx_str_t *value)
{
    u_char                         *p;
    size_t                          pos, start, end;
    ngx_str_t                      *guest;
    ngx_uint_t                      i;
    ngx_http_cms_proxy_name_t      *inside;
    ngx_http_cms_proxy_srv_conf_t  *wb;

    wb = ctx->route->webbridge;
    inside = wb->internal_uris.elts;
    guest = &ctx->guest_uri->host;

    pos = 0;

    while (cms_cookie_domain(value->data, value->len, &pos, &start, &end)) {

        for (i = 0; i < wb->internal_uris.nelts; i++) {
            if (cms_cookie_domain_covers(value->data + start, end - start,
                                         inside[i].host.data,
                                         inside[i].host.len))
            {
                break;
            }
        }

        if (i == wb->internal_uris.nelts
            || cms_cookie_domain_covers(value->data + start, end - start,
                                        guest->data, guest->len))
        {
            continue;
        }

        p = ngx_pnalloc(r->pool, value->len + guest->len + 1);
        if (p == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(p, value->data, start);
        ngx_memcpy(p + start, guest->data, guest->len);
        ngx_memcpy(p + start + guest->len, value->data + end,
                   value->len - end);

        pos = start + guest->len;
        value->len = value->len - (end - start) + guest->len;
        value->data = p;
        p[value->len] = '\0';
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_cms_proxy_filter_init(ngx_conf_t *cf)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_cms_proxy_header_filter;

    ngx_http_cms_proxy_body_init();

#if (nginx_version >= 1029000)
    ngx_http_next_early_hints_filter = ngx_http_top_early_hints_filter;
    ngx_http_top_early_hints_filter = ngx_http_cms_proxy_early_hints_filter;
#endif

    return NGX_OK;
}
