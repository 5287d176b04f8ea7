
/*
 * What is rewritten for a web bridge, and by what: its settings, made ready
 * at configuration load, and the name that a request puts in.  The header
 * filter, the body filter and the WebSocket side ask here.
 */


#include "ngx_http_cms_proxy_module.h"


static uint64_t ngx_http_cms_proxy_hint(ngx_str_t *type);
static char *ngx_http_cms_proxy_compile_set(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb);
static char *ngx_http_cms_proxy_compile_back(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb);
static cms_rewrite_set_t *ngx_http_cms_proxy_compile(ngx_conf_t *cf,
    ngx_array_t *mappings);
static ngx_int_t ngx_http_cms_proxy_map_domain(ngx_array_t *mappings,
    ngx_str_t *from, ngx_str_t *to);
static void ngx_http_cms_proxy_warn_labels(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb);


/* "rewrite_types": what is text, and speaks of addresses */

static ngx_str_t  ngx_http_cms_proxy_default_types[] = {
    ngx_string("text/html"),
    ngx_string("application/xhtml+xml"),
    ngx_string("text/css"),
    ngx_string("text/javascript"),
    ngx_string("application/javascript"),
    ngx_string("application/x-javascript"),
    ngx_string("application/json"),
    ngx_string("application/manifest+json"),
    ngx_string("application/problem+json"),
    ngx_string("text/xml"),
    ngx_string("application/xml"),
    ngx_string("image/svg+xml"),
    ngx_string("text/event-stream"),
    ngx_null_string
};


/* rewrite_types MIME ... | * */

char *
ngx_http_cms_proxy_types(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    if (ngx_http_cms_proxy_own(cf, cmd, conf) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    return ngx_http_types_slot(cf, cmd, conf);
}


/* the block is read */

char *
ngx_http_cms_proxy_init_rewrite(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb)
{
    ngx_hash_t       hash;
    ngx_uint_t       i;
    ngx_array_t     *keys, *types;
    ngx_hash_key_t  *key;

    ngx_conf_init_value(wb->rewrite_body, 1);
    ngx_conf_init_value(wb->rewrite_websocket, 0);

    keys = NULL;
    ngx_memzero(&hash, sizeof(ngx_hash_t));

    if (ngx_http_merge_types(cf, &wb->rewrite_types_keys, &wb->rewrite_types,
                             &keys, &hash, ngx_http_cms_proxy_default_types)
        != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    types = wb->rewrite_types_keys ? wb->rewrite_types_keys : keys;

    if (types != (void *) -1) {
        key = types->elts;

        for (i = 0; i < types->nelts; i++) {
            wb->rewrite_hints |= ngx_http_cms_proxy_hint(&key[i].key);
        }
    }

    wb->pages_hashed = ngx_http_cms_proxy_create_pages(cf->pool);
    wb->pages_encoded = ngx_http_cms_proxy_create_pages(cf->pool);

    if (wb->pages_hashed == NULL || wb->pages_encoded == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_http_cms_proxy_warn_labels(cf, wb);

    if (ngx_http_cms_proxy_compile_set(cf, wb) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    return ngx_http_cms_proxy_compile_back(cf, wb);
}


/* most images and fonts are told from text by length and first letter */

static uint64_t
ngx_http_cms_proxy_hint(ngx_str_t *type)
{
    return (uint64_t) 1 << ((type->len + 7 * (type->data[0] | 0x20)) % 64);
}


ngx_uint_t
ngx_http_cms_proxy_is_rewrite_type(ngx_http_cms_proxy_srv_conf_t *wb,
    ngx_str_t *type)
{
    u_char  low[128];

    if (type->len == 0) {
        return 0;
    }

    if (wb->rewrite_types.size == 0) {
        return 1;
    }

    if (!(wb->rewrite_hints & ngx_http_cms_proxy_hint(type))
        || type->len > sizeof(low))
    {
        return 0;
    }

    return ngx_hash_find(&wb->rewrite_types,
                         ngx_hash_strlow(low, type->data, type->len), low,
                         type->len)
           != NULL;
}


/* to the guest: internal_uri becomes the guest URI asked for */

static char *
ngx_http_cms_proxy_compile_set(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb)
{
    ngx_uint_t                    i;
    ngx_array_t                   mappings;
    cms_rewrite_mapping_t        *m;
    ngx_http_cms_proxy_name_t    *inside;
    ngx_http_cms_proxy_domain_t  *domain;

    if (wb->internal_uris.nelts + wb->domains.nelts > CMS_REWRITE_MAPPINGS_MAX)
    {
        return ngx_http_cms_proxy_conf_error(cf, &wb->where,
                   "cms_webbridge \"%V\" has more than %d names in "
                   "internal_uri and domain together", &wb->name,
                   CMS_REWRITE_MAPPINGS_MAX);
    }

    if (ngx_array_init(&mappings, cf->temp_pool, CMS_REWRITE_MAPPINGS_MAX,
                       sizeof(cms_rewrite_mapping_t))
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    /* "user@domain" before the authority, which may be the same name */

    domain = wb->domains.elts;

    for (i = 0; i < wb->domains.nelts; i++) {
        if (ngx_http_cms_proxy_map_domain(&mappings, &domain[i].inside,
                                          &domain[i].outside)
            != NGX_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    inside = wb->internal_uris.elts;

    for (i = 0; i < wb->internal_uris.nelts; i++) {
        m = ngx_array_push(&mappings);
        if (m == NULL) {
            return NGX_CONF_ERROR;
        }

        ngx_memzero(m, sizeof(cms_rewrite_mapping_t));

        m->kind = CMS_REWRITE_AUTHORITY;
        m->from = inside[i].host.data;
        m->from_len = inside[i].host.len;
        m->from_port = inside[i].port;
    }

    wb->rewrite_set = ngx_http_cms_proxy_compile(cf, &mappings);

    return wb->rewrite_set ? NGX_CONF_OK : NGX_CONF_ERROR;
}


/* and back, in what a guest sends over a WebSocket */

static char *
ngx_http_cms_proxy_compile_back(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb)
{
    u_char                       *p;
    ngx_uint_t                    i;
    ngx_array_t                   mappings;
    cms_rewrite_to_t              to;
    cms_rewrite_mapping_t        *m;
    ngx_http_cms_proxy_name_t    *inside, *guest;
    ngx_http_cms_proxy_domain_t  *domain;

    if (ngx_array_init(&mappings, cf->temp_pool, CMS_REWRITE_MAPPINGS_MAX,
                       sizeof(cms_rewrite_mapping_t))
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    domain = wb->domains.elts;

    for (i = 0; i < wb->domains.nelts; i++) {
        if (ngx_http_cms_proxy_map_domain(&mappings, &domain[i].outside,
                                          &domain[i].inside)
            != NGX_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    if (wb->internal_uris.nelts) {
        inside = wb->internal_uris.elts;

        p = ngx_pnalloc(cf->pool, CMS_REWRITE_TO_SIZE(inside[0].host.len));
        if (p == NULL) {
            return NGX_CONF_ERROR;
        }

        cms_rewrite_to_write(&to, p, inside[0].host.data, inside[0].host.len,
                             inside[0].port);

        guest = wb->guest_uris.elts;

        for (i = 0; i < wb->guest_uris.nelts; i++) {
            m = ngx_array_push(&mappings);
            if (m == NULL) {
                return NGX_CONF_ERROR;
            }

            m->kind = CMS_REWRITE_AUTHORITY;
            m->from = guest[i].host.data;
            m->from_len = guest[i].host.len;
            m->from_port = guest[i].port;
            m->to = to;
        }
    }

    if (mappings.nelts > CMS_REWRITE_MAPPINGS_MAX && wb->rewrite_websocket) {
        return ngx_http_cms_proxy_conf_error(cf, &wb->where,
                   "cms_webbridge \"%V\" has more than %d names in "
                   "guest_uri and domain together, which "
                   "\"rewrite_websocket on\" does not take", &wb->name,
                   CMS_REWRITE_MAPPINGS_MAX);
    }

    mappings.nelts = ngx_min(mappings.nelts, CMS_REWRITE_MAPPINGS_MAX);

    wb->rewrite_back = ngx_http_cms_proxy_compile(cf, &mappings);

    return wb->rewrite_back ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static cms_rewrite_set_t *
ngx_http_cms_proxy_compile(ngx_conf_t *cf, ngx_array_t *mappings)
{
    cms_rewrite_set_t  *set;

    set = ngx_palloc(cf->pool, sizeof(cms_rewrite_set_t));

    if (set) {
        cms_rewrite_compile(set, mappings->elts, mappings->nelts);
    }

    return set;
}


static ngx_int_t
ngx_http_cms_proxy_map_domain(ngx_array_t *mappings, ngx_str_t *from,
    ngx_str_t *to)
{
    cms_rewrite_mapping_t  *m;

    m = ngx_array_push(mappings);
    if (m == NULL) {
        return NGX_ERROR;
    }

    m->kind = CMS_REWRITE_DOMAIN;
    m->from = from->data;
    m->from_len = from->len;
    m->from_port = 0;
    m->to.plain = to->data;
    m->to.plain_len = to->len;
    m->to.coded = to->data;
    m->to.coded_len = to->len;

    return NGX_OK;
}


/* a name of one label may well be a word of the page */

static void
ngx_http_cms_proxy_warn_labels(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb)
{
    ngx_uint_t                  i;
    ngx_http_cms_proxy_name_t  *inside;

    inside = wb->internal_uris.elts;

    for (i = 0; i < wb->internal_uris.nelts; i++) {

        if (ngx_strlchr(inside[i].host.data,
                        inside[i].host.data + inside[i].host.len, '.'))
        {
            continue;
        }

        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "internal_uri \"%V\" of cms_webbridge \"%V\" has no "
                      "dot: the word \"%V\" is replaced wherever it stands in "
                      "headers%s, in %V:%ui",
                      &inside[i].text, &wb->name, &inside[i].host,
                      wb->rewrite_body ? " and pages" : "",
                      &wb->where.file, wb->where.line);
    }
}


/* what the names of the inside become in the answer to this request */

cms_rewrite_to_t *
ngx_http_cms_proxy_rewrite_to(ngx_http_request_t *r,
    ngx_http_cms_proxy_ctx_t *ctx)
{
    u_char            *p;
    ngx_str_t         *guest;
    cms_rewrite_to_t  *to;

    to = &ctx->to;

    if (to->plain) {
        return to;
    }

    guest = &ctx->guest_uri->host;

    if (ctx->asked_port == 0) {
        to->plain = guest->data;
        to->plain_len = guest->len;
        to->coded = guest->data;
        to->coded_len = guest->len;

        return to;
    }

    p = ngx_pnalloc(r->pool, CMS_REWRITE_TO_SIZE(guest->len));
    if (p == NULL) {
        return NULL;
    }

    cms_rewrite_to_write(to, p, guest->data, guest->len, ctx->asked_port);

    return to;
}
