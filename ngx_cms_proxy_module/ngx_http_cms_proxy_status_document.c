
/*
 * The status as one JSON document: the web bridges from shared memory, the
 * certificates as they were when the configuration was read, the shared port
 * from the stream module's memory, TURN from the plugin's file.
 * conf-examples/nginx/status.schema.json says what is in it.
 */


#include "ngx_http_cms_proxy_status.h"
#include "ngx_http_cms_proxy_certificate.h"


static json_t *ngx_http_cms_proxy_status_text(u_char *p, size_t len);
static json_t *ngx_http_cms_proxy_status_str(ngx_str_t *s);
static json_t *ngx_http_cms_proxy_status_when(time_t t);
static json_t *ngx_http_cms_proxy_status_webbridge(
    ngx_http_cms_proxy_srv_conf_t *wb, ngx_log_t *log);
static json_t *ngx_http_cms_proxy_status_targets(
    ngx_http_cms_proxy_record_t *record, ngx_log_t *log);
static json_t *ngx_http_cms_proxy_status_target(
    ngx_http_cms_proxy_record_t *record, ngx_uint_t n);
static json_t *ngx_http_cms_proxy_status_address(
    ngx_http_cms_proxy_target_t *target, ngx_http_cms_proxy_slot_t *slot);
static json_t *ngx_http_cms_proxy_status_share(void);
static json_t *ngx_http_cms_proxy_status_certificate(
    ngx_http_cms_proxy_certificate_t *crt, time_t now);
static json_t *ngx_http_cms_proxy_status_faults(
    ngx_http_cms_proxy_certificate_t *crt, time_t now);


static char *ngx_http_cms_proxy_status_causes[] = {
    NULL, "refused", "unreachable", "timeout", "certificate", "tls", "status",
    "text", "protocol", "closed"
};


json_t *
ngx_http_cms_proxy_status_document(ngx_http_request_t *r,
    ngx_http_cms_proxy_status_t *status)
{
    json_t                            *doc, *list, *share, *turn;
    ngx_uint_t                         i;
    ngx_time_t                        *tp;
    ngx_http_cms_proxy_srv_conf_t    **wbp;
    ngx_http_cms_proxy_main_conf_t    *mcf;
    ngx_http_cms_proxy_certificate_t **crtp;

    mcf = ngx_http_get_module_main_conf(r, ngx_http_cms_proxy_module);

    tp = ngx_timeofday();

    doc = json_pack("{s:f}", "generated", tp->sec + tp->msec / 1000.0);
    if (doc == NULL) {
        return NULL;
    }

    list = json_array();
    wbp = mcf->webbridges.elts;

    for (i = 0; i < mcf->webbridges.nelts; i++) {
        json_array_append_new(list,
            ngx_http_cms_proxy_status_webbridge(wbp[i], r->connection->log));
    }

    json_object_set_new(doc, "webbridges", list);

    list = json_array();
    crtp = mcf->certificates.elts;

    for (i = 0; i < mcf->certificates.nelts; i++) {

        if (crtp[i]->not_after) {
            json_array_append_new(list,
                ngx_http_cms_proxy_status_certificate(crtp[i], tp->sec));
        }
    }

    json_object_set_new(doc, "certificates", list);

    share = ngx_http_cms_proxy_status_share();

    if (share) {
        json_object_set_new(doc, "share", share);
    }

    if (status->turn.len) {
        turn = ngx_http_cms_proxy_status_turn(&status->turn,
                                              r->connection->log);

        json_object_set_new(turn, "file",
                            ngx_http_cms_proxy_status_str(&status->turn));
        json_object_set_new(doc, "turn", turn);
    }

    cms_status_problems(doc);

    return doc;
}


/* what is not printable ASCII becomes "?": it came from DNS or from a peer */

static json_t *
ngx_http_cms_proxy_status_text(u_char *p, size_t len)
{
    char    text[512];
    size_t  i;

    len = ngx_min(len, sizeof(text));

    for (i = 0; i < len; i++) {
        text[i] = (p[i] >= ' ' && p[i] <= '~') ? (char) p[i] : '?';
    }

    return json_stringn(text, len);
}


/* from the configuration: as it is, if that is UTF-8 */

static json_t *
ngx_http_cms_proxy_status_str(ngx_str_t *s)
{
    json_t  *string;

    string = json_stringn((char *) s->data, s->len);

    return string ? string : ngx_http_cms_proxy_status_text(s->data, s->len);
}


static json_t *
ngx_http_cms_proxy_status_when(time_t t)
{
    return t ? json_integer(t) : json_null();
}


static json_t *
ngx_http_cms_proxy_status_webbridge(ngx_http_cms_proxy_srv_conf_t *wb,
    ngx_log_t *log)
{
    json_t                     *object, *uris;
    ngx_uint_t                  i;
    ngx_http_cms_proxy_name_t  *uri;

    object = json_object();
    uris = json_array();
    uri = wb->guest_uris.elts;

    for (i = 0; i < wb->guest_uris.nelts; i++) {
        json_array_append_new(uris,
                              ngx_http_cms_proxy_status_str(&uri[i].text));
    }

    json_object_set_new(object, "name",
                        ngx_http_cms_proxy_status_str(&wb->name));
    json_object_set_new(object, "guest_uris", uris);
    json_object_set_new(object, "targets",
                        wb->record
                        ? ngx_http_cms_proxy_status_targets(wb->record, log)
                        : json_array());

    return object;
}


/* on a copy: the lock is not for work */

static json_t *
ngx_http_cms_proxy_status_targets(ngx_http_cms_proxy_record_t *record,
    ngx_log_t *log)
{
    json_t                       *targets;
    size_t                        size;
    ngx_uint_t                    i;
    ngx_http_cms_proxy_record_t   copy;

    targets = json_array();

    copy = *record;
    size = copy.ntargets * sizeof(ngx_http_cms_proxy_target_t);

    copy.targets = ngx_alloc(size
                             + copy.nslots * sizeof(ngx_http_cms_proxy_slot_t),
                             log);
    if (copy.targets == NULL) {
        return targets;
    }

    copy.slots = (ngx_http_cms_proxy_slot_t *)
                                            ((u_char *) copy.targets + size);

    ngx_http_cms_proxy_lock();

    ngx_memcpy(copy.targets, record->targets, size);
    ngx_memcpy(copy.slots, record->slots,
               copy.nslots * sizeof(ngx_http_cms_proxy_slot_t));

    ngx_http_cms_proxy_unlock();

    for (i = 0; i < copy.ntargets; i++) {
        json_array_append_new(targets,
                              ngx_http_cms_proxy_status_target(&copy, i));
    }

    ngx_free(copy.targets);

    return targets;
}


static json_t *
ngx_http_cms_proxy_status_target(ngx_http_cms_proxy_record_t *record,
    ngx_uint_t n)
{
    json_t                       *object, *dns, *addresses;
    ngx_uint_t                    i;
    ngx_http_cms_proxy_slot_t    *slot;
    ngx_http_cms_proxy_target_t  *target;

    target = &record->targets[n];

    object = json_object();
    addresses = json_array();
    dns = json_null();

    if (target->kind != NGX_HTTP_CMS_PROXY_LITERAL) {
        dns = json_object();

        json_object_set_new(dns, "resolved",
                            ngx_http_cms_proxy_status_when(target->resolved));
        json_object_set_new(dns, "valid",
                            ngx_http_cms_proxy_status_when(target->valid));
        json_object_set_new(dns, "addresses", json_integer(target->addresses));
        json_object_set_new(dns, "error",
                            target->error_len
                            ? ngx_http_cms_proxy_status_text(target->error,
                                                             target->error_len)
                            : json_null());
    }

    for (i = 0; i < record->nslots; i++) {
        slot = &record->slots[i];

        if (slot->target == n && slot->state != NGX_HTTP_CMS_PROXY_UNUSED) {
            json_array_append_new(addresses,
                             ngx_http_cms_proxy_status_address(target, slot));
        }
    }

    json_object_set_new(object, "target",
                        ngx_http_cms_proxy_status_str(&target->text));
    json_object_set_new(object, "dns", dns);
    json_object_set_new(object, "addresses", addresses);

    return object;
}


static json_t *
ngx_http_cms_proxy_status_address(ngx_http_cms_proxy_target_t *target,
    ngx_http_cms_proxy_slot_t *slot)
{
    char    *state, *cause;
    json_t  *object;

    cause = NULL;

    if (slot->config_down) {
        state = "down";

    } else if (slot->state == NGX_HTTP_CMS_PROXY_FAILED) {
        state = "failed";

        if (slot->cause < sizeof(ngx_http_cms_proxy_status_causes)
                          / sizeof(ngx_http_cms_proxy_status_causes[0]))
        {
            cause = ngx_http_cms_proxy_status_causes[slot->cause];
        }

    } else if (slot->idle) {
        state = "idle";

    } else {
        state = (slot->state == NGX_HTTP_CMS_PROXY_ACTIVE) ? "active"
                                                           : "unknown";
    }

    object = json_pack("{s:s, s:s?, s:b, s:I, s:I, s:I}",
                 "state", state,
                 "cause", cause,
                 "backup", (int) slot->backup,
                 "requests", (json_int_t) slot->requests,
                 "failures", (json_int_t) slot->failures,
                 "websockets",
                 (json_int_t) ngx_http_cms_proxy_websockets(slot));

    json_object_set_new(object, "address",
                        ngx_http_cms_proxy_status_text(slot->name,
                                                       slot->name_len));
    json_object_set_new(object, "host",
                        slot->host_len
                        ? ngx_http_cms_proxy_status_text(slot->host,
                                                         slot->host_len)
                        : json_null());
    json_object_set_new(object, "reason",
                        slot->reason_len
                        ? ngx_http_cms_proxy_status_text(slot->reason,
                                                         slot->reason_len)
                        : json_null());
    json_object_set_new(object, "probed",
                        ngx_http_cms_proxy_status_when(slot->probed));
    json_object_set_new(object, "changed",
                        ngx_http_cms_proxy_status_when(slot->changed));
    json_object_set_new(object, "latency",
                        slot->latency_us ? json_real(slot->latency_us / 1e6)
                                         : json_null());

    if (target->kind == NGX_HTTP_CMS_PROXY_SRV) {
        json_object_set_new(object, "priority", json_integer(slot->priority));
        json_object_set_new(object, "weight", json_integer(slot->weight));
    }

    return object;
}


/*
 * The stream module's zone is known by its name alone: its tag is a symbol of
 * another object.  Of a user's zone of that name the layout would be wrong.
 */

static json_t *
ngx_http_cms_proxy_status_share(void)
{
    ngx_uint_t        i;
    ngx_shm_zone_t   *zone;
    ngx_list_part_t  *part;

    part = (ngx_list_part_t *) &ngx_cycle->shared_memory.part;
    zone = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {

            if (part->next == NULL) {
                return NULL;
            }

            part = part->next;
            zone = part->elts;
            i = 0;
        }

        if (zone[i].shm.name.len == sizeof(CMS_SHARE_ZONE_NAME) - 1
            && ngx_strncmp(zone[i].shm.name.data, CMS_SHARE_ZONE_NAME,
                           sizeof(CMS_SHARE_ZONE_NAME) - 1)
               == 0)
        {
            return zone[i].data ? cms_status_share(zone[i].data) : NULL;
        }
    }
}


static json_t *
ngx_http_cms_proxy_status_certificate(ngx_http_cms_proxy_certificate_t *crt,
    time_t now)
{
    json_t                                *object, *names, *uris;
    ngx_str_t                             *name;
    ngx_uint_t                             i;
    ngx_http_cms_proxy_certificate_use_t  *use;

    names = json_array();
    name = crt->names.elts;

    for (i = 0; i < crt->names.nelts; i++) {
        json_array_append_new(names, ngx_http_cms_proxy_status_str(&name[i]));
    }

    uris = json_array();
    use = crt->uses.elts;

    for (i = 0; i < crt->uses.nelts; i++) {
        json_array_append_new(uris, json_pack("{s:o, s:b}", "name",
                      ngx_http_cms_proxy_status_str(&use[i].guest_uri->host),
                      "covered", (int) use[i].covered));
    }

    object = json_pack("{s:I, s:I, s:I, s:o, s:o, s:o}",
                 "not_before", (json_int_t) crt->not_before,
                 "not_after", (json_int_t) crt->not_after,
                 "days_left",
                 (json_int_t) cms_certificate_days(crt->not_after, now),
                 "names", names,
                 "guest_uris", uris,
                 "faults", ngx_http_cms_proxy_status_faults(crt, now));

    json_object_set_new(object, "file",
                        ngx_http_cms_proxy_status_str(&crt->file));
    json_object_set_new(object, "subject",
                        ngx_http_cms_proxy_status_str(&crt->subject));
    json_object_set_new(object, "issuer",
                        ngx_http_cms_proxy_status_str(&crt->issuer));

    return object;
}


static json_t *
ngx_http_cms_proxy_status_faults(ngx_http_cms_proxy_certificate_t *crt,
    time_t now)
{
    char         words[128], *level;
    json_t      *list;
    ngx_uint_t   i, faults;

    list = json_array();

    faults = crt->faults | cms_certificate_when(crt->not_before,
                                                crt->not_after, now);

    for (i = 0; i < CMS_CERTIFICATE_FAULTS; i++) {

        if (!(faults & (1 << i))) {
            continue;
        }

        cms_certificate_words(1 << i, crt->not_before, crt->not_after, now,
                              words, sizeof(words));

        level = (1 << i) & (CMS_CERTIFICATE_SOON|CMS_CERTIFICATE_CHAIN)
                ? "warning" : "error";

        json_array_append_new(list, json_pack("{s:s, s:s}", "level", level,
                                              "text", words));
    }

    return list;
}
