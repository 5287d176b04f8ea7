
/*
 * nginx ends its error lines with the request, the upstream URL and the
 * referrer, in full.  Where a cms_proxy is configured, what it appends is
 * masked: for a connection from its first byte on, except with "listen ...
 * deferred", where it is from the first whole request on.
 */


#include "ngx_http_cms_proxy_module.h"
#include "cms_mask.h"


static void ngx_http_cms_proxy_init_connection(ngx_connection_t *c);
static void ngx_http_cms_proxy_mask_log(ngx_log_t *log);
static u_char *ngx_http_cms_proxy_log_error(ngx_log_t *log, u_char *buf,
    size_t len);


/* ngx_http_log_error(), which nginx does not export */

static ngx_log_handler_pt  ngx_http_cms_proxy_stock_log_error;


/* the listening sockets of http: all is read, no worker runs yet */

ngx_int_t
ngx_http_cms_proxy_init_module(ngx_cycle_t *cycle)
{
    ngx_uint_t                       i;
    ngx_listening_t                 *ls;
    ngx_http_cms_proxy_main_conf_t  *mcf;

    mcf = ngx_http_cycle_get_module_main_conf(cycle,
                                              ngx_http_cms_proxy_module);

    if (mcf == NULL || !mcf->used) {
        return NGX_OK;
    }

    ls = cycle->listening.elts;

    for (i = 0; i < cycle->listening.nelts; i++) {
        if (ls[i].handler == ngx_http_init_connection) {
            ls[i].handler = ngx_http_cms_proxy_init_connection;
        }
    }

    return NGX_OK;
}


static void
ngx_http_cms_proxy_init_connection(ngx_connection_t *c)
{
    ngx_uint_t  ready;

    /* with data there already, c may be served and gone when this returns */

    ready = c->read->ready;

    ngx_http_init_connection(c);

    if (!ready && c->fd != (ngx_socket_t) -1) {
        ngx_http_cms_proxy_mask_log(c->log);
    }
}


ngx_int_t
ngx_http_cms_proxy_post_read_handler(ngx_http_request_t *r)
{
    ngx_http_cms_proxy_mask_log(r->connection->log);

    return NGX_DECLINED;
}


static void
ngx_http_cms_proxy_mask_log(ngx_log_t *log)
{
    if (log->handler != ngx_http_cms_proxy_log_error) {
        ngx_http_cms_proxy_stock_log_error = log->handler;
        log->handler = ngx_http_cms_proxy_log_error;
    }
}


static u_char *
ngx_http_cms_proxy_log_error(ngx_log_t *log, u_char *buf, size_t len)
{
    u_char  *p;

    p = ngx_http_cms_proxy_stock_log_error(log, buf, len);

    return buf + cms_mask(buf, p - buf);
}
