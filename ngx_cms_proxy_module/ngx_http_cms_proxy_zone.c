
/*
 * The zone in which all workers keep what they know of the targets, over
 * reloads: its layout, what a new one takes over from an old one, states.
 *
 * Its size and layout follow from the lines of all cms_webbridge blocks.  A
 * reload that leaves these as they are goes on with the same memory; another
 * makes a new zone and copies into it.  So nothing is ever freed.
 */


#include "ngx_http_cms_proxy_module.h"

#include <ngx_md5.h>
#include <sys/random.h>


/* two structures of different size never meet in one zone */

#define NGX_HTTP_CMS_PROXY_VERSION                                            \
    (0x636d7301 ^ (sizeof(ngx_http_cms_proxy_root_t) << 20)                   \
                ^ (sizeof(ngx_http_cms_proxy_record_t) << 14)                 \
                ^ (sizeof(ngx_http_cms_proxy_target_t) << 7)                  \
                ^ sizeof(ngx_http_cms_proxy_slot_t))


#define ngx_http_cms_proxy_aligned(n)  ngx_align(n, 64)


static void ngx_http_cms_proxy_layout(ngx_http_cms_proxy_main_conf_t *mcf,
    u_char *md5);
static void ngx_http_cms_proxy_layout_line(ngx_md5_t *md5,
    ngx_http_upstream_server_t *us, ngx_http_cms_proxy_line_t *line);
static ngx_uint_t ngx_http_cms_proxy_slots_of(
    ngx_http_cms_proxy_srv_conf_t *wb);
static size_t ngx_http_cms_proxy_root_size(
    ngx_http_cms_proxy_main_conf_t *mcf);
static ngx_shm_zone_t *ngx_http_cms_proxy_old_zone(ngx_cycle_t *cycle,
    ngx_str_t *name);
static ngx_http_cms_proxy_root_t *ngx_http_cms_proxy_root_of(
    ngx_shm_zone_t *zone);
static ngx_int_t ngx_http_cms_proxy_init_zone(ngx_shm_zone_t *zone,
    void *data);
static ngx_int_t ngx_http_cms_proxy_init_root(
    ngx_http_cms_proxy_main_conf_t *mcf, ngx_http_cms_proxy_root_t *root);
static void ngx_http_cms_proxy_init_record(ngx_http_cms_proxy_srv_conf_t *wb,
    ngx_http_cms_proxy_record_t *record, u_char **free);
static ngx_uint_t ngx_http_cms_proxy_init_slots(
    ngx_http_cms_proxy_record_t *record, ngx_uint_t target, ngx_uint_t n,
    ngx_http_upstream_server_t *us, ngx_http_cms_proxy_line_t *line);
static void ngx_http_cms_proxy_take_over(ngx_http_cms_proxy_root_t *root,
    ngx_http_cms_proxy_root_t *old);
static ngx_http_cms_proxy_record_t *ngx_http_cms_proxy_find_record(
    ngx_http_cms_proxy_root_t *root, ngx_str_t *name, ngx_uint_t *hint);
static void ngx_http_cms_proxy_take_over_record(
    ngx_http_cms_proxy_record_t *record, ngx_http_cms_proxy_record_t *old);
static void ngx_http_cms_proxy_take_over_target(
    ngx_http_cms_proxy_record_t *record, ngx_http_cms_proxy_target_t *target,
    ngx_http_cms_proxy_record_t *old, ngx_http_cms_proxy_target_t *known);
static void ngx_http_cms_proxy_take_over_slot(
    ngx_http_cms_proxy_slot_t *slot, ngx_http_cms_proxy_slot_t *old);
static ngx_http_cms_proxy_slot_t *ngx_http_cms_proxy_find_address(
    ngx_http_cms_proxy_record_t *record, ngx_http_cms_proxy_slot_t *slot);


/* of this process: the zone that it works with, and where it counts */

static ngx_slab_pool_t            *ngx_http_cms_proxy_shpool;
static ngx_http_cms_proxy_root_t  *ngx_http_cms_proxy_current;
static ngx_uint_t                  ngx_http_cms_proxy_cycle;


/* all is read and merged: the zone's size is known */

ngx_int_t
ngx_http_cms_proxy_add_zone(ngx_conf_t *cf)
{
    size_t                           size;
    u_char                           layout[16];
    ngx_uint_t                       i;
    ngx_shm_zone_t                  *old;
    ngx_http_cms_proxy_root_t       *root;
    ngx_http_cms_proxy_srv_conf_t  **wbp;
    ngx_http_cms_proxy_main_conf_t  *mcf;

    static ngx_str_t  name = ngx_string("cms_webbridge");

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cms_proxy_module);

    if (mcf->webbridges.nelts == 0) {
        return NGX_OK;
    }

    wbp = mcf->webbridges.elts;

    for (i = 0; i < mcf->webbridges.nelts; i++) {
        wbp[i]->index = i;
    }

    size = ngx_http_cms_proxy_root_size(mcf);

    /* the slab's own: a header, 32 bytes a page, and what rounding takes */

    size += size / 64 + 16 * ngx_pagesize;
    size = ngx_align(size, ngx_pagesize);

    mcf->zone = ngx_shared_memory_add(cf, &name, size,
                                      &ngx_http_cms_proxy_module);
    if (mcf->zone == NULL) {
        return NGX_ERROR;
    }

    mcf->zone->init = ngx_http_cms_proxy_init_zone;
    mcf->zone->data = mcf;

    if (ngx_http_cms_proxy_add_websockets(cf) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_cms_proxy_layout(mcf, layout);

    old = ngx_http_cms_proxy_old_zone(cf->cycle, &name);
    root = ngx_http_cms_proxy_root_of(old);

    mcf->old_zone = old;
    mcf->zone->noreuse = (root == NULL
                          || old->shm.size != size
                          || ngx_memcmp(root->layout, layout, 16) != 0);

    return NGX_OK;
}


static void
ngx_http_cms_proxy_layout(ngx_http_cms_proxy_main_conf_t *mcf, u_char *md5)
{
    ngx_md5_t                        ctx;
    ngx_uint_t                       i, k;
    ngx_http_upstream_server_t      *us;
    ngx_http_cms_proxy_line_t       *line;
    ngx_http_cms_proxy_srv_conf_t  **wbp;

    ngx_md5_init(&ctx);

    wbp = mcf->webbridges.elts;

    for (i = 0; i < mcf->webbridges.nelts; i++) {

        ngx_md5_update(&ctx, wbp[i]->name.data, wbp[i]->name.len);
        ngx_md5_update(&ctx, " {", 2);

        us = wbp[i]->upstream->servers->elts;
        line = wbp[i]->lines.elts;

        for (k = 0; k < wbp[i]->lines.nelts; k++) {
            ngx_http_cms_proxy_layout_line(&ctx, &us[k], &line[k]);
        }
    }

    ngx_md5_final(md5, &ctx);
}


static void
ngx_http_cms_proxy_layout_line(ngx_md5_t *md5, ngx_http_upstream_server_t *us,
    ngx_http_cms_proxy_line_t *line)
{
    ngx_uint_t  i, numbers[7];

    numbers[0] = line->kind;
    numbers[1] = line->port;
    numbers[2] = line->fallback;
    numbers[3] = us->naddrs;
    numbers[4] = us->weight;
    numbers[5] = line->down;
    numbers[6] = us->backup;

    ngx_md5_update(md5, line->text.data, line->text.len);
    ngx_md5_update(md5, ";", 1);
    ngx_md5_update(md5, numbers, sizeof(numbers));

    if (line->kind != NGX_HTTP_CMS_PROXY_LITERAL) {
        return;
    }

    for (i = 0; i < us->naddrs; i++) {
        ngx_md5_update(md5, us->addrs[i].name.data, us->addrs[i].name.len);
        ngx_md5_update(md5, ",", 1);
    }
}


static ngx_uint_t
ngx_http_cms_proxy_slots_of(ngx_http_cms_proxy_srv_conf_t *wb)
{
    ngx_uint_t                   i, n;
    ngx_http_upstream_server_t  *us;

    us = wb->upstream->servers->elts;
    n = 0;

    for (i = 0; i < wb->upstream->servers->nelts; i++) {
        n += us[i].naddrs;
    }

    return n;
}


static size_t
ngx_http_cms_proxy_root_size(ngx_http_cms_proxy_main_conf_t *mcf)
{
    size_t                           size;
    ngx_uint_t                       i, k;
    ngx_http_cms_proxy_line_t       *line;
    ngx_http_cms_proxy_srv_conf_t  **wbp;

    size = ngx_http_cms_proxy_aligned(sizeof(ngx_http_cms_proxy_root_t))
           + ngx_http_cms_proxy_aligned(mcf->webbridges.nelts
                                        * sizeof(ngx_http_cms_proxy_record_t));

    wbp = mcf->webbridges.elts;

    for (i = 0; i < mcf->webbridges.nelts; i++) {

        size += ngx_http_cms_proxy_aligned(wbp[i]->name.len)
                + ngx_http_cms_proxy_aligned(wbp[i]->lines.nelts
                                        * sizeof(ngx_http_cms_proxy_target_t))
                + ngx_http_cms_proxy_aligned(
                                         ngx_http_cms_proxy_slots_of(wbp[i])
                                         * sizeof(ngx_http_cms_proxy_slot_t));

        line = wbp[i]->lines.elts;

        for (k = 0; k < wbp[i]->lines.nelts; k++) {
            size += ngx_http_cms_proxy_aligned(line[k].text.len);
        }
    }

    return size;
}


/* that of the configuration which is in use until this one is, or NULL */

static ngx_shm_zone_t *
ngx_http_cms_proxy_old_zone(ngx_cycle_t *cycle, ngx_str_t *name)
{
    ngx_uint_t        i;
    ngx_shm_zone_t   *zone;
    ngx_list_part_t  *part;

    if (cycle->old_cycle == NULL) {
        return NULL;
    }

    for (part = &cycle->old_cycle->shared_memory.part;
         part;
         part = part->next)
    {
        zone = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (zone[i].tag == &ngx_http_cms_proxy_module
                && zone[i].shm.name.len == name->len
                && ngx_memcmp(zone[i].shm.name.data, name->data, name->len)
                   == 0)
            {
                return &zone[i];
            }
        }
    }

    return NULL;
}


/* NULL if there is none, or one of another version of this module */

static ngx_http_cms_proxy_root_t *
ngx_http_cms_proxy_root_of(ngx_shm_zone_t *zone)
{
    ngx_slab_pool_t            *shpool;
    ngx_http_cms_proxy_root_t  *root;

    if (zone == NULL || zone->shm.addr == NULL) {
        return NULL;
    }

    shpool = (ngx_slab_pool_t *) zone->shm.addr;
    root = shpool->data;

    if (root == NULL || root->version != NGX_HTTP_CMS_PROXY_VERSION) {
        return NULL;
    }

    return root;
}


/*
 * In the master.  A configuration may still be given up after this: memory
 * that is in use already is not written to.
 */

static ngx_int_t
ngx_http_cms_proxy_init_zone(ngx_shm_zone_t *zone, void *data)
{
    ngx_uint_t                       i;
    ngx_slab_pool_t                 *shpool;
    ngx_http_cms_proxy_srv_conf_t  **wbp;
    ngx_http_cms_proxy_main_conf_t  *mcf;

    mcf = zone->data;
    shpool = (ngx_slab_pool_t *) zone->shm.addr;

    if (shpool->data == NULL) {                     /* not one in use */

        mcf->root = ngx_slab_calloc(shpool,
                                    ngx_http_cms_proxy_root_size(mcf));

        if (mcf->root == NULL
            || ngx_http_cms_proxy_init_root(mcf, mcf->root) != NGX_OK)
        {
            return NGX_ERROR;
        }

        shpool->data = mcf->root;
    }

    mcf->root = shpool->data;

    wbp = mcf->webbridges.elts;

    for (i = 0; i < mcf->webbridges.nelts; i++) {
        wbp[i]->record = &mcf->root->records[i];
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_cms_proxy_init_root(ngx_http_cms_proxy_main_conf_t *mcf,
    ngx_http_cms_proxy_root_t *root)
{
    u_char                          *free;
    ngx_uint_t                       i;
    ngx_slab_pool_t                 *shpool;
    ngx_http_cms_proxy_root_t       *old;
    ngx_http_cms_proxy_srv_conf_t  **wbp;

    root->version = NGX_HTTP_CMS_PROXY_VERSION;
    root->nrecords = mcf->webbridges.nelts;

    ngx_http_cms_proxy_layout(mcf, root->layout);

    free = (u_char *) root
           + ngx_http_cms_proxy_aligned(sizeof(ngx_http_cms_proxy_root_t));

    root->records = (ngx_http_cms_proxy_record_t *) free;
    free += ngx_http_cms_proxy_aligned(root->nrecords
                                       * sizeof(ngx_http_cms_proxy_record_t));

    wbp = mcf->webbridges.elts;

    for (i = 0; i < root->nrecords; i++) {
        ngx_http_cms_proxy_init_record(wbp[i], &root->records[i], &free);
    }

    old = ngx_http_cms_proxy_root_of(mcf->old_zone);

    if (old) {
        shpool = (ngx_slab_pool_t *) mcf->old_zone->shm.addr;

        ngx_shmtx_lock(&shpool->mutex);

        ngx_http_cms_proxy_take_over(root, old);

        ngx_shmtx_unlock(&shpool->mutex);

    } else if (getrandom(root->key, sizeof(root->key), 0)
               != sizeof(root->key))
    {
        return NGX_ERROR;
    }

    for (i = 0; i < root->nrecords; i++) {
        ngx_http_cms_proxy_update(&root->records[i]);
    }

    return NGX_OK;
}


static void
ngx_http_cms_proxy_init_record(ngx_http_cms_proxy_srv_conf_t *wb,
    ngx_http_cms_proxy_record_t *record, u_char **free)
{
    u_char                       *p;
    ngx_uint_t                    i, n, backup;
    ngx_http_upstream_server_t   *us;
    ngx_http_cms_proxy_line_t    *line;
    ngx_http_cms_proxy_target_t  *target;

    p = *free;

    record->name.len = wb->name.len;
    record->name.data = p;
    ngx_memcpy(p, wb->name.data, wb->name.len);
    p += ngx_http_cms_proxy_aligned(wb->name.len);

    record->ntargets = wb->lines.nelts;
    record->targets = (ngx_http_cms_proxy_target_t *) p;
    p += ngx_http_cms_proxy_aligned(record->ntargets
                                    * sizeof(ngx_http_cms_proxy_target_t));

    record->nslots = ngx_http_cms_proxy_slots_of(wb);
    record->slots = (ngx_http_cms_proxy_slot_t *) p;
    p += ngx_http_cms_proxy_aligned(record->nslots
                                    * sizeof(ngx_http_cms_proxy_slot_t));

    line = wb->lines.elts;
    target = record->targets;

    for (i = 0; i < record->ntargets; i++) {
        target[i].kind = line[i].kind;
        target[i].text.len = line[i].text.len;
        target[i].text.data = p;
        ngx_memcpy(p, line[i].text.data, line[i].text.len);
        p += ngx_http_cms_proxy_aligned(line[i].text.len);
    }

    *free = p;

    /* in the order of the stock peers */

    us = wb->upstream->servers->elts;
    n = 0;

    for (backup = 0; backup < 2; backup++) {
        for (i = 0; i < record->ntargets; i++) {
            if (us[i].backup == backup) {
                n = ngx_http_cms_proxy_init_slots(record, i, n, &us[i],
                                                  &line[i]);
            }
        }
    }
}


static ngx_uint_t
ngx_http_cms_proxy_init_slots(ngx_http_cms_proxy_record_t *record,
    ngx_uint_t target, ngx_uint_t n, ngx_http_upstream_server_t *us,
    ngx_http_cms_proxy_line_t *line)
{
    ngx_addr_t                 *addr;
    ngx_uint_t                  i;
    ngx_http_cms_proxy_slot_t  *slot;

    record->targets[target].first = n;
    record->targets[target].nslots = us->naddrs;
    record->targets[target].due = ngx_current_msec;

    slot = &record->slots[n];

    for (i = 0; i < us->naddrs; i++) {

        slot[i].target = target;
        slot[i].weight = us->weight;
        slot[i].backup = us->backup;
        slot[i].config_down = line->down;

        if (line->kind != NGX_HTTP_CMS_PROXY_LITERAL) {
            continue;
        }

        addr = &us->addrs[i];

        slot[i].state = NGX_HTTP_CMS_PROXY_UNKNOWN;
        slot[i].socklen = addr->socklen;
        ngx_memcpy(&slot[i].sockaddr, addr->sockaddr, addr->socklen);
        slot[i].name_len = ngx_min(addr->name.len, NGX_SOCKADDR_STRLEN);
        ngx_memcpy(slot[i].name, addr->name.data, slot[i].name_len);
        slot[i].key = ngx_http_cms_proxy_websocket_key(&record->name,
                                           slot[i].name, slot[i].name_len);
    }

    if (line->kind == NGX_HTTP_CMS_PROXY_LITERAL) {
        record->targets[target].answered = 1;
        record->targets[target].addresses = us->naddrs;
    }

    return n + us->naddrs;
}


static void
ngx_http_cms_proxy_take_over(ngx_http_cms_proxy_root_t *root,
    ngx_http_cms_proxy_root_t *old)
{
    ngx_uint_t                    i, k;
    ngx_http_cms_proxy_record_t  *record, *known;

    ngx_memcpy(root->key, old->key, sizeof(root->key));

    /* blocks come and go, but mostly stay in their order */

    k = 0;

    for (i = 0; i < root->nrecords; i++) {
        record = &root->records[i];
        known = ngx_http_cms_proxy_find_record(old, &record->name, &k);

        if (known) {
            ngx_http_cms_proxy_take_over_record(record, known);
        }
    }
}


/* looks at old->records[*hint] first, and moves it behind what is found */

static ngx_http_cms_proxy_record_t *
ngx_http_cms_proxy_find_record(ngx_http_cms_proxy_root_t *root,
    ngx_str_t *name, ngx_uint_t *hint)
{
    ngx_uint_t                    i, k;
    ngx_http_cms_proxy_record_t  *record;

    for (i = 0; i < root->nrecords; i++) {

        k = (*hint + i) % root->nrecords;
        record = &root->records[k];

        if (record->name.len == name->len
            && ngx_memcmp(record->name.data, name->data, name->len) == 0)
        {
            *hint = k + 1;
            return record;
        }
    }

    return NULL;
}


static void
ngx_http_cms_proxy_take_over_record(ngx_http_cms_proxy_record_t *record,
    ngx_http_cms_proxy_record_t *old)
{
    ngx_uint_t                    i, k;
    ngx_http_cms_proxy_target_t  *target, *known;

    target = record->targets;
    known = old->targets;

    for (i = 0; i < record->ntargets; i++) {
        for (k = 0; k < old->ntargets; k++) {

            if (target[i].kind == known[k].kind
                && target[i].text.len == known[k].text.len
                && ngx_memcmp(target[i].text.data, known[k].text.data,
                              known[k].text.len)
                   == 0)
            {
                ngx_http_cms_proxy_take_over_target(record, &target[i], old,
                                                    &known[k]);
                break;
            }
        }
    }
}


static void
ngx_http_cms_proxy_take_over_target(ngx_http_cms_proxy_record_t *record,
    ngx_http_cms_proxy_target_t *target, ngx_http_cms_proxy_record_t *old,
    ngx_http_cms_proxy_target_t *known)
{
    ngx_uint_t                  i;
    ngx_http_cms_proxy_slot_t  *slot, *same;

    slot = &record->slots[target->first];

    if (target->kind == NGX_HTTP_CMS_PROXY_LITERAL) {

        for (i = 0; i < target->nslots; i++) {
            same = ngx_http_cms_proxy_find_address(old, &slot[i]);

            if (same) {
                ngx_http_cms_proxy_take_over_slot(&slot[i], same);
            }
        }

        return;
    }

    target->due = known->due;
    target->answered = known->answered;
    target->resolved = known->resolved;
    target->valid = known->valid;
    target->failures = known->failures;
    target->addresses = known->addresses;
    target->error_len = known->error_len;
    ngx_memcpy(target->error, known->error, sizeof(target->error));

    same = &old->slots[known->first];

    for (i = 0; i < ngx_min(target->nslots, known->nslots); i++) {

        slot[i].sockaddr = same[i].sockaddr;
        slot[i].socklen = same[i].socklen;
        slot[i].name_len = same[i].name_len;
        ngx_memcpy(slot[i].name, same[i].name, sizeof(slot[i].name));
        slot[i].host_len = same[i].host_len;
        ngx_memcpy(slot[i].host, same[i].host, sizeof(slot[i].host));
        slot[i].priority = same[i].priority;

        if (target->kind == NGX_HTTP_CMS_PROXY_SRV) {
            slot[i].weight = same[i].weight;
        }

        ngx_http_cms_proxy_take_over_slot(&slot[i], &same[i]);
    }
}


static void
ngx_http_cms_proxy_take_over_slot(ngx_http_cms_proxy_slot_t *slot,
    ngx_http_cms_proxy_slot_t *old)
{
    slot->state = old->state;
    slot->key = old->key;
    slot->due = old->due;
    slot->passes = old->passes;
    slot->fails = old->fails;
    slot->probed = old->probed;
    slot->changed = old->changed;
    slot->latency_us = old->latency_us;
    slot->cause = old->cause;
    slot->reason_len = old->reason_len;
    ngx_memcpy(slot->reason, old->reason, sizeof(slot->reason));
    slot->requests = old->requests;
    slot->failures = old->failures;
}


static ngx_http_cms_proxy_slot_t *
ngx_http_cms_proxy_find_address(ngx_http_cms_proxy_record_t *record,
    ngx_http_cms_proxy_slot_t *slot)
{
    ngx_uint_t                  i;
    ngx_http_cms_proxy_slot_t  *s;

    for (i = 0; i < record->nslots; i++) {
        s = &record->slots[i];

        if (s->state != NGX_HTTP_CMS_PROXY_UNUSED
            && ngx_cmp_sockaddr(&s->sockaddr.sockaddr, s->socklen,
                                &slot->sockaddr.sockaddr, slot->socklen, 1)
               == NGX_OK)
        {
            return s;
        }
    }

    return NULL;
}


/* in the master, before new workers run: they begin with what is known */

ngx_int_t
ngx_http_cms_proxy_init_zone_module(ngx_cycle_t *cycle)
{
    ngx_uint_t                       i;
    ngx_http_cms_proxy_srv_conf_t  **wbp;
    ngx_http_cms_proxy_main_conf_t  *mcf;

    mcf = ngx_http_cycle_get_module_main_conf(cycle,
                                              ngx_http_cms_proxy_module);

    if (mcf == NULL || mcf->zone == NULL) {
        ngx_http_cms_proxy_current = NULL;
        return NGX_OK;
    }

    /* decides whether nginx frees the old one, and only from here on */

    if (mcf->old_zone) {
        mcf->old_zone->noreuse = mcf->zone->noreuse;
    }

    ngx_http_cms_proxy_current = mcf->root;
    ngx_http_cms_proxy_shpool = (ngx_slab_pool_t *) mcf->zone->shm.addr;

    ngx_http_cms_proxy_lock();

    ngx_http_cms_proxy_cycle = ++mcf->root->cycles;

    ngx_http_cms_proxy_unlock();

    wbp = mcf->webbridges.elts;

    for (i = 0; i < mcf->webbridges.nelts; i++) {

        if (ngx_http_cms_proxy_init_peers(cycle, wbp[i]) != NGX_OK) {
            return NGX_ERROR;
        }

        ngx_http_cms_proxy_apply(wbp[i]);
    }

    return NGX_OK;
}


ngx_http_cms_proxy_root_t *
ngx_http_cms_proxy_root(ngx_cycle_t *cycle)
{
    ngx_http_cms_proxy_main_conf_t  *mcf;

    mcf = ngx_http_cycle_get_module_main_conf(cycle,
                                              ngx_http_cms_proxy_module);

    return mcf ? mcf->root : NULL;
}


void
ngx_http_cms_proxy_lock(void)
{
    ngx_http_cms_proxy_root_t  *root;

    ngx_shmtx_lock(&ngx_http_cms_proxy_shpool->mutex);

    root = ngx_http_cms_proxy_current;

    if (root->written) {
        ngx_http_cms_proxy_mend_peers(root, ngx_http_cms_proxy_cycle);
    }
}


void
ngx_http_cms_proxy_unlock(void)
{
    ngx_shmtx_unlock(&ngx_http_cms_proxy_shpool->mutex);
}


void
ngx_http_cms_proxy_note_written(ngx_http_upstream_rr_peers_t *peers)
{
    ngx_http_cms_proxy_current->writer = ngx_http_cms_proxy_cycle;

    ngx_memory_barrier();

    ngx_http_cms_proxy_current->written = peers;

    ngx_memory_barrier();
}


void
ngx_http_cms_proxy_set_state(ngx_http_cms_proxy_srv_conf_t *wb,
    ngx_http_cms_proxy_slot_t *slot, ngx_uint_t state, ngx_uint_t cause,
    ngx_str_t *reason)
{
    u_char      name[NGX_SOCKADDR_STRLEN];
    size_t      len;
    ngx_uint_t  was;

    ngx_http_cms_proxy_lock();

    was = slot->state;

    if (was == NGX_HTTP_CMS_PROXY_UNUSED) {
        ngx_http_cms_proxy_unlock();
        return;
    }

    len = slot->name_len;
    ngx_memcpy(name, slot->name, len);

    slot->cause = cause;
    slot->reason_len = ngx_min(reason->len, sizeof(slot->reason));

    if (slot->reason_len) {
        ngx_memcpy(slot->reason, reason->data, slot->reason_len);
    }

    if (was != state) {
        slot->state = state;
        slot->changed = ngx_time();

        ngx_http_cms_proxy_update(wb->record);
        ngx_http_cms_proxy_apply_locked(wb);
    }

    ngx_http_cms_proxy_unlock();

    if (was == state) {
        return;
    }

    if (state == NGX_HTTP_CMS_PROXY_FAILED) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "target %*s of cms_webbridge \"%V\" failed: %V",
                      len, name, &wb->name, reason);
        return;
    }

    /* what guests' requests made of it is over as well */

    ngx_http_cms_proxy_clear_fails(wb, slot);

    if (was == NGX_HTTP_CMS_PROXY_FAILED) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "target %*s of cms_webbridge \"%V\" is active again",
                      len, name, &wb->name);
    }
}


ngx_uint_t
ngx_http_cms_proxy_claim(ngx_atomic_t *due, ngx_msec_t lease)
{
    ngx_atomic_uint_t  was;

    was = *due;

    if ((ngx_msec_int_t) (was - ngx_current_msec) > 0) {
        return 0;
    }

    return ngx_atomic_cmp_set(due, was, ngx_current_msec + lease);
}
