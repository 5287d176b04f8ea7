
/*
 * Variables: what the gate found out, for logs, maps and headers.
 *
 *   $cms_webbridge       name of the web bridge
 *   $cms_guest_uri       the guest URI asked for, host[:port] in lower case
 *   $cms_upstream_host   the name that goes inside as Host, SNI and to verify
 *   $cms_route           join, api, websocket or page
 *   $cms_call_id         digits of the call ID in a guest link
 *   $cms_request         the request line, every query value but the call ID
 *                        masked
 *   $cms_refusal         why the gate refused the request
 *   $cms_upgrade, $cms_connection, $cms_loop, $cms_origin, $cms_referer
 *                        headers as they go inside
 *
 * All but $cms_request are empty ("-" in a log) where they do not apply.
 */


#include "ngx_http_cms_proxy_module.h"
#include "cms_mask.h"
#include "cms_route.h"


static ngx_int_t ngx_http_cms_proxy_webbridge_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_cms_proxy_route_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_cms_proxy_call_id_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_cms_proxy_request_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_cms_proxy_upgrade_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_cms_proxy_loop_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_cms_proxy_own_url_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_cms_proxy_own_url(ngx_http_request_t *r,
    ngx_http_cms_proxy_ctx_t *ctx, ngx_str_t *url);
static ngx_uint_t ngx_http_cms_proxy_is_inside(
    ngx_http_cms_proxy_srv_conf_t *wb, cms_authority_t *a);
static void ngx_http_cms_proxy_set_value(ngx_http_variable_value_t *v,
    ngx_str_t *value);


#define NGX_HTTP_CMS_PROXY_VAR_WEBBRIDGE      0
#define NGX_HTTP_CMS_PROXY_VAR_GUEST_URI      1
#define NGX_HTTP_CMS_PROXY_VAR_UPSTREAM_HOST  2
#define NGX_HTTP_CMS_PROXY_VAR_REFUSAL        3


static ngx_http_variable_t  ngx_http_cms_proxy_variables[] = {

    { ngx_string("cms_webbridge"), NULL,
      ngx_http_cms_proxy_webbridge_variable,
      NGX_HTTP_CMS_PROXY_VAR_WEBBRIDGE, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("cms_guest_uri"), NULL,
      ngx_http_cms_proxy_webbridge_variable,
      NGX_HTTP_CMS_PROXY_VAR_GUEST_URI, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("cms_upstream_host"), NULL,
      ngx_http_cms_proxy_webbridge_variable,
      NGX_HTTP_CMS_PROXY_VAR_UPSTREAM_HOST, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("cms_refusal"), NULL,
      ngx_http_cms_proxy_webbridge_variable,
      NGX_HTTP_CMS_PROXY_VAR_REFUSAL, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("cms_route"), NULL,
      ngx_http_cms_proxy_route_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("cms_call_id"), NULL,
      ngx_http_cms_proxy_call_id_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("cms_request"), NULL,
      ngx_http_cms_proxy_request_variable, 0, 0, 0 },

    { ngx_string("cms_upgrade"), NULL,
      ngx_http_cms_proxy_upgrade_variable,
      (uintptr_t) "websocket", NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("cms_connection"), NULL,
      ngx_http_cms_proxy_upgrade_variable,
      (uintptr_t) "upgrade", NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("cms_loop"), NULL,
      ngx_http_cms_proxy_loop_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("cms_origin"), NULL,
      ngx_http_cms_proxy_own_url_variable,
      (uintptr_t) "origin", NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("cms_referer"), NULL,
      ngx_http_cms_proxy_own_url_variable,
      (uintptr_t) "referer", NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


ngx_int_t
ngx_http_cms_proxy_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_cms_proxy_variables; v->name.len; v++) {

        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


static void
ngx_http_cms_proxy_set_value(ngx_http_variable_value_t *v, ngx_str_t *value)
{
    if (value->len == 0) {
        v->not_found = 1;
        return;
    }

    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->len = value->len;
    v->data = value->data;
}


static ngx_int_t
ngx_http_cms_proxy_webbridge_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t                       value;
    ngx_http_cms_proxy_ctx_t       *ctx;
    ngx_http_cms_proxy_name_t      *inside;
    ngx_http_cms_proxy_srv_conf_t  *wb;

    ctx = ngx_http_cms_proxy_get_ctx(r);

    ngx_str_null(&value);

    if (ctx && data == NGX_HTTP_CMS_PROXY_VAR_REFUSAL) {
        value = ctx->refusal;

    } else if (ctx && ctx->route) {
        wb = ctx->route->webbridge;

        if (data == NGX_HTTP_CMS_PROXY_VAR_WEBBRIDGE) {
            value = wb->name;

        } else if (data == NGX_HTTP_CMS_PROXY_VAR_GUEST_URI) {
            value = ctx->asked;

        } else if (wb->upstream_host == NGX_HTTP_CMS_PROXY_INTERNAL) {
            inside = wb->internal_uris.elts;
            value = inside->text;

        } else {
            value = ctx->guest_uri->text;
        }
    }

    ngx_http_cms_proxy_set_value(v, &value);

    return NGX_OK;
}


static ngx_int_t
ngx_http_cms_proxy_route_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t                  value;
    ngx_http_cms_proxy_ctx_t  *ctx;

    ctx = ngx_http_cms_proxy_get_ctx(r);

    ngx_str_null(&value);

    if (ctx && ctx->route) {
        value.data = (u_char *) cms_route_name(
                                    cms_route(r->method == NGX_HTTP_POST,
                                              ctx->websocket, r->uri.data,
                                              r->uri.len));
        value.len = ngx_strlen(value.data);
    }

    ngx_http_cms_proxy_set_value(v, &value);

    return NGX_OK;
}


static ngx_int_t
ngx_http_cms_proxy_call_id_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    size_t                     len;
    ngx_str_t                  value;
    const u_char              *id;
    ngx_http_cms_proxy_ctx_t  *ctx;

    ctx = ngx_http_cms_proxy_get_ctx(r);

    ngx_str_null(&value);

    if (ctx && ctx->route
        && cms_call_id(r->uri.data, r->uri.len, r->args.data, r->args.len,
                       &id, &len))
    {
        value.data = (u_char *) id;
        value.len = len;
    }

    ngx_http_cms_proxy_set_value(v, &value);

    return NGX_OK;
}


static ngx_int_t
ngx_http_cms_proxy_request_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t  value;

    value.len = r->request_line.len;
    value.data = ngx_pnalloc(r->pool, value.len + 1);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(value.data, r->request_line.data, value.len);
    value.len = cms_mask(value.data, value.len);

    ngx_http_cms_proxy_set_value(v, &value);

    return NGX_OK;
}


/* empty unless the gate lets a WebSocket through */

static ngx_int_t
ngx_http_cms_proxy_upgrade_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t                  value;
    ngx_http_cms_proxy_ctx_t  *ctx;

    ctx = ngx_http_cms_proxy_get_ctx(r);

    ngx_str_null(&value);

    if (ctx && ctx->websocket) {
        value.data = (u_char *) data;
        value.len = ngx_strlen(value.data);
    }

    ngx_http_cms_proxy_set_value(v, &value);

    return NGX_OK;
}


/* CDN-Loop: whom the request came through, and us */

static ngx_int_t
ngx_http_cms_proxy_loop_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t                  value;
    ngx_http_cms_proxy_ctx_t  *ctx;

    ctx = ngx_http_cms_proxy_get_ctx(r);

    ngx_str_set(&value, NGX_HTTP_CMS_PROXY_CDN_ID);

    if (ctx && ctx->loop && ctx->loop->len) {
        value.len = ctx->loop->len + sizeof(", " NGX_HTTP_CMS_PROXY_CDN_ID) - 1;

        value.data = ngx_pnalloc(r->pool, value.len);
        if (value.data == NULL) {
            return NGX_ERROR;
        }

        ngx_sprintf(value.data, "%V, " NGX_HTTP_CMS_PROXY_CDN_ID, ctx->loop);
    }

    ngx_http_cms_proxy_set_value(v, &value);

    return NGX_OK;
}


/* Origin and Referer for a web bridge that goes by its internal name */

static ngx_int_t
ngx_http_cms_proxy_own_url_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t                  value, name;
    ngx_uint_t                 i;
    ngx_list_part_t           *part;
    ngx_table_elt_t           *h;
    ngx_http_cms_proxy_ctx_t  *ctx;

    ctx = ngx_http_cms_proxy_get_ctx(r);

    name.data = (u_char *) data;
    name.len = ngx_strlen(name.data);

    part = &r->headers_in.headers.part;
    i = 0;

    h = ngx_http_cms_proxy_next_header(&part, &i, &name);

    if (h) {
        value = h->value;

    } else {
        ngx_str_null(&value);
    }

    if (value.len && ctx && ctx->route
        && ngx_http_cms_proxy_own_url(r, ctx, &value) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_cms_proxy_set_value(v, &value);

    return NGX_OK;
}


/*
 * A URL under the guest URI asked for becomes one under the internal URI; a
 * foreign one stays foreign, and so does one that claims the internal name,
 * which nobody outside can rightly have.
 */

static ngx_int_t
ngx_http_cms_proxy_own_url(ngx_http_request_t *r,
    ngx_http_cms_proxy_ctx_t *ctx, ngx_str_t *url)
{
    u_char                         *data, *p;
    size_t                          len, rest;
    in_port_t                       port;
    const u_char                   *start;
    cms_authority_t                 a;
    ngx_http_cms_proxy_name_t      *inside;
    ngx_http_cms_proxy_srv_conf_t  *wb;

    wb = ctx->route->webbridge;
    inside = wb->internal_uris.elts;

    if (wb->internal_uris.nelts == 0
        || !cms_authority_of_url(url->data, url->len, &start, &len)
        || cms_authority_parse(start, len, &a) != CMS_AUTHORITY_OK)
    {
        return NGX_OK;
    }

    /* the scheme says the default port: 443 in "https:", 80 in "http:" */

    port = (start - url->data == sizeof("http://") - 1) ? 80 : 443;

    if (!cms_authority_same_host(a.host, a.host_len,
                                 ctx->guest_uri->host.data,
                                 ctx->guest_uri->host.len)
        || (a.port ? a.port : port)
           != (ctx->asked_port ? ctx->asked_port : port))
    {
        if (ngx_http_cms_proxy_is_inside(wb, &a)) {
            ngx_str_set(url, "null");
        }

        return NGX_OK;
    }

    data = ngx_pnalloc(r->pool, url->len - len + inside->text.len);
    if (data == NULL) {
        return NGX_ERROR;
    }

    rest = url->data + url->len - (start + len);

    p = ngx_cpymem(data, url->data, start - url->data);
    p = ngx_cpymem(p, inside->text.data, inside->text.len);
    p = ngx_cpymem(p, start + len, rest);

    url->data = data;
    url->len = p - data;

    return NGX_OK;
}


static ngx_uint_t
ngx_http_cms_proxy_is_inside(ngx_http_cms_proxy_srv_conf_t *wb,
    cms_authority_t *a)
{
    ngx_uint_t                  i;
    ngx_http_cms_proxy_name_t  *inside;

    inside = wb->internal_uris.elts;

    for (i = 0; i < wb->internal_uris.nelts; i++) {
        if (cms_authority_same_host(inside[i].host.data, inside[i].host.len,
                                    a->host, a->host_len))
        {
            return 1;
        }
    }

    return 0;
}
