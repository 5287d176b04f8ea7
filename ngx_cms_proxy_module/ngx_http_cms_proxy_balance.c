
/*
 * Between the stock balancer, which chooses a target, and the stock keepalive,
 * which finds a connection to it: here a guest's affinity is honoured, targets
 * are counted and watched, and a request is moved on while it can be.
 */


#include "ngx_http_cms_proxy_module.h"


/* kept-alive connections found closed, before that counts as a failure */

#define NGX_HTTP_CMS_PROXY_STALE        2


/* what a request counts in its pool, if it became a WebSocket */

typedef struct {
    ngx_int_t                        place;
} ngx_http_cms_proxy_websocket_t;


static ngx_int_t ngx_http_cms_proxy_balance_init(ngx_conf_t *cf,
    ngx_http_upstream_srv_conf_t *us);
static ngx_int_t ngx_http_cms_proxy_balance_init_peer(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us);
static ngx_int_t ngx_http_cms_proxy_balance_get(ngx_peer_connection_t *pc,
    void *data);
static ngx_int_t ngx_http_cms_proxy_balance_wanted(
    ngx_http_cms_proxy_balance_t *bp, ngx_peer_connection_t *pc);
static ngx_int_t ngx_http_cms_proxy_balance_last(
    ngx_http_cms_proxy_balance_t *bp, ngx_peer_connection_t *pc);
static ngx_uint_t ngx_http_cms_proxy_balance_better(
    ngx_http_cms_proxy_srv_conf_t *wb, ngx_uint_t a, ngx_uint_t b);
static ngx_int_t ngx_http_cms_proxy_balance_take(
    ngx_http_cms_proxy_balance_t *bp, ngx_peer_connection_t *pc, ngx_uint_t i);
static void ngx_http_cms_proxy_balance_group(ngx_http_cms_proxy_balance_t *bp,
    ngx_http_upstream_rr_peers_t *peers);
static ngx_int_t ngx_http_cms_proxy_balance_chosen(
    ngx_http_cms_proxy_balance_t *bp, ngx_peer_connection_t *pc);
static void ngx_http_cms_proxy_balance_free(ngx_peer_connection_t *pc,
    void *data, ngx_uint_t state);
static ngx_uint_t ngx_http_cms_proxy_balance_failed(
    ngx_http_cms_proxy_balance_t *bp, ngx_peer_connection_t *pc,
    ngx_uint_t state);
#if (NGX_HTTP_SSL)
static ngx_int_t ngx_http_cms_proxy_balance_set_session(
    ngx_peer_connection_t *pc, void *data);
static void ngx_http_cms_proxy_balance_save_session(ngx_peer_connection_t *pc,
    void *data);
#endif
static void ngx_http_cms_proxy_balance_notify(ngx_peer_connection_t *pc,
    void *data, ngx_uint_t type);
static void ngx_http_cms_proxy_websocket_cleanup(void *data);


#define ngx_http_cms_proxy_tried(bp, i)                                       \
    ((bp)->tried[(i) / (8 * sizeof(uintptr_t))]                               \
     & (uintptr_t) 1 << (i) % (8 * sizeof(uintptr_t)))


/*
 * keepalive CONNECTIONS: stock keepalive takes whatever balances when its line
 * is read, so in a cms_webbridge block the line waits for the block's end.
 */

char *
ngx_http_cms_proxy_keepalive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_module_t                   *module;
    ngx_command_t                  *stock;
    ngx_http_conf_ctx_t            *ctx;
    ngx_http_cms_proxy_srv_conf_t  *wb;

    ctx = cf->ctx;
    wb = ngx_http_conf_get_module_srv_conf(cf, ngx_http_cms_proxy_module);

    if (wb->named) {

        if (wb->keepalive.nelts) {
            return "is duplicate";
        }

        return ngx_http_cms_proxy_record(cf, &wb->keepalive, cmd->post);
    }

    stock = ngx_http_cms_proxy_stock_command(cf, "keepalive",
                                             NGX_HTTP_UPS_CONF, &module);

    return stock->set(cf, stock, ctx->srv_conf[module->ctx_index]);
}


/* at the end of a cms_webbridge block, when its balancer is known */

char *
ngx_http_cms_proxy_interpose(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb)
{
    char                            *rv;
    ngx_conf_t                       save;
    ngx_module_t                    *module;
    ngx_http_conf_ctx_t              ctx;
    ngx_http_upstream_srv_conf_t    *uscf;
    ngx_http_cms_proxy_directive_t  *d;

    static ngx_str_t  connections = ngx_string("64");

    uscf = wb->upstream;

    wb->balancer_init = uscf->peer.init_upstream
                        ? uscf->peer.init_upstream
                        : ngx_http_upstream_init_round_robin;
    uscf->peer.init_upstream = ngx_http_cms_proxy_balance_init;

    if (wb->keepalive.nelts == 0) {
        return ngx_http_cms_proxy_upstream_default(cf, wb, "keepalive",
                                                   &connections, NULL);
    }

    d = wb->keepalive.elts;

    (void) ngx_http_cms_proxy_stock_command(cf, "keepalive",
                                            NGX_HTTP_UPS_CONF, &module);

    save = *cf;

    ctx = *(ngx_http_conf_ctx_t *) cf->ctx;
    ctx.srv_conf = uscf->srv_conf;
    cf->ctx = &ctx;

    rv = ngx_http_cms_proxy_call(cf, d->cmd, d->args, &d->where,
                                 NGX_HTTP_UPS_CONF,
                                 uscf->srv_conf[module->ctx_index]);

    *cf = save;

    return rv;
}


static ngx_int_t
ngx_http_cms_proxy_balance_init(ngx_conf_t *cf,
    ngx_http_upstream_srv_conf_t *us)
{
    ngx_http_cms_proxy_srv_conf_t  *wb;

    wb = ngx_http_conf_upstream_srv_conf(us, ngx_http_cms_proxy_module);

    if (wb->balancer_init(cf, us) != NGX_OK) {
        return NGX_ERROR;
    }

    wb->balancer_init_peer = us->peer.init;
    us->peer.init = ngx_http_cms_proxy_balance_init_peer;

    return NGX_OK;
}


static ngx_int_t
ngx_http_cms_proxy_balance_init_peer(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us)
{
    ngx_uint_t                         n;
    ngx_http_upstream_t               *u;
    ngx_http_cms_proxy_ctx_t          *ctx;
    ngx_http_cms_proxy_balance_t      *bp;
    ngx_http_cms_proxy_srv_conf_t     *wb;
    ngx_http_upstream_rr_peer_data_t  *rrp;

    wb = ngx_http_conf_upstream_srv_conf(us, ngx_http_cms_proxy_module);

    if (wb->balancer_init_peer(r, us) != NGX_OK) {
        return NGX_ERROR;
    }

    u = r->upstream;

    /* its data begin with those of round robin, as in nginx's own */

    rrp = u->peer.data;

    if (wb->peers == NULL || rrp->peers != us->peer.data) {
        return NGX_OK;
    }

    bp = ngx_palloc(r->pool, sizeof(ngx_http_cms_proxy_balance_t));
    if (bp == NULL) {
        return NGX_ERROR;
    }

    bp->request = r;
    bp->webbridge = wb;
    bp->current = 0;
    bp->wanted = 0;
    bp->stale = 0;
    bp->moved = 0;
    bp->watched = 0;

    bp->tried = &bp->bits;
    bp->bits = 0;

    n = wb->record->nslots;

    if (n > 8 * sizeof(uintptr_t)) {
        n = (n + 8 * sizeof(uintptr_t) - 1) / (8 * sizeof(uintptr_t));

        bp->tried = ngx_pcalloc(r->pool, n * sizeof(uintptr_t));
        if (bp->tried == NULL) {
            return NGX_ERROR;
        }
    }

    bp->data = rrp;
    bp->get = u->peer.get;
    bp->free = u->peer.free;

    u->peer.data = bp;
    u->peer.get = ngx_http_cms_proxy_balance_get;
    u->peer.free = ngx_http_cms_proxy_balance_free;

#if (NGX_HTTP_SSL)
    bp->set_session = u->peer.set_session;
    bp->save_session = u->peer.save_session;

    u->peer.set_session = ngx_http_cms_proxy_balance_set_session;
    u->peer.save_session = ngx_http_cms_proxy_balance_save_session;
#endif

    if (u->peer.notify) {
        bp->notify = u->peer.notify;
        u->peer.notify = ngx_http_cms_proxy_balance_notify;
    }

    /* "proxy_pass https://NAME" is allowed, but has nothing of cms_proxy */

    ctx = ngx_http_get_module_ctx(r, ngx_http_cms_proxy_module);

    bp->ctx = (ctx && ctx->route && ctx->route->webbridge == wb) ? ctx : NULL;

    if (bp->ctx) {
        ctx->balance = bp;
        bp->wanted = ngx_http_cms_proxy_affinity_wanted(r, ctx);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_cms_proxy_balance_get(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_cms_proxy_balance_t *bp = data;

    ngx_int_t                       rc;
    ngx_http_cms_proxy_srv_conf_t  *wb;

    wb = bp->webbridge;

    bp->current = 0;

    rc = bp->wanted ? ngx_http_cms_proxy_balance_wanted(bp, pc) : NGX_DECLINED;

    if (rc == NGX_DECLINED) {

        if (bp->moved) {
            ngx_http_cms_proxy_balance_group(bp, wb->upstream->peer.data);
            bp->moved = 0;
        }

        rc = bp->get(pc, bp->data);
    }

    if (rc == NGX_BUSY) {
        rc = ngx_http_cms_proxy_balance_last(bp, pc);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_cms_proxy_balance_chosen(bp, pc);
}


/* the target that the guest is with, unless it failed or did so just now */

static ngx_int_t
ngx_http_cms_proxy_balance_wanted(ngx_http_cms_proxy_balance_t *bp,
    ngx_peer_connection_t *pc)
{
    ngx_uint_t                      i;
    ngx_http_cms_proxy_slot_t      *slot;
    ngx_http_upstream_rr_peer_t    *peer;
    ngx_http_cms_proxy_srv_conf_t  *wb;

    wb = bp->webbridge;
    i = bp->wanted - 1;
    slot = &wb->record->slots[i];

    if (ngx_http_cms_proxy_tried(bp, i)
        || !ngx_http_cms_proxy_usable(slot))
    {
        return NGX_DECLINED;
    }

    /*
     * What other guests' requests met says little, and must not move those
     * who talk to it; but without probes nothing else is known.
     */

    peer = wb->peers[i];

    if (slot->state == NGX_HTTP_CMS_PROXY_UNKNOWN
        && peer->max_fails
        && peer->fails >= peer->max_fails
        && ngx_time() - peer->checked <= peer->fail_timeout)
    {
        return NGX_DECLINED;
    }

    return ngx_http_cms_proxy_balance_take(bp, pc, i);
}


/*
 * "no live upstreams", because requests failed lately at all that are left.
 * The probes did not: one of these is better than no answer.
 */

static ngx_int_t
ngx_http_cms_proxy_balance_last(ngx_http_cms_proxy_balance_t *bp,
    ngx_peer_connection_t *pc)
{
    ngx_uint_t                      i, n, best;
    ngx_http_upstream_rr_peer_t    *peer;
    ngx_http_cms_proxy_srv_conf_t  *wb;

    wb = bp->webbridge;
    n = wb->record->nslots;
    best = n;

    for (i = 0; i < n; i++) {
        peer = wb->peers[i];

        if (ngx_http_cms_proxy_tried(bp, i)
            || !ngx_http_cms_proxy_usable(&wb->record->slots[i])
            || (peer->max_conns && peer->conns >= peer->max_conns))
        {
            continue;
        }

        if (best == n || ngx_http_cms_proxy_balance_better(wb, i, best)) {
            best = i;
        }
    }

    if (best == n) {
        return NGX_BUSY;
    }

    ngx_http_cms_proxy_clear_fails(wb, &wb->record->slots[best]);

    return (ngx_http_cms_proxy_balance_take(bp, pc, best) == NGX_OK)
           ? NGX_OK : NGX_BUSY;
}


static ngx_uint_t
ngx_http_cms_proxy_balance_better(ngx_http_cms_proxy_srv_conf_t *wb,
    ngx_uint_t a, ngx_uint_t b)
{
    ngx_http_cms_proxy_slot_t  *slot;

    slot = wb->record->slots;

    if (slot[a].backup != slot[b].backup) {
        return !slot[a].backup;
    }

    if (slot[a].idle != slot[b].idle) {
        return !slot[a].idle;
    }

    return wb->peers[a]->conns < wb->peers[b]->conns;
}


/* chooses slot i as if the stock balancer had */

static ngx_int_t
ngx_http_cms_proxy_balance_take(ngx_http_cms_proxy_balance_t *bp,
    ngx_peer_connection_t *pc, ngx_uint_t i)
{
    ngx_uint_t                         n;
    ngx_http_upstream_rr_peer_t       *peer;
    ngx_http_upstream_rr_peers_t      *peers;
    ngx_http_upstream_rr_peer_data_t  *rrp;

    rrp = bp->data;
    peer = bp->webbridge->peers[i];
    peers = bp->webbridge->upstream->peer.data;
    n = i;

    if (n >= peers->number) {
        n -= peers->number;
        peers = peers->next;
    }

    ngx_http_upstream_rr_peers_wlock(peers);

    if (peer->max_conns && peer->conns >= peer->max_conns) {
        ngx_http_upstream_rr_peers_unlock(peers);
        return NGX_DECLINED;
    }

    /* the stock balancer did not count on this one */

    if (peer->down
        && bp->request->upstream->conf->next_upstream_tries == 0)
    {
        pc->tries++;
    }

    if (ngx_time() - peer->checked > peer->fail_timeout) {
        peer->checked = ngx_time();
    }

    peer->conns++;

#ifdef ngx_http_upstream_rr_peer_ref
    ngx_http_upstream_rr_peer_ref(peers, peer);
#endif

    pc->sockaddr = peer->sockaddr;
    pc->socklen = peer->socklen;
    pc->name = &peer->name;

#if (NGX_HTTP_UPSTREAM_SID)
    pc->sid = &peer->sid;
#endif

    ngx_http_upstream_rr_peers_unlock(peers);

    pc->cached = 0;
    pc->connection = NULL;

    if (rrp->peers != peers) {
        ngx_http_cms_proxy_balance_group(bp, peers);
    }

    bp->moved = (peers != bp->webbridge->upstream->peer.data);

    rrp->current = peer;
    rrp->tried[n / (8 * sizeof(uintptr_t))] |=
                             (uintptr_t) 1 << n % (8 * sizeof(uintptr_t));

    return NGX_OK;
}


/* lets the stock balancer look at these peers, primary or backup */

static void
ngx_http_cms_proxy_balance_group(ngx_http_cms_proxy_balance_t *bp,
    ngx_http_upstream_rr_peers_t *peers)
{
    ngx_uint_t                         i, n, first;
    ngx_http_upstream_rr_peers_t      *primary;
    ngx_http_upstream_rr_peer_data_t  *rrp;

    primary = bp->webbridge->upstream->peer.data;
    first = (peers == primary) ? 0 : primary->number;

    rrp = bp->data;
    rrp->peers = peers;

    n = (peers->number + 8 * sizeof(uintptr_t) - 1) / (8 * sizeof(uintptr_t));

    ngx_memzero(rrp->tried, n * sizeof(uintptr_t));

    for (i = 0; i < peers->number; i++) {
        if (ngx_http_cms_proxy_tried(bp, first + i)) {
            rrp->tried[i / (8 * sizeof(uintptr_t))] |=
                             (uintptr_t) 1 << i % (8 * sizeof(uintptr_t));
        }
    }
}


static ngx_int_t
ngx_http_cms_proxy_balance_chosen(ngx_http_cms_proxy_balance_t *bp,
    ngx_peer_connection_t *pc)
{
    ngx_uint_t                         i, n;
    ngx_http_cms_proxy_slot_t         *slot;
    ngx_http_cms_proxy_line_t         *line;
    ngx_http_cms_proxy_srv_conf_t     *wb;
    ngx_http_upstream_rr_peer_data_t  *rrp;

    rrp = bp->data;
    wb = bp->webbridge;
    n = wb->record->nslots;

    for (i = 0; wb->peers[i] != rrp->current; i++) {
        if (i + 1 == n) {
            return NGX_OK;
        }
    }

    slot = &wb->record->slots[i];

    bp->current = i + 1;
    bp->key = slot->key;
    bp->tried[i / (8 * sizeof(uintptr_t))] |=
                             (uintptr_t) 1 << i % (8 * sizeof(uintptr_t));

    (void) ngx_atomic_fetch_add(&slot->requests, 1);

    /* what DNS gave may change while this request lasts */

    line = wb->lines.elts;

    if (line[slot->target].kind != NGX_HTTP_CMS_PROXY_LITERAL
        && ngx_http_cms_proxy_copy_peer(wb, pc, bp->request->pool, &slot)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_cms_proxy_watch(bp);

    return NGX_OK;
}


static void
ngx_http_cms_proxy_balance_free(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t state)
{
    ngx_http_cms_proxy_balance_t *bp = data;

    ngx_http_cms_proxy_unwatch(bp);

    if (bp->current && (state & NGX_PEER_FAILED)) {
        state = ngx_http_cms_proxy_balance_failed(bp, pc, state);
    }

    bp->current = 0;

    bp->free(pc, bp->data, state);
}


/* what the stock balancer is to hear of it */

static ngx_uint_t
ngx_http_cms_proxy_balance_failed(ngx_http_cms_proxy_balance_t *bp,
    ngx_peer_connection_t *pc, ngx_uint_t state)
{
    ngx_uint_t                  i, timedout;
    ngx_connection_t           *c;
    ngx_http_upstream_t        *u;
    ngx_http_cms_proxy_slot_t  *slot;

    i = bp->current - 1;
    slot = ngx_http_cms_proxy_balance_slot(bp);
    u = bp->request->upstream;

    /* of an address that DNS has taken away; the next is not to blame */

    if (slot == NULL) {
        return state & ~NGX_PEER_FAILED;
    }

    c = pc->connection;

    timedout = c && (c->read->timedout || c->write->timedout);

    /*
     * A kept-alive connection that is closed just when it is used says
     * nothing of the target, which may be asked again.
     */

    if (pc->cached && !timedout && u->state->bytes_received == 0
        && bp->stale < NGX_HTTP_CMS_PROXY_STALE)
    {
        bp->stale++;
        bp->tried[i / (8 * sizeof(uintptr_t))] &=
                           ~((uintptr_t) 1 << i % (8 * sizeof(uintptr_t)));

        return state & ~NGX_PEER_FAILED;
    }

    ngx_http_cms_proxy_probe_soon(slot);

    (void) ngx_atomic_fetch_add(&slot->failures, 1);

    return state;
}


#if (NGX_HTTP_SSL)

static ngx_int_t
ngx_http_cms_proxy_balance_set_session(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_cms_proxy_balance_t *bp = data;

    return bp->set_session(pc, bp->data);
}


static void
ngx_http_cms_proxy_balance_save_session(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_cms_proxy_balance_t *bp = data;

    bp->save_session(pc, bp->data);
}

#endif


static void
ngx_http_cms_proxy_balance_notify(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t type)
{
    ngx_http_cms_proxy_balance_t *bp = data;

    bp->notify(pc, bp->data, type);
}


/* the slot that is asked; NULL: it holds another address by now */

ngx_http_cms_proxy_slot_t *
ngx_http_cms_proxy_balance_slot(ngx_http_cms_proxy_balance_t *bp)
{
    ngx_http_cms_proxy_slot_t  *slot;

    slot = &bp->webbridge->record->slots[bp->current - 1];

    return (slot->key == bp->key) ? slot : NULL;
}


/* the header of an answer is there: from now on it may take its time */

void
ngx_http_cms_proxy_balance_answered(ngx_http_cms_proxy_balance_t *bp)
{
    ngx_http_cms_proxy_slot_t  *slot;

    ngx_http_cms_proxy_unwatch(bp);

    slot = ngx_http_cms_proxy_balance_slot(bp);

    if (slot && slot->answered != ngx_current_msec) {
        slot->answered = ngx_current_msec;
    }
}


/* it is a WebSocket: counted with its target until its request ends */

ngx_int_t
ngx_http_cms_proxy_balance_websocket(ngx_http_request_t *r,
    ngx_http_cms_proxy_balance_t *bp)
{
    ngx_pool_cleanup_t              *cln;
    ngx_http_cms_proxy_slot_t       *slot;
    ngx_http_cms_proxy_websocket_t  *ws;

    slot = ngx_http_cms_proxy_balance_slot(bp);

    if (slot == NULL) {
        return NGX_OK;
    }

    cln = ngx_pool_cleanup_add(r->pool,
                               sizeof(ngx_http_cms_proxy_websocket_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    ws = cln->data;

    ws->place = ngx_http_cms_proxy_websocket_opened(slot);

    cln->handler = ngx_http_cms_proxy_websocket_cleanup;

    return NGX_OK;
}


static void
ngx_http_cms_proxy_websocket_cleanup(void *data)
{
    ngx_http_cms_proxy_websocket_t *ws = data;

    ngx_http_cms_proxy_websocket_closed(ws->place);
}
