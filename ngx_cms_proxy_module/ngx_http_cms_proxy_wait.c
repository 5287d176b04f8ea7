
/*
 * nginx starts before DNS has answered, so the first guests may come before
 * the first target has an address.  They wait for it here, a few seconds at
 * most, instead of getting an error page.  Called by the gate; as soon as some
 * target is known, no request waits any more.
 */


#include "ngx_http_cms_proxy_module.h"


#define NGX_HTTP_CMS_PROXY_WAIT_MAX   3000

/* the answer may come to another worker, so it is looked for */

#define NGX_HTTP_CMS_PROXY_WAIT_STEP  20


typedef struct {
    ngx_event_t                      event;
    ngx_http_request_t              *request;
    ngx_http_cms_proxy_record_t     *record;
    ngx_msec_t                       until;
} ngx_http_cms_proxy_wait_t;


static void ngx_http_cms_proxy_wait_handler(ngx_event_t *ev);
static void ngx_http_cms_proxy_wait_cleanup(void *data);


#define ngx_http_cms_proxy_is_cold(record)                                    \
    ((record)->live == 0 && (record)->cold != 0)


/* NGX_DECLINED: no need to wait, or it was in vain; else NGX_DONE */

ngx_int_t
ngx_http_cms_proxy_wait(ngx_http_request_t *r, ngx_http_cms_proxy_ctx_t *ctx)
{
    ngx_pool_cleanup_t           *cln;
    ngx_http_cms_proxy_wait_t    *w;
    ngx_http_cms_proxy_record_t  *record;

    record = ctx->route->webbridge->record;

    if (!ngx_http_cms_proxy_is_cold(record) || ctx->waited) {
        return NGX_DECLINED;
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_cms_proxy_wait_t));
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln->handler = ngx_http_cms_proxy_wait_cleanup;

    w = cln->data;
    ngx_memzero(w, sizeof(ngx_http_cms_proxy_wait_t));

    w->request = r;
    w->record = record;
    w->until = ngx_current_msec + NGX_HTTP_CMS_PROXY_WAIT_MAX;

    w->event.handler = ngx_http_cms_proxy_wait_handler;
    w->event.data = w;
    w->event.log = r->connection->log;

    ctx->waited = 1;

    r->main->count++;
    r->read_event_handler = ngx_http_test_reading;

    ngx_add_timer(&w->event, NGX_HTTP_CMS_PROXY_WAIT_STEP);

    return NGX_DONE;
}


static void
ngx_http_cms_proxy_wait_handler(ngx_event_t *ev)
{
    ngx_connection_t           *c;
    ngx_http_request_t         *r;
    ngx_http_cms_proxy_wait_t  *w;

    w = ev->data;
    r = w->request;
    c = r->connection;

    if (ngx_http_cms_proxy_is_cold(w->record)
        && (ngx_msec_int_t) (w->until - ngx_current_msec) > 0)
    {
        ngx_add_timer(ev, NGX_HTTP_CMS_PROXY_WAIT_STEP);
        return;
    }

    ngx_http_set_log_request(c->log, r);

    r->read_event_handler = ngx_http_block_reading;

    ngx_http_finalize_request(r, ngx_http_cms_proxy_handler(r));

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_cms_proxy_wait_cleanup(void *data)
{
    ngx_http_cms_proxy_wait_t  *w = data;

    if (w->event.timer_set) {
        ngx_del_timer(&w->event);
    }
}
