
/*
 * health_check: each address of a web bridge is asked for a page in turn, the
 * way guests' requests reach it, and gets guests only while it answers.
 *
 * Nobody leads.  In every worker each web bridge has a timer for its next due
 * probe; who comes first claims it (slot->due) and leaves its token in the
 * slot.  A worker that is killed costs one interval; the verdict of one that
 * was stopped meanwhile no longer counts, since the token is another's.
 */


#include "ngx_http_cms_proxy_health.h"


/* asked for by failing requests, a target is probed no more often */
#define NGX_HTTP_CMS_PROXY_SOON         500

/* until then, further ones of them make no difference */
#define NGX_HTTP_CMS_PROXY_LOOK         50

/* for a worker to see a timeout, before others think that it was killed */
#define NGX_HTTP_CMS_PROXY_GRACE        200

/* first probes: so far from one to the next, but all within an interval */
#define NGX_HTTP_CMS_PROXY_SPACING      10


static char *ngx_http_cms_proxy_health_parameter(ngx_conf_t *cf,
    ngx_http_cms_proxy_health_t *health, ngx_str_t *value);
static char *ngx_http_cms_proxy_health_msec(ngx_conf_t *cf, ngx_str_t *value,
    size_t name, ngx_msec_t *msec);
static char *ngx_http_cms_proxy_health_count(ngx_conf_t *cf, ngx_str_t *value,
    size_t name, ngx_uint_t *count);
static ngx_int_t ngx_http_cms_proxy_health_text(ngx_conf_t *cf,
    ngx_http_cms_proxy_health_t *health, ngx_str_t *value);
static ngx_int_t ngx_http_cms_proxy_health_request(ngx_conf_t *cf,
    ngx_http_cms_proxy_health_t *health);
static void ngx_http_cms_proxy_health_stop(void);

static void ngx_http_cms_proxy_health_timer(ngx_event_t *ev);
static void ngx_http_cms_proxy_health_look(ngx_event_t *ev);
static void ngx_http_cms_proxy_health_check(
    ngx_http_cms_proxy_health_t *health);
static ngx_uint_t ngx_http_cms_proxy_health_turn(
    ngx_http_cms_proxy_health_t *health);
static void ngx_http_cms_proxy_health_call(void);
static void ngx_http_cms_proxy_health_next(
    ngx_http_cms_proxy_health_t *health, ngx_msec_int_t wait);
static ngx_msec_int_t ngx_http_cms_proxy_health_wait(
    ngx_http_cms_proxy_health_t *health, ngx_http_cms_proxy_slot_t *slot);
static ngx_uint_t ngx_http_cms_proxy_health_wanted(
    ngx_http_cms_proxy_slot_t *slot);


/* of this worker: for what cannot wait, and those that have to */

static ngx_event_t  ngx_http_cms_proxy_look;
static ngx_queue_t  ngx_http_cms_proxy_waiting;


/* ---- configuration ---- */


/* health_check [off] [uri=] [interval=] [timeout=] [fails=] [passes=] ... */

char *
ngx_http_cms_proxy_health_directive(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_cms_proxy_srv_conf_t *wb = conf;

    ngx_str_t                    *value;
    ngx_uint_t                    i;
    ngx_http_cms_proxy_health_t  *health;

    if (ngx_http_cms_proxy_own(cf, cmd, wb) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    health = wb->health;

    if (health->on != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        health->on = 0;
        return NGX_CONF_OK;
    }

    health->on = 1;

    for (i = 1; i < cf->args->nelts; i++) {
        if (ngx_http_cms_proxy_health_parameter(cf, health, &value[i])
            != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    if (health->timeout > health->interval) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "timeout of \"health_check\" is longer than its "
                           "interval (%M and %M ms): a probe must have ended "
                           "before the next",
                           health->timeout, health->interval);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_cms_proxy_health_parameter(ngx_conf_t *cf,
    ngx_http_cms_proxy_health_t *health, ngx_str_t *value)
{
    size_t  i;

    if (ngx_strncmp(value->data, "interval=", 9) == 0) {
        return ngx_http_cms_proxy_health_msec(cf, value, 9, &health->interval);
    }

    if (ngx_strncmp(value->data, "timeout=", 8) == 0) {
        return ngx_http_cms_proxy_health_msec(cf, value, 8, &health->timeout);
    }

    if (ngx_strncmp(value->data, "fails=", 6) == 0) {
        return ngx_http_cms_proxy_health_count(cf, value, 6, &health->fails);
    }

    if (ngx_strncmp(value->data, "passes=", 7) == 0) {
        return ngx_http_cms_proxy_health_count(cf, value, 7, &health->passes);
    }

    if (ngx_strncmp(value->data, "match=", 6) == 0) {

        /* match="a b" would be two words: nginx wants "match=a b" */

        if (value->data[6] != '"' && value->data[6] != '\''
            && ngx_http_cms_proxy_health_text(cf, health, value) == NGX_OK)
        {
            return NGX_CONF_OK;
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "bad %V in \"health_check\"; expected is "
                           "\"match=TEXT\", quotes around all of it, with 1 "
                           "to %d bytes as they stand in the page",
                           value, CMS_PROBE_TEXT_MAX);
        return NGX_CONF_ERROR;
    }

    if (ngx_strncmp(value->data, "uri=", 4) == 0) {

        health->uri.data = value->data + 4;
        health->uri.len = value->len - 4;

        for (i = 0; i < health->uri.len; i++) {
            if (health->uri.data[i] <= ' ' || health->uri.data[i] >= 0x7f
                || health->uri.data[i] == '#')
            {
                break;
            }
        }

        if (health->uri.len && i == health->uri.len
            && health->uri.data[0] == '/')
        {
            return NGX_CONF_OK;
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "bad \"%V\" in \"health_check\"; expected is a "
                           "path that begins with \"/\", encoded as in a "
                           "request", value);
        return NGX_CONF_ERROR;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "unknown \"%V\" in \"health_check\"; expected are "
                       "\"off\" alone, or uri=, interval=, timeout=, fails=, "
                       "passes=, match=", value);

    return NGX_CONF_ERROR;
}


static char *
ngx_http_cms_proxy_health_msec(ngx_conf_t *cf, ngx_str_t *value, size_t name,
    ngx_msec_t *msec)
{
    ngx_int_t  n;
    ngx_str_t  s;

    s.data = value->data + name;
    s.len = value->len - name;

    n = s.len ? ngx_parse_time(&s, 0) : NGX_ERROR;

    if (n == NGX_ERROR || n < 100 || n > 3600000) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "bad \"%V\" in \"health_check\"; expected is a "
                           "time from 100ms to 1h", value);
        return NGX_CONF_ERROR;
    }

    *msec = n;

    return NGX_CONF_OK;
}


static char *
ngx_http_cms_proxy_health_count(ngx_conf_t *cf, ngx_str_t *value, size_t name,
    ngx_uint_t *count)
{
    ngx_int_t  n;

    n = ngx_atoi(value->data + name, value->len - name);

    if (n < 1 || n > 1000) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "bad \"%V\" in \"health_check\"; expected is a "
                           "number from 1 to 1000", value);
        return NGX_CONF_ERROR;
    }

    *count = n;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_cms_proxy_health_text(ngx_conf_t *cf,
    ngx_http_cms_proxy_health_t *health, ngx_str_t *value)
{
    health->text = ngx_pcalloc(cf->pool, sizeof(cms_probe_text_t));

    if (health->text == NULL
        || !cms_probe_text(health->text, value->data + 6, value->len - 6))
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_http_cms_proxy_health_t *
ngx_http_cms_proxy_create_health(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb)
{
    ngx_http_cms_proxy_health_t  *health;

    health = ngx_pcalloc(cf->pool, sizeof(ngx_http_cms_proxy_health_t));
    if (health == NULL) {
        return NULL;
    }

    health->webbridge = wb;
    health->on = NGX_CONF_UNSET;
    health->interval = 5000;
    health->timeout = 2000;
    health->fails = 2;
    health->passes = 1;
    ngx_str_set(&health->uri, "/");

    return health;
}


/*
 * All is merged, and verification set up: of a web bridge that several
 * locations proxy to, the first one's settings are used.
 */

ngx_int_t
ngx_http_cms_proxy_init_health(ngx_conf_t *cf,
    ngx_http_cms_proxy_route_t *route)
{
    u_char                         *p, *last;
    ngx_http_upstream_conf_t       *conf;
    ngx_http_cms_proxy_health_t    *health;
    ngx_http_cms_proxy_srv_conf_t  *wb;

    wb = route->webbridge;
    health = wb->health;

    if (health->conf || health->on == 0) {
        return NGX_OK;
    }

    /* begins with that in all versions of nginx */

    conf = route->hidden[ngx_http_proxy_module.ctx_index];

    health->conf = conf;

    if (route->trust) {
        health->ca_file = wb->trusted_certificate;
    }

    if (wb->upstream_host == NGX_HTTP_CMS_PROXY_INTERNAL) {
        health->host = ((ngx_http_cms_proxy_name_t *)
                        wb->internal_uris.elts)->text;
    } else {
        health->host = ((ngx_http_cms_proxy_name_t *)
                        wb->guest_uris.elts)->text;
    }

    /* a name with variables is for guests; the port is none of it */

    health->tls_name = wb->ssl_name;

#if (NGX_HTTP_SSL)

    if (conf->ssl_name && conf->ssl_name->lengths == NULL) {
        health->tls_name = conf->ssl_name->value;

        p = health->tls_name.data;
        last = p + health->tls_name.len;

        p = ngx_strlchr(p, last, ':');
        if (p && *health->tls_name.data != '[') {
            health->tls_name.len = p - health->tls_name.data;
        }
    }

#else
    (void) p;
    (void) last;
#endif

    return ngx_http_cms_proxy_health_request(cf, health);
}


static ngx_int_t
ngx_http_cms_proxy_health_request(ngx_conf_t *cf,
    ngx_http_cms_proxy_health_t *health)
{
    ngx_str_t  *s;

    s = &health->request;

    s->len = cms_probe_request(NULL, 0, health->host.data, health->host.len,
                               health->uri.data, health->uri.len);

    s->data = ngx_pnalloc(cf->pool, s->len);
    if (s->data == NULL) {
        return NGX_ERROR;
    }

    (void) cms_probe_request(s->data, s->len, health->host.data,
                             health->host.len, health->uri.data,
                             health->uri.len);

    return NGX_OK;
}


/* ---- what is due ---- */


/*
 * In the master, before new workers run.  Where nobody probes any more, what
 * probes have found is of no use; and workers that still do with an older
 * configuration are not listened to.
 */

void
ngx_http_cms_proxy_init_health_module(ngx_cycle_t *cycle)
{
    ngx_uint_t                        i, k;
    ngx_http_cms_proxy_slot_t        *slot;
    ngx_http_cms_proxy_record_t      *record;
    ngx_http_cms_proxy_srv_conf_t   **wbp;
    ngx_http_cms_proxy_main_conf_t   *mcf;

    ngx_http_cms_proxy_health_stop();

    mcf = ngx_http_cycle_get_module_main_conf(cycle,
                                              ngx_http_cms_proxy_module);

    if (mcf == NULL || mcf->root == NULL) {
        return;
    }

    wbp = mcf->webbridges.elts;

    ngx_http_cms_proxy_lock();

    for (i = 0; i < mcf->webbridges.nelts; i++) {

        record = wbp[i]->record;
        record->probed = (wbp[i]->health->conf != NULL);

        if (record->probed) {
            continue;
        }

        for (k = 0; k < record->nslots; k++) {
            slot = &record->slots[k];

            slot->prober = 0;
            slot->due = 0;
            slot->passes = 0;
            slot->fails = 0;
            slot->cause = NGX_HTTP_CMS_PROXY_NO_CAUSE;
            slot->reason_len = 0;

            if (slot->state != NGX_HTTP_CMS_PROXY_UNUSED) {
                slot->state = NGX_HTTP_CMS_PROXY_UNKNOWN;
            }
        }

        ngx_http_cms_proxy_update(record);
        ngx_http_cms_proxy_apply_locked(wbp[i]);
    }

    ngx_http_cms_proxy_unlock();
}


/*
 * With "master_process off" a reload takes the old configuration, and its
 * zones, from under what runs with it; nginx itself then accepts no more
 * connections, and no probes are sent either.
 */

static void
ngx_http_cms_proxy_health_stop(void)
{
    ngx_uint_t                        i;
    ngx_http_cms_proxy_srv_conf_t   **wbp;
    ngx_http_cms_proxy_main_conf_t   *old;

    old = ngx_http_cms_proxy_look.data;

    if (old == NULL) {
        return;
    }

    ngx_http_cms_proxy_drop_probes();

    wbp = old->webbridges.elts;

    for (i = 0; i < old->webbridges.nelts; i++) {
        if (wbp[i]->health->timer.timer_set) {
            ngx_del_timer(&wbp[i]->health->timer);
        }
    }

    if (ngx_http_cms_proxy_look.timer_set) {
        ngx_del_timer(&ngx_http_cms_proxy_look);
    }

    ngx_memzero(&ngx_http_cms_proxy_look, sizeof(ngx_event_t));
}


/* in each worker */

void
ngx_http_cms_proxy_init_health_process(ngx_cycle_t *cycle)
{
    ngx_uint_t                        i, k, n, slots;
    ngx_http_cms_proxy_slot_t        *slot;
    ngx_http_cms_proxy_health_t      *health;
    ngx_http_cms_proxy_srv_conf_t   **wbp;
    ngx_http_cms_proxy_main_conf_t   *mcf;

    mcf = ngx_http_cycle_get_module_main_conf(cycle,
                                              ngx_http_cms_proxy_module);

    ngx_http_cms_proxy_init_probes(cycle);
    ngx_queue_init(&ngx_http_cms_proxy_waiting);

    /* the master's clock is that of before it read the configuration */

    ngx_time_update();

    ngx_memzero(&ngx_http_cms_proxy_look, sizeof(ngx_event_t));
    ngx_http_cms_proxy_look.handler = ngx_http_cms_proxy_health_look;
    ngx_http_cms_proxy_look.data = mcf;
    ngx_http_cms_proxy_look.log = cycle->log;
    ngx_http_cms_proxy_look.cancelable = 1;

    wbp = mcf->webbridges.elts;

    slots = 0;

    for (i = 0; i < mcf->webbridges.nelts; i++) {
        slots += wbp[i]->record ? wbp[i]->record->nslots : 0;
    }

    n = 0;

    for (i = 0; i < mcf->webbridges.nelts; i++) {

        health = wbp[i]->health;

        if (health->conf == NULL || wbp[i]->record == NULL) {
            continue;
        }

        /* all at once would be a burst now and in each interval to come */

        for (k = 0; k < wbp[i]->record->nslots; k++) {
            slot = &wbp[i]->record->slots[k];
            n++;

            (void) ngx_atomic_cmp_set(&slot->due, 0, ngx_current_msec
                       + ngx_min(n * NGX_HTTP_CMS_PROXY_SPACING,
                                 n * health->interval / slots));
        }

        health->timer.handler = ngx_http_cms_proxy_health_timer;
        health->timer.data = health;
        health->timer.log = cycle->log;
        health->timer.cancelable = 1;

        ngx_add_timer(&health->timer, 1);
    }
}


/* a worker that ends leaves what it has begun to others */

void
ngx_http_cms_proxy_exit_health_process(ngx_cycle_t *cycle)
{
    ngx_http_cms_proxy_drop_probes();
}


/*
 * A request has failed there.  The probe that is under way will tell, and no
 * flood of failing requests makes one of probes.
 */

void
ngx_http_cms_proxy_probe_soon(ngx_http_cms_proxy_slot_t *slot)
{
    ngx_msec_t  soon;

    if (slot->prober) {
        return;
    }

    soon = slot->started + NGX_HTTP_CMS_PROXY_SOON;

    if (slot->started == 0
        || (ngx_msec_int_t) (soon - ngx_current_msec) < 0)
    {
        soon = ngx_current_msec;
    }

    if (slot->due && (ngx_msec_int_t) (slot->due - soon) > 0) {
        slot->due = soon;
    }

    if (ngx_http_cms_proxy_look.handler && !ngx_exiting
        && !ngx_http_cms_proxy_look.timer_set)
    {
        ngx_add_timer(&ngx_http_cms_proxy_look, NGX_HTTP_CMS_PROXY_LOOK);
    }
}


static void
ngx_http_cms_proxy_health_look(ngx_event_t *ev)
{
    ngx_uint_t                        i;
    ngx_http_cms_proxy_srv_conf_t   **wbp;
    ngx_http_cms_proxy_main_conf_t   *mcf;

    mcf = ev->data;
    wbp = mcf->webbridges.elts;

    for (i = 0; i < mcf->webbridges.nelts; i++) {
        if (wbp[i]->health->timer.handler) {
            ngx_http_cms_proxy_health_check(wbp[i]->health);
        }
    }
}


static void
ngx_http_cms_proxy_health_timer(ngx_event_t *ev)
{
    ngx_http_cms_proxy_health_check(ev->data);
}


/* probes what is due, and sets the timer for what will be next */

static void
ngx_http_cms_proxy_health_check(ngx_http_cms_proxy_health_t *health)
{
    ngx_uint_t                    i;
    ngx_msec_t                    spread;
    ngx_msec_int_t                wait, next;
    ngx_http_cms_proxy_slot_t    *slot;
    ngx_http_cms_proxy_record_t  *record;

    if (ngx_exiting) {
        return;                            /* the new workers go on */
    }

    record = health->webbridge->record;
    next = health->interval;

    for (i = 0; i < record->nslots; i++) {
        slot = &record->slots[i];

        if (!ngx_http_cms_proxy_health_wanted(slot)) {
            continue;
        }

        wait = ngx_http_cms_proxy_health_wait(health, slot);

        if (wait <= 0 && !ngx_http_cms_proxy_health_turn(health)) {
            continue;
        }

        if (wait <= 0) {

            /* of many names found at a time the second probes are spread */

            spread = health->interval / 10;

            if (slot->started == 0 && record->targets[slot->target].kind
                                      != NGX_HTTP_CMS_PROXY_LITERAL)
            {
                spread *= 9;
            }

            wait = health->interval - ngx_random() % spread;

            if (ngx_http_cms_proxy_claim(&slot->due, wait)) {
                ngx_http_cms_proxy_probe(health, slot);
            }
        }

        next = ngx_min(next, wait);
    }

    ngx_http_cms_proxy_health_next(health, next);

    /* another worker may have been faster: then it is the next one's turn */

    if (health->turn) {
        health->turn = 0;
        ngx_http_cms_proxy_health_call();
    }
}


/*
 * Where as many probes are under way as may be, web bridges queue up: dead
 * ones, whose probes take all of their time, must not keep others waiting.
 */

static ngx_uint_t
ngx_http_cms_proxy_health_turn(ngx_http_cms_proxy_health_t *health)
{
    if (ngx_http_cms_proxy_room_for_probe()
        && (health->turn || ngx_queue_empty(&ngx_http_cms_proxy_waiting)))
    {
        return 1;
    }

    if (!health->waiting) {
        health->waiting = 1;
        ngx_queue_insert_tail(&ngx_http_cms_proxy_waiting, &health->queue);
    }

    return 0;
}


/* the first in the queue may look again */

static void
ngx_http_cms_proxy_health_call(void)
{
    ngx_queue_t                  *q;
    ngx_http_cms_proxy_health_t  *health;

    if (ngx_queue_empty(&ngx_http_cms_proxy_waiting)
        || !ngx_http_cms_proxy_room_for_probe())
    {
        return;
    }

    q = ngx_queue_head(&ngx_http_cms_proxy_waiting);
    health = ngx_queue_data(q, ngx_http_cms_proxy_health_t, queue);

    ngx_queue_remove(q);
    health->waiting = 0;
    health->turn = 1;

    ngx_http_cms_proxy_health_next(health, 1);
}


/* its next probe may be due, and others wait for room */

void
ngx_http_cms_proxy_health_ended(ngx_http_cms_proxy_health_t *health)
{
    if (ngx_http_cms_proxy_look.handler == NULL || ngx_exiting) {
        return;
    }

    ngx_http_cms_proxy_health_call();
    ngx_http_cms_proxy_health_next(health, 1);
}


/* nginx would leave a timer that is set where it is, within 300 ms */

static void
ngx_http_cms_proxy_health_next(ngx_http_cms_proxy_health_t *health,
    ngx_msec_int_t wait)
{
    if (health->timer.timer_set) {
        ngx_del_timer(&health->timer);
    }

    ngx_add_timer(&health->timer, ngx_max(wait, 1));
}


/* how long until it may be probed; not while a probe is under way */

static ngx_msec_int_t
ngx_http_cms_proxy_health_wait(ngx_http_cms_proxy_health_t *health,
    ngx_http_cms_proxy_slot_t *slot)
{
    ngx_msec_int_t  wait, ends;

    wait = (ngx_msec_int_t) (slot->due - ngx_current_msec);

    if (slot->prober) {
        ends = (ngx_msec_int_t) (slot->started + health->timeout
                                 + NGX_HTTP_CMS_PROXY_GRACE
                                 - ngx_current_msec);
        wait = ngx_max(wait, ends);
    }

    return wait;
}


/* one that the administrator has marked down is none of ours */

static ngx_uint_t
ngx_http_cms_proxy_health_wanted(ngx_http_cms_proxy_slot_t *slot)
{
    return slot->state != NGX_HTTP_CMS_PROXY_UNUSED && !slot->config_down;
}
