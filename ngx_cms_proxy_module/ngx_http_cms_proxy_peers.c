
/*
 * What the slots say is written into the stock round-robin peers here: the
 * address, the weight, and whether the peer is in rotation.  Balancers, and
 * keepalive, read nothing else.
 *
 * Of the stock structures nothing is used but what the header gives: peers
 * under their write lock, as nginx's own zone module does.
 */


#include "ngx_http_cms_proxy_module.h"


/* what nginx's ngx_rwlock_wlock() writes */

#define NGX_HTTP_CMS_PROXY_LOCKED      ((ngx_atomic_uint_t) -1)

/* half of them at once, half with 1 ms between */

#define NGX_HTTP_CMS_PROXY_LOCK_TRIES  200


static void ngx_http_cms_proxy_update_target(
    ngx_http_cms_proxy_record_t *record, ngx_http_cms_proxy_target_t *target);
static ngx_int_t ngx_http_cms_proxy_lock_peers(
    ngx_http_cms_proxy_srv_conf_t *wb, ngx_http_upstream_rr_peers_t *peers);
static void ngx_http_cms_proxy_unlock_peers(
    ngx_http_upstream_rr_peers_t *peers);
static void ngx_http_cms_proxy_write_peers(ngx_http_cms_proxy_srv_conf_t *wb,
    ngx_http_upstream_rr_peers_t *peers, ngx_uint_t first);
static ngx_int_t ngx_http_cms_proxy_weight(ngx_http_cms_proxy_srv_conf_t *wb,
    ngx_http_cms_proxy_slot_t *slot);
static void ngx_http_cms_proxy_apply_slot(ngx_http_upstream_rr_peer_t *peer,
    ngx_http_cms_proxy_slot_t *slot, ngx_int_t weight);
static void ngx_http_cms_proxy_reset_peer(ngx_http_upstream_rr_peer_t *peer);
static ngx_http_upstream_rr_peers_t *ngx_http_cms_proxy_peers_of(
    ngx_http_cms_proxy_srv_conf_t *wb, ngx_uint_t slot);


ngx_int_t
ngx_http_cms_proxy_init_peers(ngx_cycle_t *cycle,
    ngx_http_cms_proxy_srv_conf_t *wb)
{
    ngx_uint_t                     n;
    ngx_http_upstream_rr_peer_t   *peer;
    ngx_http_upstream_rr_peers_t  *peers;

    if (wb->foreign) {
        ngx_log_error(NGX_LOG_WARN, cycle->log, 0,
                      "the balancer of cms_webbridge \"%V\" is not nginx's: "
                      "its targets are resolved at start only, and failed "
                      "ones stay in rotation, in %V:%ui",
                      &wb->name, &wb->where.file, wb->where.line);
        return NGX_OK;
    }

    wb->peers = ngx_palloc(cycle->pool, wb->record->nslots
                                      * sizeof(ngx_http_upstream_rr_peer_t *));
    if (wb->peers == NULL) {
        return NGX_ERROR;
    }

    n = 0;

    for (peers = wb->upstream->peer.data; peers; peers = peers->next) {
        for (peer = peers->peer; peer; peer = peer->next) {

            if (n == wb->record->nslots) {
                goto differ;
            }

            wb->peers[n++] = peer;
        }
    }

    if (n == wb->record->nslots) {
        return NGX_OK;
    }

differ:

    /* an error would end the master, that of a reload included */

    ngx_log_error(NGX_LOG_ALERT, cycle->log, 0,
                  "the balancer of cms_webbridge \"%V\" has other servers "
                  "than its %ui: they are left alone, in %V:%ui",
                  &wb->name, wb->record->nslots,
                  &wb->where.file, wb->where.line);

    wb->peers = NULL;

    return NGX_OK;
}


ngx_uint_t
ngx_http_cms_proxy_usable(ngx_http_cms_proxy_slot_t *slot)
{
    return !slot->config_down
           && (slot->state == NGX_HTTP_CMS_PROXY_UNKNOWN
               || slot->state == NGX_HTTP_CMS_PROXY_ACTIVE);
}


void
ngx_http_cms_proxy_update(ngx_http_cms_proxy_record_t *record)
{
    ngx_uint_t                  i, live, cold;
    ngx_http_cms_proxy_slot_t  *slot;

    live = 0;
    cold = 0;

    for (i = 0; i < record->ntargets; i++) {
        ngx_http_cms_proxy_update_target(record, &record->targets[i]);
        cold += !record->targets[i].answered;
    }

    for (i = 0; i < record->nslots; i++) {
        slot = &record->slots[i];
        live += ngx_http_cms_proxy_usable(slot) && !slot->idle;
    }

    record->live = live;
    record->cold = cold;

    (void) ngx_atomic_fetch_add(&record->generation, 1);
}


/* RFC 2782: guests go to the lowest priority that can be reached */

static void
ngx_http_cms_proxy_update_target(ngx_http_cms_proxy_record_t *record,
    ngx_http_cms_proxy_target_t *target)
{
    ngx_uint_t                  i, best;
    ngx_http_cms_proxy_slot_t  *slot;

    slot = &record->slots[target->first];
    best = NGX_MAX_UINT32_VALUE;

    for (i = 0; i < target->nslots; i++) {
        if (ngx_http_cms_proxy_usable(&slot[i]) && slot[i].priority < best) {
            best = slot[i].priority;
        }
    }

    for (i = 0; i < target->nslots; i++) {
        slot[i].idle = ngx_http_cms_proxy_usable(&slot[i])
                       && slot[i].priority > best;
    }
}


void
ngx_http_cms_proxy_apply(ngx_http_cms_proxy_srv_conf_t *wb)
{
    ngx_http_cms_proxy_lock();

    ngx_http_cms_proxy_apply_locked(wb);

    ngx_http_cms_proxy_unlock();
}


/* the lock of the zone is taken before that of the peers, never after */

void
ngx_http_cms_proxy_apply_locked(ngx_http_cms_proxy_srv_conf_t *wb)
{
    ngx_uint_t                     n;
    ngx_http_upstream_rr_peers_t  *peers;

    wb->applied = wb->record->generation;

    if (wb->peers == NULL) {
        return;
    }

    n = 0;

    for (peers = wb->upstream->peer.data; peers; peers = peers->next) {

        if (ngx_http_cms_proxy_lock_peers(wb, peers) != NGX_OK) {
            wb->applied--;
            return;
        }

        ngx_http_cms_proxy_write_peers(wb, peers, n);
        ngx_http_cms_proxy_unlock_peers(peers);

        n += peers->number;
    }
}


/*
 * Without end nginx would wait for a lock whose holder was killed: here that
 * would be with the zone's mutex, and so keep everybody from everything.
 */

static ngx_int_t
ngx_http_cms_proxy_lock_peers(ngx_http_cms_proxy_srv_conf_t *wb,
    ngx_http_upstream_rr_peers_t *peers)
{
#if (NGX_HTTP_UPSTREAM_ZONE)

    ngx_uint_t      i;

    static time_t   locked;

    if (peers->shpool == NULL) {
        return NGX_OK;
    }

    /* it was in vain this second */

    if (peers->rwlock != 0 && ngx_time() == locked) {
        return NGX_AGAIN;
    }

    for (i = 0; i < NGX_HTTP_CMS_PROXY_LOCK_TRIES; i++) {

        if (peers->rwlock == 0
            && ngx_atomic_cmp_set(&peers->rwlock, 0,
                                  NGX_HTTP_CMS_PROXY_LOCKED))
        {
            ngx_http_cms_proxy_note_written(peers);
            return NGX_OK;
        }

        if (i < NGX_HTTP_CMS_PROXY_LOCK_TRIES / 2) {
            ngx_sched_yield();

        } else {
            ngx_msleep(1);
        }
    }

    locked = ngx_time();

    ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                  "the servers of cms_webbridge \"%V\" are locked, perhaps "
                  "by a worker that was killed; \"nginx -s reload\" helps",
                  &wb->name);

    return NGX_AGAIN;

#else

    return NGX_OK;

#endif
}


static void
ngx_http_cms_proxy_unlock_peers(ngx_http_upstream_rr_peers_t *peers)
{
    ngx_http_cms_proxy_note_written(NULL);

    ngx_http_upstream_rr_peers_unlock(peers);
}


static void
ngx_http_cms_proxy_write_peers(ngx_http_cms_proxy_srv_conf_t *wb,
    ngx_http_upstream_rr_peers_t *peers, ngx_uint_t first)
{
    ngx_uint_t                    i, tries, total;
    ngx_http_upstream_rr_peer_t  *peer;

    tries = 0;
    total = 0;

    for (i = first; i < first + peers->number; i++) {
        peer = wb->peers[i];

        ngx_http_cms_proxy_apply_slot(peer, &wb->record->slots[i],
                  ngx_http_cms_proxy_weight(wb, &wb->record->slots[i]));

        tries += !peer->down;
        total += peer->weight;
    }

    /* "hash" and "ip_hash" divide by it, and walk until it is used up */

    if (total == 0) {
        wb->peers[first]->weight = 1;
        total = 1;
    }

    peers->tries = tries;
    peers->total_weight = total;
    peers->weighted = (total != peers->number);
}


/*
 * Noted is what is locked, so nobody living holds that lock; what the dead one
 * began is written anew.  Peers of another cycle are not known
 * here, and theirs are a few connections that end.
 */

void
ngx_http_cms_proxy_mend_peers(ngx_http_cms_proxy_root_t *root,
    ngx_uint_t cycle)
{
#if (NGX_HTTP_UPSTREAM_ZONE)

    ngx_uint_t                        i, n;
    ngx_http_upstream_rr_peers_t     *peers;
    ngx_http_cms_proxy_srv_conf_t   **wbp;
    ngx_http_cms_proxy_main_conf_t   *mcf;

    if (root->writer != cycle) {
        root->written = NULL;
        return;
    }

    mcf = ngx_http_cycle_get_module_main_conf(ngx_cycle,
                                              ngx_http_cms_proxy_module);
    wbp = mcf->webbridges.elts;

    for (i = 0; i < mcf->webbridges.nelts; i++) {

        if (wbp[i]->peers == NULL) {
            continue;
        }

        n = 0;

        for (peers = wbp[i]->upstream->peer.data; peers; peers = peers->next) {

            if (peers == root->written
                && peers->rwlock == NGX_HTTP_CMS_PROXY_LOCKED)
            {
                ngx_http_cms_proxy_write_peers(wbp[i], peers, n);
                ngx_http_upstream_rr_peers_unlock(peers);
            }

            n += peers->number;
        }
    }

    root->written = NULL;

#endif
}


/*
 * Where "hash" and "ip_hash" look, an unused slot has no share; "random"
 * knows the weights of its first request only, so these stay as they are.
 */

static ngx_int_t
ngx_http_cms_proxy_weight(ngx_http_cms_proxy_srv_conf_t *wb,
    ngx_http_cms_proxy_slot_t *slot)
{
    ngx_http_upstream_server_t  *us;

    if (wb->random) {
        us = wb->upstream->servers->elts;
        return us[slot->target].weight;
    }

    if (slot->state == NGX_HTTP_CMS_PROXY_UNUSED) {
        return 0;
    }

    return ngx_max(slot->weight, 1);
}


static void
ngx_http_cms_proxy_apply_slot(ngx_http_upstream_rr_peer_t *peer,
    ngx_http_cms_proxy_slot_t *slot, ngx_int_t weight)
{
    ngx_uint_t  down;

    down = !ngx_http_cms_proxy_usable(slot) || slot->idle;

    if (slot->state != NGX_HTTP_CMS_PROXY_UNUSED
        && (peer->socklen != slot->socklen
            || ngx_memcmp(peer->sockaddr, &slot->sockaddr, slot->socklen)
               != 0))
    {
        ngx_memcpy(peer->sockaddr, &slot->sockaddr, slot->socklen);
        peer->socklen = slot->socklen;

        ngx_memcpy(peer->name.data, slot->name, slot->name_len);
        peer->name.len = slot->name_len;

#if (NGX_HTTP_UPSTREAM_SID)
        ngx_http_upstream_init_round_robin_sid(peer, NULL);
#endif

        ngx_http_cms_proxy_reset_peer(peer);
    }

    if (peer->weight != weight) {
        peer->weight = weight;
        peer->effective_weight = weight;
        peer->current_weight = 0;
    }

    if (peer->down && !down) {
        ngx_http_cms_proxy_reset_peer(peer);
    }

    peer->down = down;
}


/* no failure of guests' requests counts any more */

static void
ngx_http_cms_proxy_reset_peer(ngx_http_upstream_rr_peer_t *peer)
{
    peer->fails = 0;
    peer->effective_weight = peer->weight;
    peer->current_weight = 0;
}


ngx_http_cms_proxy_slot_t *
ngx_http_cms_proxy_slot(ngx_http_cms_proxy_srv_conf_t *wb,
    struct sockaddr *sockaddr)
{
    ngx_uint_t  i, n;

    if (wb->peers == NULL) {
        return NULL;
    }

    n = wb->record->nslots;

    for (i = 0; i < n; i++) {
        if (wb->peers[i]->sockaddr == sockaddr) {
            return &wb->record->slots[i];
        }
    }

    return NULL;
}


ngx_int_t
ngx_http_cms_proxy_copy_peer(ngx_http_cms_proxy_srv_conf_t *wb,
    ngx_peer_connection_t *pc, ngx_pool_t *pool,
    ngx_http_cms_proxy_slot_t **slot)
{
    u_char                        *p;
    ngx_str_t                     *name;
    ngx_uint_t                     i;
    ngx_http_upstream_rr_peer_t   *peer;
    ngx_http_upstream_rr_peers_t  *peers;

    *slot = ngx_http_cms_proxy_slot(wb, pc->sockaddr);

    if (*slot == NULL) {
        return NGX_OK;
    }

    i = *slot - wb->record->slots;
    peer = wb->peers[i];
    peers = ngx_http_cms_proxy_peers_of(wb, i);

    p = ngx_palloc(pool, sizeof(ngx_sockaddr_t) + sizeof(ngx_str_t)
                         + NGX_SOCKADDR_STRLEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    name = (ngx_str_t *) (p + sizeof(ngx_sockaddr_t));
    name->data = (u_char *) name + sizeof(ngx_str_t);

    ngx_http_upstream_rr_peers_rlock(peers);

    pc->socklen = peer->socklen;
    ngx_memcpy(p, peer->sockaddr, peer->socklen);

    name->len = peer->name.len;
    ngx_memcpy(name->data, peer->name.data, peer->name.len);

    ngx_http_upstream_rr_peers_unlock(peers);

    pc->sockaddr = (struct sockaddr *) p;
    pc->name = name;

    return NGX_OK;
}


static ngx_http_upstream_rr_peers_t *
ngx_http_cms_proxy_peers_of(ngx_http_cms_proxy_srv_conf_t *wb, ngx_uint_t slot)
{
    ngx_http_upstream_rr_peers_t  *peers;

    peers = wb->upstream->peer.data;

    return (slot < peers->number) ? peers : peers->next;
}


ngx_uint_t
ngx_http_cms_proxy_live(ngx_http_cms_proxy_srv_conf_t *wb)
{
    return wb->record->live;
}


void
ngx_http_cms_proxy_clear_fails(ngx_http_cms_proxy_srv_conf_t *wb,
    ngx_http_cms_proxy_slot_t *slot)
{
    ngx_uint_t                     i;
    ngx_http_upstream_rr_peers_t  *peers;

    if (wb->peers == NULL) {
        return;
    }

    ngx_http_cms_proxy_lock();

    for (i = 0; i < wb->record->nslots; i++) {

        if (slot && slot != &wb->record->slots[i]) {
            continue;
        }

        peers = ngx_http_cms_proxy_peers_of(wb, i);

        if (ngx_http_cms_proxy_lock_peers(wb, peers) != NGX_OK) {
            break;
        }

        ngx_http_cms_proxy_reset_peer(wb->peers[i]);

        ngx_http_cms_proxy_unlock_peers(peers);
    }

    ngx_http_cms_proxy_unlock();
}
