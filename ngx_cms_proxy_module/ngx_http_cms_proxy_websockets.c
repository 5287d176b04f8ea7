
/*
 * How many WebSockets are live at each address.  They outlive reloads, in old
 * workers, and so do the counts: they are in a zone of their own, whose size
 * and layout no configuration changes, by web bridge and address.
 *
 * Each worker counts in a seat of its own, so that what a killed one leaves
 * can be dropped; workers beyond the last seat share one count.
 */


#include "ngx_http_cms_proxy_module.h"

#include <ngx_md5.h>


#define NGX_HTTP_CMS_PROXY_SEATS    64

/* addresses with WebSockets, and how many places each may have among them */

#define NGX_HTTP_CMS_PROXY_PLACES   3072
#define NGX_HTTP_CMS_PROXY_WINDOW   32


typedef struct {
    uint32_t                         seats[NGX_HTTP_CMS_PROXY_SEATS];
    ngx_atomic_t                     unseated;
} ngx_http_cms_proxy_live_t;


typedef struct {
    ngx_atomic_t                     pids[NGX_HTTP_CMS_PROXY_SEATS];
    ngx_atomic_t                     keys[NGX_HTTP_CMS_PROXY_PLACES];
    ngx_http_cms_proxy_live_t        live[NGX_HTTP_CMS_PROXY_PLACES];
} ngx_http_cms_proxy_websockets_t;


static ngx_int_t ngx_http_cms_proxy_init_websockets(ngx_shm_zone_t *zone,
    void *data);
static void ngx_http_cms_proxy_clear_seat(ngx_uint_t seat);
static ngx_int_t ngx_http_cms_proxy_find_place(ngx_atomic_uint_t key);
static ngx_int_t ngx_http_cms_proxy_take_place(ngx_atomic_uint_t key);
static void ngx_http_cms_proxy_count(ngx_uint_t place, ngx_int_t n);
static ngx_uint_t ngx_http_cms_proxy_live_at(ngx_uint_t place);


/* of this process */

static ngx_slab_pool_t                  *ngx_http_cms_proxy_live_pool;
static ngx_http_cms_proxy_websockets_t  *ngx_http_cms_proxy_live_table;
static ngx_int_t                         ngx_http_cms_proxy_seat = -1;


ngx_int_t
ngx_http_cms_proxy_add_websockets(ngx_conf_t *cf)
{
    ngx_shm_zone_t  *zone;

    static ngx_str_t  name = ngx_string("cms_webbridge_websockets");

    zone = ngx_shared_memory_add(cf, &name, 1024 * 1024,
                                 &ngx_http_cms_proxy_module);
    if (zone == NULL) {
        return NGX_ERROR;
    }

    zone->init = ngx_http_cms_proxy_init_websockets;
    zone->data = zone;

    return NGX_OK;
}


static ngx_int_t
ngx_http_cms_proxy_init_websockets(ngx_shm_zone_t *zone, void *data)
{
    ngx_slab_pool_t  *shpool;

    shpool = (ngx_slab_pool_t *) zone->shm.addr;

    if (shpool->data == NULL) {
        shpool->data = ngx_slab_calloc(shpool,
                                     sizeof(ngx_http_cms_proxy_websockets_t));
        if (shpool->data == NULL) {
            return NGX_ERROR;
        }
    }

    ngx_http_cms_proxy_live_pool = shpool;
    ngx_http_cms_proxy_live_table = shpool->data;

    return NGX_OK;
}


/* a seat whose worker was killed is cleared by whoever comes next */

void
ngx_http_cms_proxy_init_websockets_process(void)
{
    ngx_uint_t     i;
    ngx_atomic_t  *pids;

    pids = ngx_http_cms_proxy_live_table->pids;

    ngx_http_cms_proxy_seat = -1;

    ngx_shmtx_lock(&ngx_http_cms_proxy_live_pool->mutex);

    for (i = 0; i < NGX_HTTP_CMS_PROXY_SEATS; i++) {

        if (pids[i] && kill((ngx_pid_t) pids[i], 0) == -1
            && ngx_errno == NGX_ESRCH)
        {
            ngx_http_cms_proxy_clear_seat(i);
        }

        if (pids[i] == 0 && ngx_http_cms_proxy_seat == -1) {
            pids[i] = ngx_pid;
            ngx_http_cms_proxy_seat = i;
        }
    }

    ngx_shmtx_unlock(&ngx_http_cms_proxy_live_pool->mutex);
}


void
ngx_http_cms_proxy_exit_websockets_process(void)
{
    if (ngx_http_cms_proxy_seat == -1) {
        return;
    }

    ngx_shmtx_lock(&ngx_http_cms_proxy_live_pool->mutex);

    ngx_http_cms_proxy_clear_seat(ngx_http_cms_proxy_seat);

    ngx_shmtx_unlock(&ngx_http_cms_proxy_live_pool->mutex);

    ngx_http_cms_proxy_seat = -1;
}


static void
ngx_http_cms_proxy_clear_seat(ngx_uint_t seat)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_HTTP_CMS_PROXY_PLACES; i++) {
        ngx_http_cms_proxy_live_table->live[i].seats[seat] = 0;
    }

    ngx_http_cms_proxy_live_table->pids[seat] = 0;
}


/* of an address of a web bridge; never 0 */

ngx_atomic_uint_t
ngx_http_cms_proxy_websocket_key(ngx_str_t *webbridge, u_char *address,
    size_t len)
{
    u_char             md5[16];
    ngx_md5_t          ctx;
    ngx_atomic_uint_t  key;

    ngx_md5_init(&ctx);
    ngx_md5_update(&ctx, webbridge->data, webbridge->len);
    ngx_md5_update(&ctx, " ", 1);
    ngx_md5_update(&ctx, address, len);
    ngx_md5_final(md5, &ctx);

    ngx_memcpy(&key, md5, sizeof(key));

    return key ? key : 1;
}


/*
 * A place without WebSockets may be taken away from its address at any time:
 * so it is counted first, and then looked whether it was.
 */

ngx_int_t
ngx_http_cms_proxy_websocket_opened(ngx_http_cms_proxy_slot_t *slot)
{
    ngx_int_t          place;
    ngx_atomic_uint_t  key;

    key = slot->key;

    for ( ;; ) {
        place = ngx_http_cms_proxy_find_place(key);

        if (place == NGX_ERROR) {
            place = ngx_http_cms_proxy_take_place(key);
        }

        if (place == NGX_ERROR) {
            return NGX_ERROR;
        }

        ngx_http_cms_proxy_count(place, 1);

        if (ngx_http_cms_proxy_live_table->keys[place] == key) {
            return place;
        }

        ngx_http_cms_proxy_count(place, -1);
    }
}


void
ngx_http_cms_proxy_websocket_closed(ngx_int_t place)
{
    if (place != NGX_ERROR) {
        ngx_http_cms_proxy_count(place, -1);
    }
}


ngx_uint_t
ngx_http_cms_proxy_websockets(ngx_http_cms_proxy_slot_t *slot)
{
    ngx_int_t  place;

    place = ngx_http_cms_proxy_find_place(slot->key);

    return (place == NGX_ERROR) ? 0 : ngx_http_cms_proxy_live_at(place);
}


static ngx_int_t
ngx_http_cms_proxy_find_place(ngx_atomic_uint_t key)
{
    ngx_uint_t  i, place;

    for (i = 0; i < NGX_HTTP_CMS_PROXY_WINDOW; i++) {
        place = (key + i) % NGX_HTTP_CMS_PROXY_PLACES;

        if (ngx_http_cms_proxy_live_table->keys[place] == key) {
            return place;
        }
    }

    return NGX_ERROR;
}


/* NGX_ERROR: all that this key may have are in use, it is not counted */

static ngx_int_t
ngx_http_cms_proxy_take_place(ngx_atomic_uint_t key)
{
    ngx_int_t      found;
    ngx_uint_t     i, place;
    ngx_atomic_t  *keys;

    keys = ngx_http_cms_proxy_live_table->keys;

    ngx_shmtx_lock(&ngx_http_cms_proxy_live_pool->mutex);

    found = ngx_http_cms_proxy_find_place(key);

    for (i = 0; found == NGX_ERROR && i < NGX_HTTP_CMS_PROXY_WINDOW; i++) {
        place = (key + i) % NGX_HTTP_CMS_PROXY_PLACES;

        if (keys[place] == 0 || ngx_http_cms_proxy_live_at(place) == 0) {
            keys[place] = key;
            found = place;
        }
    }

    ngx_shmtx_unlock(&ngx_http_cms_proxy_live_pool->mutex);

    return found;
}


/* nobody else writes to this worker's seat */

static void
ngx_http_cms_proxy_count(ngx_uint_t place, ngx_int_t n)
{
    ngx_http_cms_proxy_live_t  *live;

    live = &ngx_http_cms_proxy_live_table->live[place];

    if (ngx_http_cms_proxy_seat != -1) {
        live->seats[ngx_http_cms_proxy_seat] += n;
        ngx_memory_barrier();
        return;
    }

    (void) ngx_atomic_fetch_add(&live->unseated, n);
}


static ngx_uint_t
ngx_http_cms_proxy_live_at(ngx_uint_t place)
{
    ngx_uint_t                  i, n;
    ngx_http_cms_proxy_live_t  *live;

    live = &ngx_http_cms_proxy_live_table->live[place];
    n = live->unseated;

    for (i = 0; i < NGX_HTTP_CMS_PROXY_SEATS; i++) {
        n += live->seats[i];
    }

    return n;
}
