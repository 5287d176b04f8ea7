
/*
 * Requests that wait for the first byte of an answer.  A frozen target must
 * not cost guests proxy_read_timeout, and a slow page must not cost them the
 * target that they are with: so where an answer is overdue the target's
 * health decides, after a probe that began later than the request.
 *
 * Called by ngx_http_cms_proxy_balance.c; without health_check nobody is
 * watched, and the stock timeouts are all there is.
 */


#include "ngx_http_cms_proxy_module.h"
#include "ngx_http_cms_proxy_health.h"


#define NGX_HTTP_CMS_PROXY_OVERDUE  2000
#define NGX_HTTP_CMS_PROXY_SWEEP    250

/*
 * Without a sign of life for so long: a web bridge that is only overloaded
 * and misses a probe or two must not have all requests under way aborted.
 */

#define NGX_HTTP_CMS_PROXY_LOST     10000


typedef enum {
    ngx_http_cms_proxy_alive = 0,
    ngx_http_cms_proxy_unsure,
    ngx_http_cms_proxy_dead
} ngx_http_cms_proxy_life_e;


static void ngx_http_cms_proxy_sweep(ngx_event_t *ev);
static ngx_http_cms_proxy_life_e ngx_http_cms_proxy_life(
    ngx_http_cms_proxy_balance_t *bp);
static ngx_uint_t ngx_http_cms_proxy_is_lost(ngx_http_cms_proxy_balance_t *bp);
static ngx_uint_t ngx_http_cms_proxy_can_move(
    ngx_http_cms_proxy_balance_t *bp);
static void ngx_http_cms_proxy_expire(ngx_http_cms_proxy_balance_t *bp);


/* of this worker: those that wait, the longest first */

static ngx_queue_t  ngx_http_cms_proxy_waiting;
static ngx_event_t  ngx_http_cms_proxy_sweeper;


void
ngx_http_cms_proxy_watch(ngx_http_cms_proxy_balance_t *bp)
{
    if (bp->ctx == NULL
        || !bp->webbridge->health->on
        || bp->request->subrequest_in_memory)
    {
        return;
    }

    if (ngx_http_cms_proxy_sweeper.handler == NULL) {
        ngx_queue_init(&ngx_http_cms_proxy_waiting);

        ngx_http_cms_proxy_sweeper.handler = ngx_http_cms_proxy_sweep;
        ngx_http_cms_proxy_sweeper.data = &ngx_http_cms_proxy_waiting;
        ngx_http_cms_proxy_sweeper.log = ngx_cycle->log;
        ngx_http_cms_proxy_sweeper.cancelable = 1;
    }

    bp->since = ngx_current_msec;
    bp->watched = 1;

    ngx_queue_insert_tail(&ngx_http_cms_proxy_waiting, &bp->queue);

    if (!ngx_http_cms_proxy_sweeper.timer_set) {
        ngx_add_timer(&ngx_http_cms_proxy_sweeper, NGX_HTTP_CMS_PROXY_SWEEP);
    }
}


void
ngx_http_cms_proxy_unwatch(ngx_http_cms_proxy_balance_t *bp)
{
    if (bp->watched) {
        bp->watched = 0;
        ngx_queue_remove(&bp->queue);
    }
}


static void
ngx_http_cms_proxy_sweep(ngx_event_t *ev)
{
    ngx_queue_t                   *waiting, *q, overdue;
    ngx_http_cms_proxy_life_e      life;
    ngx_http_cms_proxy_balance_t  *bp;

    waiting = ev->data;

    /* an expired request may end, and others with it: they leave either */

    ngx_queue_init(&overdue);

    while (!ngx_queue_empty(waiting)) {

        q = ngx_queue_head(waiting);
        bp = ngx_queue_data(q, ngx_http_cms_proxy_balance_t, queue);

        if (ngx_current_msec - bp->since < NGX_HTTP_CMS_PROXY_OVERDUE) {
            break;
        }

        ngx_queue_remove(q);

        life = ngx_http_cms_proxy_life(bp);

        if (life == ngx_http_cms_proxy_alive) {
            bp->since = ngx_current_msec;
            ngx_queue_insert_tail(waiting, q);
            continue;
        }

        ngx_queue_insert_tail(&overdue, q);

        if (life == ngx_http_cms_proxy_dead
            && (ngx_http_cms_proxy_can_move(bp)
                || ngx_http_cms_proxy_is_lost(bp)))
        {
            ngx_http_cms_proxy_expire(bp);
        }
    }

    while (!ngx_queue_empty(&overdue)) {
        q = ngx_queue_last(&overdue);
        ngx_queue_remove(q);
        ngx_queue_insert_head(waiting, q);
    }

    if (!ngx_queue_empty(waiting)) {
        ngx_add_timer(ev, NGX_HTTP_CMS_PROXY_SWEEP);
    }
}


/* of the target, since the request has been waiting */

static ngx_http_cms_proxy_life_e
ngx_http_cms_proxy_life(ngx_http_cms_proxy_balance_t *bp)
{
    ngx_http_cms_proxy_slot_t  *slot;

    slot = ngx_http_cms_proxy_balance_slot(bp);

    if (slot == NULL) {
        return ngx_http_cms_proxy_unsure;         /* DNS took it away */
    }

    if (slot->state == NGX_HTTP_CMS_PROXY_FAILED) {
        return ngx_http_cms_proxy_dead;
    }

    if ((ngx_msec_int_t) (slot->answered - bp->since) > 0) {
        return ngx_http_cms_proxy_alive;
    }

    if (slot->prober == 0
        && (ngx_msec_int_t) (slot->started - bp->since) > 0)
    {
        return slot->fails ? ngx_http_cms_proxy_dead
                           : ngx_http_cms_proxy_alive;
    }

    ngx_http_cms_proxy_probe_soon(slot);

    return ngx_http_cms_proxy_unsure;
}


/* no answer is to be expected, as far as probes can tell */

static ngx_uint_t
ngx_http_cms_proxy_is_lost(ngx_http_cms_proxy_balance_t *bp)
{
    ngx_http_cms_proxy_slot_t  *slot;

    slot = &bp->webbridge->record->slots[bp->current - 1];

    if (slot->state != NGX_HTTP_CMS_PROXY_FAILED) {
        return 0;
    }

    if (slot->cause == NGX_HTTP_CMS_PROXY_TIMED_OUT) {
        return ngx_current_msec - bp->since >= NGX_HTTP_CMS_PROXY_LOST;
    }

    return slot->cause == NGX_HTTP_CMS_PROXY_REFUSED
           || slot->cause == NGX_HTTP_CMS_PROXY_UNREACHABLE;
}


/* nothing is lost if the request is sent to another target as well */

static ngx_uint_t
ngx_http_cms_proxy_can_move(ngx_http_cms_proxy_balance_t *bp)
{
    ngx_http_request_t        *r;
    ngx_http_upstream_t       *u;
    ngx_http_upstream_conf_t  *conf;

    r = bp->request;
    u = r->upstream;
    conf = u->conf;

    return (r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))
           && r->headers_in.content_length_n <= 0
           && !r->headers_in.chunked
           && u->peer.tries > 1
           && (conf->next_upstream & NGX_HTTP_UPSTREAM_FT_TIMEOUT)
           && (conf->next_upstream_timeout == 0
               || ngx_current_msec - u->peer.start_time
                  < conf->next_upstream_timeout);
}


/* as if proxy_read_timeout were over */

static void
ngx_http_cms_proxy_expire(ngx_http_cms_proxy_balance_t *bp)
{
    ngx_event_t          *rev;
    ngx_http_upstream_t  *u;

    u = bp->request->upstream;

    /* before that it is proxy_connect_timeout or proxy_send_timeout */

    if (u->peer.connection == NULL || !u->request_body_sent) {
        return;
    }

    rev = u->peer.connection->read;

    if (rev->timer_set) {
        ngx_del_timer(rev);
    }

    rev->timedout = 1;
    rev->handler(rev);
}
