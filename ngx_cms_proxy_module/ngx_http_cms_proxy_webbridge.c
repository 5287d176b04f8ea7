
/*
 * The block "cms_webbridge NAME { }": the stock upstream block, read by the
 * stock handler, with our directives in it; and what must hold at its end.
 */


#include "ngx_http_cms_proxy_module.h"

#include <dlfcn.h>


#define NGX_HTTP_CMS_PROXY_CA_BUNDLE  "/etc/ssl/certs/ca-certificates.crt"


typedef struct {
    ngx_str_t                        name;
    ngx_uint_t                       method;
} ngx_http_cms_proxy_method_t;


static char *ngx_http_cms_proxy_webbridge_end(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb);
static char *ngx_http_cms_proxy_check_block(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb);
static void ngx_http_cms_proxy_check_names(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb);
static void ngx_http_cms_proxy_check_name(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb, ngx_str_t *host);
static ngx_uint_t ngx_http_cms_proxy_in_domain(ngx_str_t *host,
    ngx_str_t *domain);
static void ngx_http_cms_proxy_check_messages(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb);
static ngx_uint_t ngx_http_cms_proxy_is_foreign(
    ngx_http_upstream_srv_conf_t *uscf);
static char *ngx_http_cms_proxy_zone(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb);
static char *ngx_http_cms_proxy_uri(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_array_t *uris, ngx_str_t *value);
static ngx_int_t ngx_http_cms_proxy_allow(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb);


/* set while the stock handler reads a cms_webbridge block */

static ngx_uint_t  ngx_http_cms_proxy_in_block;


static ngx_http_cms_proxy_method_t  ngx_http_cms_proxy_known_methods[] = {
    { ngx_string("GET"), NGX_HTTP_GET },
    { ngx_string("HEAD"), NGX_HTTP_HEAD },
    { ngx_string("POST"), NGX_HTTP_POST },
    { ngx_string("PUT"), NGX_HTTP_PUT },
    { ngx_string("DELETE"), NGX_HTTP_DELETE },
    { ngx_string("OPTIONS"), NGX_HTTP_OPTIONS },
    { ngx_string("PATCH"), NGX_HTTP_PATCH },
    { ngx_string("PROPFIND"), NGX_HTTP_PROPFIND },
    { ngx_string("PROPPATCH"), NGX_HTTP_PROPPATCH },
    { ngx_string("MKCOL"), NGX_HTTP_MKCOL },
    { ngx_string("COPY"), NGX_HTTP_COPY },
    { ngx_string("MOVE"), NGX_HTTP_MOVE },
    { ngx_string("LOCK"), NGX_HTTP_LOCK },
    { ngx_string("UNLOCK"), NGX_HTTP_UNLOCK },
    { ngx_null_string, 0 }
};


/* names below these are nobody's outside: RFC 6762, ICANN's .internal, habit */

static ngx_str_t  ngx_http_cms_proxy_inside_domains[] = {
    ngx_string("local"),
    ngx_string("internal"),
    ngx_string("lan"),
    ngx_null_string
};


void *
ngx_http_cms_proxy_create_srv_conf(ngx_conf_t *cf)
{
    ngx_http_cms_proxy_srv_conf_t  *wb;

    wb = ngx_pcalloc(cf->pool, sizeof(ngx_http_cms_proxy_srv_conf_t));
    if (wb == NULL) {
        return NULL;
    }

    if (ngx_array_init(&wb->guest_uris, cf->pool, 2,
                       sizeof(ngx_http_cms_proxy_name_t))
        != NGX_OK
        || ngx_array_init(&wb->internal_uris, cf->pool, 2,
                          sizeof(ngx_http_cms_proxy_name_t))
           != NGX_OK
        || ngx_array_init(&wb->domains, cf->pool, 1,
                          sizeof(ngx_http_cms_proxy_domain_t))
           != NGX_OK
        || ngx_array_init(&wb->targets, cf->pool, 1,
                          sizeof(ngx_http_cms_proxy_directive_t))
           != NGX_OK
        || ngx_array_init(&wb->directives, cf->pool, 4,
                          sizeof(ngx_http_cms_proxy_directive_t))
           != NGX_OK
        || ngx_array_init(&wb->keepalive, cf->pool, 1,
                          sizeof(ngx_http_cms_proxy_directive_t))
           != NGX_OK
        || ngx_array_init(&wb->lines, cf->pool, 2,
                          sizeof(ngx_http_cms_proxy_line_t))
           != NGX_OK)
    {
        return NULL;
    }

    wb->named = ngx_http_cms_proxy_in_block;
    wb->tls = NGX_CONF_UNSET;
    wb->verify = NGX_CONF_UNSET;
    wb->upstream_host = NGX_CONF_UNSET_UINT;
    wb->websocket_timeout = NGX_CONF_UNSET_MSEC;
    wb->affinity = NGX_CONF_UNSET_UINT;
    wb->rewrite_body = NGX_CONF_UNSET;
    wb->rewrite_websocket = NGX_CONF_UNSET;

    wb->health = ngx_http_cms_proxy_create_health(cf, wb);
    if (wb->health == NULL) {
        return NULL;
    }

    return wb;
}


/* cms_webbridge NAME { } */

char *
ngx_http_cms_proxy_webbridge(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                             *rv;
    ngx_str_t                         name, *value;
    ngx_command_t                    *upstream;
    cms_authority_t                   a;
    cms_authority_status_t            status;
    ngx_http_cms_proxy_where_t        where;
    ngx_http_upstream_srv_conf_t    **uscfp;
    ngx_http_upstream_main_conf_t    *umcf;
    ngx_http_cms_proxy_srv_conf_t    *wb, **wbp;
    ngx_http_cms_proxy_main_conf_t   *mcf;

    upstream = ngx_http_cms_proxy_stock_command(cf, "upstream",
                                                NGX_HTTP_MAIN_CONF, NULL);
    if (upstream == NULL) {
        return "needs nginx's directive \"upstream\"";
    }

    value = cf->args->elts;
    name = value[1];
    where = ngx_http_cms_proxy_here(cf);

    status = cms_authority_parse(name.data, name.len, &a);

    if ((status != CMS_AUTHORITY_OK && status != CMS_AUTHORITY_IP)
        || a.host_len != name.len)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "bad name \"%V\" of a cms_webbridge; expected are "
                           "letters, digits, \"-\", \"_\" and \".\"", &name);
        return NGX_CONF_ERROR;
    }

    ngx_http_cms_proxy_in_block = 1;
    rv = upstream->set(cf, upstream, NULL);
    ngx_http_cms_proxy_in_block = 0;

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    umcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_upstream_module);
    uscfp = umcf->upstreams.elts;
    uscfp += umcf->upstreams.nelts - 1;

    while ((*uscfp)->host.len != name.len
           || ngx_strncasecmp((*uscfp)->host.data, name.data, name.len) != 0)
    {
        uscfp--;
    }

    wb = ngx_http_conf_upstream_srv_conf(uscfp[0],
                                         ngx_http_cms_proxy_module);
    wb->name = name;
    wb->where = where;
    wb->upstream = *uscfp;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cms_proxy_module);

    wbp = ngx_array_push(&mcf->webbridges);
    if (wbp == NULL) {
        return NGX_CONF_ERROR;
    }

    *wbp = wb;

    return ngx_http_cms_proxy_webbridge_end(cf, wb);
}


static char *
ngx_http_cms_proxy_webbridge_end(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb)
{
    ngx_http_cms_proxy_name_t  *uri;

    if (ngx_http_cms_proxy_check_block(cf, wb) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    ngx_http_cms_proxy_check_names(cf, wb);

    ngx_conf_init_value(wb->tls, 1);
    ngx_conf_init_value(wb->verify, 1);
    ngx_conf_init_uint_value(wb->upstream_host, NGX_HTTP_CMS_PROXY_GUEST);
    ngx_conf_init_msec_value(wb->websocket_timeout, 3600000);
    ngx_conf_init_uint_value(wb->affinity, 1);

    ngx_http_cms_proxy_check_messages(cf, wb);

    if (wb->trusted_certificate.data == NULL) {
        ngx_str_set(&wb->trusted_certificate, NGX_HTTP_CMS_PROXY_CA_BUNDLE);
    }

    if (wb->methods == 0) {
        wb->methods = NGX_HTTP_GET|NGX_HTTP_POST|NGX_HTTP_PUT|NGX_HTTP_HEAD
                      |NGX_HTTP_DELETE;
    }

    /*
     * One name for all of its guest URIs: connections and TLS sessions are
     * shared among them.
     */

    uri = (wb->upstream_host == NGX_HTTP_CMS_PROXY_INTERNAL)
          ? wb->internal_uris.elts : wb->guest_uris.elts;
    wb->ssl_name = uri->host;

    wb->url.data = ngx_pnalloc(cf->pool, sizeof("https://") - 1
                                         + wb->name.len);
    if (wb->url.data == NULL) {
        return NGX_CONF_ERROR;
    }

    wb->url.len = ngx_sprintf(wb->url.data, "http%s://%V", wb->tls ? "s" : "",
                              &wb->name)
                  - wb->url.data;

    wb->foreign = ngx_http_cms_proxy_is_foreign(wb->upstream);

    if (ngx_http_cms_proxy_allow(cf, wb) != NGX_OK
        || ngx_http_cms_proxy_init_rewrite(cf, wb) != NGX_CONF_OK
        || ngx_http_cms_proxy_add_targets(cf, wb) != NGX_CONF_OK
        || ngx_http_cms_proxy_zone(cf, wb) != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    return ngx_http_cms_proxy_interpose(cf, wb);
}


static char *
ngx_http_cms_proxy_check_block(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb)
{
    if (wb->guest_uris.nelts == 0) {
        return ngx_http_cms_proxy_conf_error(cf, &wb->where,
                   "cms_webbridge \"%V\" has no guest_uri, "
                   "the name that guests type", &wb->name);
    }

    if (wb->upstream_host == NGX_HTTP_CMS_PROXY_INTERNAL
        && wb->internal_uris.nelts == 0)
    {
        return ngx_http_cms_proxy_conf_error(cf, &wb->where,
                   "cms_webbridge \"%V\" has \"upstream_host internal\" "
                   "but no internal_uri", &wb->name);
    }

    if (wb->websocket_timeout == 0) {
        return ngx_http_cms_proxy_conf_error(cf, &wb->where,
                   "websocket_timeout of cms_webbridge \"%V\" must be more "
                   "than 0", &wb->name);
    }

    return NGX_CONF_OK;
}


/*
 * What guests type must be a name of the outside: with one of the inside they
 * get nowhere, or a "Bad Request".  Only the administrator can know, so these
 * are warnings.
 */

static void
ngx_http_cms_proxy_check_names(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb)
{
    ngx_uint_t                  i, k;
    ngx_http_cms_proxy_name_t  *guest, *internal;

    guest = wb->guest_uris.elts;
    internal = wb->internal_uris.elts;

    for (i = 0; i < wb->guest_uris.nelts; i++) {

        for (k = 0; k < wb->internal_uris.nelts; k++) {
            if (internal[k].text.len == guest[i].text.len
                && ngx_memcmp(internal[k].text.data, guest[i].text.data,
                              guest[i].text.len)
                   == 0)
            {
                break;
            }
        }

        if (k == wb->internal_uris.nelts) {
            ngx_http_cms_proxy_check_name(cf, wb, &guest[i].host);
            continue;
        }

        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "guest_uri \"%V\" is also the internal_uri of "
                      "cms_webbridge \"%V\": if guests know it by another "
                      "name, they get \"Bad Request\"; if not, leave the "
                      "internal_uri out, in %V:%ui",
                      &guest[i].text, &wb->name, &wb->where.file,
                      wb->where.line);
    }
}


static void
ngx_http_cms_proxy_check_name(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb, ngx_str_t *host)
{
    ngx_str_t                    *inside;
    ngx_uint_t                    i;
    ngx_http_cms_proxy_domain_t  *domain;

    domain = wb->domains.elts;

    for (i = 0; i < wb->domains.nelts; i++) {

        if (!ngx_http_cms_proxy_in_domain(host, &domain[i].inside)
            || (ngx_http_cms_proxy_in_domain(&domain[i].outside,
                                             &domain[i].inside)
                && ngx_http_cms_proxy_in_domain(host, &domain[i].outside)))
        {
            continue;
        }

        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "guest_uri \"%V\" of cms_webbridge \"%V\" is in the "
                      "inside domain \"%V\": guests, who know a name of the "
                      "outside, get \"Bad Request\", in %V:%ui",
                      host, &wb->name, &domain[i].inside, &wb->where.file,
                      wb->where.line);
        return;
    }

    for (inside = ngx_http_cms_proxy_inside_domains; inside->len; inside++) {

        if (ngx_http_cms_proxy_in_domain(host, inside)) {
            ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                          "guest_uri \"%V\" of cms_webbridge \"%V\" ends with "
                          "\".%V\": no guest outside can look it up, in "
                          "%V:%ui",
                          host, &wb->name, inside, &wb->where.file,
                          wb->where.line);
            return;
        }
    }
}


/* the host is in lower case; the domain as it was written */

static ngx_uint_t
ngx_http_cms_proxy_in_domain(ngx_str_t *host, ngx_str_t *domain)
{
    u_char  *end;

    if (host->len < domain->len) {
        return 0;
    }

    end = host->data + host->len - domain->len;

    return ngx_strncasecmp(end, domain->data, domain->len) == 0
           && (end == host->data || end[-1] == '.');
}


/*
 * A web bridge that knows itself by its internal name alone says it in
 * messages, too: the page comes, and the call stays in "Connecting...".
 */

static void
ngx_http_cms_proxy_check_messages(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb)
{
    if (wb->upstream_host != NGX_HTTP_CMS_PROXY_INTERNAL
        || wb->rewrite_websocket == 1)
    {
        return;
    }

    ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                  "cms_webbridge \"%V\" has \"upstream_host internal\" "
                  "without \"rewrite_websocket on\": where its messages have "
                  "the internal name, guests get the page and no call, in "
                  "%V:%ui",
                  &wb->name, &wb->where.file, wb->where.line);
}


/*
 * A balancer from another object than nginx may keep something else than
 * round robin peers.
 */

static ngx_uint_t
ngx_http_cms_proxy_is_foreign(ngx_http_upstream_srv_conf_t *uscf)
{
    Dl_info  balancer, stock;

    return uscf->peer.init_upstream
           && (!dladdr((void *) uscf->peer.init_upstream, &balancer)
               || !dladdr((void *) ngx_http_upstream_init_round_robin, &stock)
               || balancer.dli_fbase != stock.dli_fbase);
}


/*
 * Without a zone the workers do not share TLS sessions, and TLS 1.3 resumes
 * only every other one; nor would a target that fails for one be out for all.
 */

static char *
ngx_http_cms_proxy_zone(ngx_conf_t *cf, ngx_http_cms_proxy_srv_conf_t *wb)
{
#if (NGX_HTTP_UPSTREAM_ZONE)

    u_char                        *p, size[NGX_INT_T_LEN + 2];
    ngx_uint_t                     i, n;
    ngx_http_upstream_server_t    *us;
    ngx_http_upstream_srv_conf_t  *uscf;

    uscf = wb->upstream;

    if (wb->foreign || uscf->shm_zone) {
        return NGX_CONF_OK;
    }

    us = uscf->servers->elts;
    n = 0;

    for (i = 0; i < uscf->servers->nelts; i++) {
        n += us[i].naddrs;
    }

    /* a URL is a zone name that nobody else has; a server needs some 5k */

    p = ngx_sprintf(size, "%uik", 128 + 6 * n);
    *p = '\0';

    return ngx_http_cms_proxy_upstream_default(cf, wb, "zone", &wb->url,
                                               (char *) size);

#else

    return NGX_CONF_OK;

#endif
}


/* a stock directive of upstream blocks, where the block does not have it */

char *
ngx_http_cms_proxy_upstream_default(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb, char *name, ngx_str_t *first,
    char *second)
{
    char                 *rv;
    ngx_str_t            *value;
    ngx_conf_t            save;
    ngx_array_t           args;
    ngx_module_t         *module;
    ngx_command_t        *cmd;
    ngx_http_conf_ctx_t   ctx;

    cmd = ngx_http_cms_proxy_stock_command(cf, name, NGX_HTTP_UPS_CONF,
                                           &module);
    if (cmd == NULL) {
        return ngx_http_cms_proxy_conf_error(cf, &wb->where,
                   "cms_webbridge needs \"%s\" of upstream blocks, which this "
                   "nginx does not have", name);
    }

    if (ngx_array_init(&args, cf->pool, 3, sizeof(ngx_str_t)) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    value = ngx_array_push_n(&args, second ? 3 : 2);
    value[0] = cmd->name;
    value[1] = *first;

    if (second) {
        value[2].data = (u_char *) second;
        value[2].len = ngx_strlen(second);
    }

    save = *cf;

    ctx = *(ngx_http_conf_ctx_t *) cf->ctx;
    ctx.srv_conf = wb->upstream->srv_conf;

    cf->ctx = &ctx;
    cf->args = &args;

    rv = cmd->set(cf, cmd, wb->upstream->srv_conf[module->ctx_index]);

    *cf = save;

    /* the administrator's own stays */

    if (rv != NGX_CONF_OK && rv != NGX_CONF_ERROR
        && ngx_strcmp(rv, "is duplicate") == 0)
    {
        return NGX_CONF_OK;
    }

    return rv;
}


/*
 * The directives of the block are known in every upstream block: refused in
 * those that are not ours.  The first one keeps the stock handler content,
 * which wants a server; add_targets() takes the placeholder away again.
 */

char *
ngx_http_cms_proxy_own(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_http_cms_proxy_srv_conf_t *wb)
{
    ngx_http_upstream_server_t    *us;
    ngx_http_upstream_srv_conf_t  *uscf;

    if (!wb->named) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" directive is not allowed here, "
                           "but in a \"cms_webbridge\" block", &cmd->name);
        return NGX_CONF_ERROR;
    }

    if (wb->placeholder) {
        return NGX_CONF_OK;
    }

    uscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_upstream_module);

    us = ngx_array_push(uscf->servers);
    if (us == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(us, sizeof(ngx_http_upstream_server_t));
    wb->placeholder = uscf->servers->nelts;

    return NGX_CONF_OK;
}


char *
ngx_http_cms_proxy_flag(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    if (ngx_http_cms_proxy_own(cf, cmd, conf) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    return ngx_conf_set_flag_slot(cf, cmd, conf);
}


char *
ngx_http_cms_proxy_enum(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    if (ngx_http_cms_proxy_own(cf, cmd, conf) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    return ngx_conf_set_enum_slot(cf, cmd, conf);
}


char *
ngx_http_cms_proxy_str(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    if (ngx_http_cms_proxy_own(cf, cmd, conf) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    return ngx_conf_set_str_slot(cf, cmd, conf);
}


char *
ngx_http_cms_proxy_msec(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    if (ngx_http_cms_proxy_own(cf, cmd, conf) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    return ngx_conf_set_msec_slot(cf, cmd, conf);
}


/* guest_uri and internal_uri */

char *
ngx_http_cms_proxy_uris(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char         *p = conf;

    ngx_str_t    *value;
    ngx_uint_t    i;
    ngx_array_t  *uris;

    if (ngx_http_cms_proxy_own(cf, cmd, conf) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    uris = (ngx_array_t *) (p + cmd->offset);
    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {
        if (ngx_http_cms_proxy_uri(cf, cmd, uris, &value[i])
            != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_cms_proxy_uri(ngx_conf_t *cf, ngx_command_t *cmd, ngx_array_t *uris,
    ngx_str_t *value)
{
    size_t                      rest;
    ngx_uint_t                  i;
    cms_authority_t             a;
    cms_authority_status_t      status;
    ngx_http_cms_proxy_name_t  *name;

    status = cms_authority_parse(value->data, value->len, &a);

    if (status != CMS_AUTHORITY_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" in \"%V\" %s; expected is HOST or "
                           "HOST:PORT, without \"https://\"",
                           value, &cmd->name, cms_authority_reason(status));
        return NGX_CONF_ERROR;
    }

    name = uris->elts;

    for (i = 0; i < uris->nelts; i++) {
        if (name[i].port == a.port
            && cms_authority_same_host(name[i].host.data, name[i].host.len,
                                       a.host, a.host_len))
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "duplicate \"%V\" in \"%V\"",
                               value, &cmd->name);
            return NGX_CONF_ERROR;
        }
    }

    name = ngx_array_push(uris);
    if (name == NULL) {
        return NGX_CONF_ERROR;
    }

    /* text is host[:port] in lower case, without the trailing dot */

    name->text.data = ngx_pnalloc(cf->pool, value->len);
    if (name->text.data == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_strlow(name->text.data, (u_char *) a.host, a.host_len);

    name->host.data = name->text.data;
    name->host.len = a.host_len;
    name->text.len = a.host_len;
    name->port = a.port;

    if (a.port) {
        rest = ngx_sprintf(name->text.data + a.host_len, ":%ui",
                           (ngx_uint_t) a.port)
               - (name->text.data + a.host_len);
        name->text.len += rest;
    }

    return NGX_CONF_OK;
}


char *
ngx_http_cms_proxy_domain(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_cms_proxy_srv_conf_t *wb = conf;

    ngx_str_t                    *value;
    ngx_uint_t                    i;
    cms_authority_t               a;
    cms_authority_status_t        status;
    ngx_http_cms_proxy_domain_t  *domain;

    if (ngx_http_cms_proxy_own(cf, cmd, conf) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    for (i = 1; i < 3; i++) {
        status = cms_authority_parse(value[i].data, value[i].len, &a);

        if (status != CMS_AUTHORITY_OK || a.host_len != value[i].len) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" in \"domain\" %s; expected are two "
                               "domain names", &value[i],
                               status == CMS_AUTHORITY_OK ? "has a port or dot"
                               : cms_authority_reason(status));
            return NGX_CONF_ERROR;
        }
    }

    domain = wb->domains.elts;

    for (i = 0; i < wb->domains.nelts; i++) {
        if (cms_authority_same_host(domain[i].inside.data,
                                    domain[i].inside.len,
                                    value[1].data, value[1].len))
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "duplicate domain \"%V\"", &value[1]);
            return NGX_CONF_ERROR;
        }
    }

    domain = ngx_array_push(&wb->domains);
    if (domain == NULL) {
        return NGX_CONF_ERROR;
    }

    domain->inside = value[1];
    domain->outside = value[2];

    return NGX_CONF_OK;
}


char *
ngx_http_cms_proxy_methods(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_cms_proxy_srv_conf_t *wb = conf;

    ngx_str_t                    *value;
    ngx_uint_t                    i;
    ngx_http_cms_proxy_method_t  *m;

    if (ngx_http_cms_proxy_own(cf, cmd, conf) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    if (wb->methods) {
        return "is duplicate";
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        for (m = ngx_http_cms_proxy_known_methods; m->name.len; m++) {
            if (m->name.len == value[i].len
                && ngx_strcmp(m->name.data, value[i].data) == 0)
            {
                break;
            }
        }

        if (m->name.len == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" in \"methods\" is no method that can "
                               "be proxied; expected are names like GET, in "
                               "upper case", &value[i]);
            return NGX_CONF_ERROR;
        }

        wb->methods |= m->method;
    }

    return NGX_CONF_OK;
}


/* the Allow header of a 405 (RFC 9110, 10.2.1) */

static ngx_int_t
ngx_http_cms_proxy_allow(ngx_conf_t *cf, ngx_http_cms_proxy_srv_conf_t *wb)
{
    u_char                       *p;
    ngx_http_cms_proxy_method_t  *m;

    p = ngx_pnalloc(cf->pool, sizeof("PROPPATCH, ")
                              * sizeof(ngx_http_cms_proxy_known_methods)
                              / sizeof(ngx_http_cms_proxy_known_methods[0]));
    if (p == NULL) {
        return NGX_ERROR;
    }

    wb->allow.data = p;

    for (m = ngx_http_cms_proxy_known_methods; m->name.len; m++) {
        if (wb->methods & m->method) {
            p = ngx_sprintf(p, "%s%V", p == wb->allow.data ? "" : ", ",
                            &m->name);
        }
    }

    wb->allow.len = p - wb->allow.data;

    return NGX_OK;
}
