
/*
 * Configuration of the web proxy for CMS: the table of directives, each
 * documented there, "cms_proxy", and what follows when all is read.
 */


#include "ngx_http_cms_proxy_module.h"
#include "ngx_http_cms_proxy_certificate.h"


/* our own directives, and the stock proxy's; nginx 1.31.5 has 72 of these */
#define NGX_HTTP_CMS_PROXY_COMMANDS   256


static ngx_int_t ngx_http_cms_proxy_preconfiguration(ngx_conf_t *cf);
static ngx_int_t ngx_http_cms_proxy_postconfiguration(ngx_conf_t *cf);
static ngx_int_t ngx_http_cms_proxy_init_module(ngx_cycle_t *cycle);
static ngx_int_t ngx_http_cms_proxy_init_process(ngx_cycle_t *cycle);
static void ngx_http_cms_proxy_exit_process(ngx_cycle_t *cycle);
static void *ngx_http_cms_proxy_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_cms_proxy_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_cms_proxy_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);

static char *ngx_http_cms_proxy(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_cms_proxy_add_route(ngx_conf_t *cf,
    ngx_http_cms_proxy_loc_conf_t *plcf, ngx_str_t *name);
static void **ngx_http_cms_proxy_hidden_location(ngx_conf_t *cf);
static char *ngx_http_cms_proxy_resolve_routes(ngx_conf_t *cf,
    ngx_http_cms_proxy_loc_conf_t *plcf);
static char *ngx_http_cms_proxy_add_guests(ngx_conf_t *cf,
    ngx_http_cms_proxy_loc_conf_t *plcf, ngx_http_cms_proxy_route_t *route,
    ngx_array_t *keys);


static ngx_conf_enum_t  ngx_http_cms_proxy_upstream_hosts[] = {
    { ngx_string("guest"), NGX_HTTP_CMS_PROXY_GUEST },
    { ngx_string("internal"), NGX_HTTP_CMS_PROXY_INTERNAL },
    { ngx_null_string, 0 }
};


static ngx_conf_enum_t  ngx_http_cms_proxy_certificate_checks[] = {
    { ngx_string("off"), NGX_HTTP_CMS_PROXY_CHECK_OFF },
    { ngx_string("warn"), NGX_HTTP_CMS_PROXY_CHECK_WARN },
    { ngx_string("strict"), NGX_HTTP_CMS_PROXY_CHECK_STRICT },
    { ngx_null_string, 0 }
};


/*
 * Room for the stock proxy's location directives, which are added behind ours
 * before the configuration is read; static, since a failed reload would free
 * a cycle's pool under the old configuration.
 */

static ngx_command_t
    ngx_http_cms_proxy_commands[NGX_HTTP_CMS_PROXY_COMMANDS] = {

    /* cms_webbridge NAME { }: an upstream block with the directives below */

    { ngx_string("cms_webbridge"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_BLOCK|NGX_CONF_TAKE1,
      ngx_http_cms_proxy_webbridge,
      0,
      0,
      NULL },

    /*
     * guest_uri HOST[:PORT] ...: the names that guests type, the first is
     * canonical; required.  Without a port the request may have none or that
     * of the listener.
     */

    { ngx_string("guest_uri"),
      NGX_HTTP_UPS_CONF|NGX_CONF_1MORE,
      ngx_http_cms_proxy_uris,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_cms_proxy_srv_conf_t, guest_uris),
      NULL },

    /*
     * internal_uri HOST[:PORT] ...: the names that the web bridge uses for
     * itself; in responses they become the guest URI asked for.  With
     * PORT, "HOST" and "HOST:PORT" do, without one "HOST", "HOST:443" and
     * "HOST:80".  At most 16 together with "domain".
     */

    { ngx_string("internal_uri"),
      NGX_HTTP_UPS_CONF|NGX_CONF_1MORE,
      ngx_http_cms_proxy_uris,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_cms_proxy_srv_conf_t, internal_uris),
      NULL },

    /* domain INSIDE OUTSIDE: user@INSIDE is shown as user@OUTSIDE */

    { ngx_string("domain"),
      NGX_HTTP_UPS_CONF|NGX_CONF_TAKE2,
      ngx_http_cms_proxy_domain,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    /*
     * target HOST[:PORT]|unix:PATH|srv:NAME [parameters of "server"]: where
     * the web bridge is; the port is 443, or 80 with "tls off".  A host's A
     * and AAAA (8 addresses at most) and the SRV records (RFC 2782; NAME is
     * _SERVICE._PROTOCOL.HOST, 16 addresses) are followed by TTL; the last
     * good answer stays.  Several lines hold together; "hash KEY consistent"
     * takes all addresses of a line for one server.  Default:
     * srv:_cms-web._tls.GUEST_URI of the first guest URI or, where DNS has
     * no such name, the guest URI's own A and AAAA.
     */

    { ngx_string("target"),
      NGX_HTTP_UPS_CONF|NGX_CONF_1MORE,
      ngx_http_cms_proxy_target,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    /*
     * resolver ADDRESS ... [parameters of nginx's "resolver"]: whom to ask
     * for names in "target".  Default: the "resolver" line of http; without
     * one the name servers that /etc/resolv.conf has when nginx starts or is
     * reloaded, and before them /etc/hosts.
     */

    { ngx_string("resolver"),
      NGX_HTTP_UPS_CONF|NGX_CONF_1MORE,
      ngx_http_cms_proxy_resolver,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    /*
     * random [two [METHOD]]: nginx's own, which once and for all remembers
     * the weights at a worker's first request.  Addresses of a name then all
     * weigh the same; the weights of SRV records do not count.
     */

    { ngx_string("random"),
      NGX_HTTP_UPS_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE12,
      ngx_http_cms_proxy_random,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    /* tls on|off: whether the leg to the web bridge is TLS; default on */

    { ngx_string("tls"),
      NGX_HTTP_UPS_CONF|NGX_CONF_FLAG,
      ngx_http_cms_proxy_flag,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_cms_proxy_srv_conf_t, tls),
      NULL },

    /*
     * upstream_host guest|internal: which configured name goes inside as
     * Host, SNI and the name to verify; default guest
     */

    { ngx_string("upstream_host"),
      NGX_HTTP_UPS_CONF|NGX_CONF_TAKE1,
      ngx_http_cms_proxy_enum,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_cms_proxy_srv_conf_t, upstream_host),
      &ngx_http_cms_proxy_upstream_hosts },

    /* trusted_certificate FILE: PEM; default Debian's CA bundle */

    { ngx_string("trusted_certificate"),
      NGX_HTTP_UPS_CONF|NGX_CONF_TAKE1,
      ngx_http_cms_proxy_str,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_cms_proxy_srv_conf_t, trusted_certificate),
      NULL },

    /* verify on|off: the web bridge's certificate; default on */

    { ngx_string("verify"),
      NGX_HTTP_UPS_CONF|NGX_CONF_FLAG,
      ngx_http_cms_proxy_flag,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_cms_proxy_srv_conf_t, verify),
      NULL },

    /*
     * rewrite_body on|off: in the bodies of responses every internal_uri
     * becomes the guest URI asked for, and "user@INSIDE" of "domain" becomes
     * "user@OUTSIDE"; default on.  Headers are rewritten either way.  Of such
     * responses the length is not known in advance, they are not sent in
     * parts (Range), and their ETag is a weak one.  The web bridge is asked
     * for whole answers that are not compressed; one that is gzip'd all the
     * same is opened first, one in another coding stays as it is.  Bodies
     * with the status 204, 206 and 304 stay, too, and all that the edge answers
     * itself: files that X-Accel-Redirect leads to, error pages of nginx.
     * Of what a page has hashes (integrity=, Content-Security-Policy) browsers
     * refuse scripts and styles that were changed.  The log warns of such
     * pages, and of those in another coding: each once an hour, and ten of a
     * kind at most, in each worker.
     */

    { ngx_string("rewrite_body"),
      NGX_HTTP_UPS_CONF|NGX_CONF_FLAG,
      ngx_http_cms_proxy_flag,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_cms_proxy_srv_conf_t, rewrite_body),
      NULL },

    /*
     * rewrite_types MIME ... | *: the types that rewrite_body holds for;
     * text/html always is one, "*" are all.  Default: HTML, CSS, JavaScript,
     * JSON, XML, SVG, web app manifests and event streams.
     */

    { ngx_string("rewrite_types"),
      NGX_HTTP_UPS_CONF|NGX_CONF_1MORE,
      ngx_http_cms_proxy_types,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_cms_proxy_srv_conf_t, rewrite_types_keys),
      &ngx_http_html_default_types[0] },

    /*
     * rewrite_websocket on|off: the same in the text messages of a WebSocket,
     * and in those that guests send the other way round: a guest_uri becomes
     * the first internal_uri.  A text of more than 32 KB in one frame goes on
     * in fragments (RFC 6455, 5.4).  Extensions (9) are then not offered to the
     * web bridge; one that compresses all the same is not rewritten, and the
     * log says so.  At most 16 names in guest_uri and domain together.
     * Default off, of which nginx warns beside "upstream_host internal".
     */

    { ngx_string("rewrite_websocket"),
      NGX_HTTP_UPS_CONF|NGX_CONF_FLAG,
      ngx_http_cms_proxy_flag,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_cms_proxy_srv_conf_t, rewrite_websocket),
      NULL },

    /* methods METHOD ...: others get 405; default GET POST PUT HEAD DELETE */

    { ngx_string("methods"),
      NGX_HTTP_UPS_CONF|NGX_CONF_1MORE,
      ngx_http_cms_proxy_methods,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    /* websocket_timeout TIME: a quiet WebSocket lives this long; default 1h */

    { ngx_string("websocket_timeout"),
      NGX_HTTP_UPS_CONF|NGX_CONF_TAKE1,
      ngx_http_cms_proxy_msec,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_cms_proxy_srv_conf_t, websocket_timeout),
      NULL },

    /*
     * health_check [off] [uri=PATH] [interval=TIME] [timeout=TIME] [fails=N]
     * [passes=N] [match=TEXT]: each address is asked with GET for uri (/) the
     * way guests' requests reach it - TLS with SNI and verification, Host -
     * every interval (5s; 100ms to 1h) or up to a tenth sooner, and must have
     * answered within timeout (2s; at most interval): with a status of 200 to
     * 399 and, if given, TEXT (1 to 255 bytes, as in the page) in the first
     * megabyte of the body.  After fails (2) probes in a row that failed no
     * more guests are sent there, after passes (1) that passed they are
     * again.  So a fault is found out within fails x interval + timeout.
     * A proxy_ssl_certificate with variables is not sent with probes.
     */

    { ngx_string("health_check"),
      NGX_HTTP_UPS_CONF|NGX_CONF_ANY,
      ngx_http_cms_proxy_health_directive,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    /*
     * affinity cookie [key=FILE]|off: with several addresses a guest stays on
     * one, from page to WebSocket, until it fails; a session cookie
     * (cms_affinity) says which, and names nothing inside.  FILE holds 64 hex
     * digits (openssl rand -hex 32) and is not for everybody to read: several
     * edges with the same one agree.  Default: cookie, with a random key that
     * lasts until nginx is stopped.
     */

    { ngx_string("affinity"),
      NGX_HTTP_UPS_CONF|NGX_CONF_TAKE12,
      ngx_http_cms_proxy_affinity,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    /* cms_proxy NAME ...: proxies to these web bridges, told by Host */

    { ngx_string("cms_proxy"),
      NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_cms_proxy,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    /*
     * cms_certificate_check off|warn|strict (http, server): whether, when the
     * configuration is read, the certificates of a server that proxies guest
     * URIs are held against them: not covered by a subject alternative name,
     * self-signed, a CA's own, sent without its issuer's, expired, not valid
     * yet, or within 14 days of its end.  "strict" takes no configuration for
     * which browsers would refuse one.  Default warn.
     */

    { ngx_string("cms_certificate_check"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_cms_proxy_loc_conf_t, certificate_check),
      &ngx_http_cms_proxy_certificate_checks },

    /*
     * cms_status [turn=FILE] (server, location): the status page; with
     * ?format=json as conf-examples/nginx/status.schema.json says, with
     * ?format=prometheus for Prometheus.  FILE is the turn.json of the coturn
     * plugin on this machine.  GET and HEAD only; Host must be a server_name,
     * no expression, or the address of the listener, or localhost.
     */

    { ngx_string("cms_status"),
      NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE1,
      ngx_http_cms_proxy_status,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_cms_proxy_module_ctx = {
    ngx_http_cms_proxy_preconfiguration,   /* preconfiguration */
    ngx_http_cms_proxy_postconfiguration,  /* postconfiguration */

    ngx_http_cms_proxy_create_main_conf,   /* create main configuration */
    NULL,                                  /* init main configuration */

    ngx_http_cms_proxy_create_srv_conf,    /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_cms_proxy_create_loc_conf,    /* create location configuration */
    ngx_http_cms_proxy_merge_loc_conf      /* merge location configuration */
};


ngx_module_t  ngx_http_cms_proxy_module = {
    NGX_MODULE_V1,
    &ngx_http_cms_proxy_module_ctx,        /* module context */
    ngx_http_cms_proxy_commands,           /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    ngx_http_cms_proxy_init_module,        /* init module */
    ngx_http_cms_proxy_init_process,       /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_cms_proxy_exit_process,       /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


ngx_http_cms_proxy_where_t
ngx_http_cms_proxy_here(ngx_conf_t *cf)
{
    ngx_http_cms_proxy_where_t  where;

    where.file = cf->conf_file->file.name;
    where.line = cf->conf_file->line;

    return where;
}


/* an error that belongs to a line read earlier */

char *
ngx_http_cms_proxy_conf_error(ngx_conf_t *cf,
    ngx_http_cms_proxy_where_t *where, char *fmt, ...)
{
    u_char    *p, text[NGX_MAX_CONF_ERRSTR];
    va_list    args;

    va_start(args, fmt);
    p = ngx_vslprintf(text, text + NGX_MAX_CONF_ERRSTR, fmt, args);
    va_end(args);

    ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "%*s in %V:%ui",
                  (size_t) (p - text), text, &where->file, where->line);

    return NGX_CONF_ERROR;
}


static ngx_int_t
ngx_http_cms_proxy_preconfiguration(ngx_conf_t *cf)
{
    ngx_uint_t  n;

    /* those that an earlier cycle has added know the stock ones */

    for (n = 0; ngx_http_cms_proxy_commands[n].name.len; n++) {
        if (ngx_http_cms_proxy_commands[n].set == ngx_http_cms_proxy_keepalive
            || ngx_strncmp(ngx_http_cms_proxy_commands[n].name.data,
                           "proxy_", 6)
               == 0)
        {
            break;
        }
    }

    if (ngx_http_cms_proxy_stock_commands(cf, ngx_http_cms_proxy_commands, n,
                                          NGX_HTTP_CMS_PROXY_COMMANDS)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_cms_proxy_add_variables(cf);
}


static ngx_int_t
ngx_http_cms_proxy_postconfiguration(ngx_conf_t *cf)
{
    ngx_uint_t                        i;
    ngx_http_core_loc_conf_t        **clcfp;
    ngx_http_cms_proxy_loc_conf_t    *plcf;
    ngx_http_cms_proxy_main_conf_t   *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cms_proxy_module);

    clcfp = mcf->locations.elts;

    for (i = 0; i < mcf->locations.nelts; i++) {

        if (clcfp[i]->loc_conf == NULL) {
            continue;                              /* a server, no location */
        }

        plcf = clcfp[i]->loc_conf[ngx_http_cms_proxy_module.ctx_index];

        if (plcf->routes
            && ngx_http_cms_proxy_build_routed(cf, clcfp[i], plcf) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (ngx_http_cms_proxy_check_certificates(cf) != NGX_OK
        || ngx_http_cms_proxy_status_names(cf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_http_cms_proxy_set_resolvers(cf) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_cms_proxy_add_zone(cf);
}


/* every log is open now, shared memory is there, and no worker runs yet */

static ngx_int_t
ngx_http_cms_proxy_init_module(ngx_cycle_t *cycle)
{
    if (ngx_http_cms_proxy_mask_logs(cycle) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_http_cms_proxy_init_zone_module(cycle) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_cms_proxy_init_health_module(cycle);

    return NGX_OK;
}


/* the cache manager comes here, too */

static ngx_int_t
ngx_http_cms_proxy_init_process(ngx_cycle_t *cycle)
{
    if ((ngx_process != NGX_PROCESS_WORKER
         && ngx_process != NGX_PROCESS_SINGLE)
        || ngx_http_cms_proxy_root(cycle) == NULL)
    {
        return NGX_OK;
    }

    ngx_http_cms_proxy_init_websockets_process();
    ngx_http_cms_proxy_init_health_process(cycle);

    return ngx_http_cms_proxy_init_resolve_process(cycle);
}


static void
ngx_http_cms_proxy_exit_process(ngx_cycle_t *cycle)
{
    if (ngx_http_cms_proxy_root(cycle) == NULL) {
        return;
    }

    ngx_http_cms_proxy_exit_health_process(cycle);
    ngx_http_cms_proxy_exit_websockets_process();
}


static void *
ngx_http_cms_proxy_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_cms_proxy_main_conf_t  *mcf;

    mcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_cms_proxy_main_conf_t));
    if (mcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&mcf->webbridges, cf->pool, 4,
                       sizeof(ngx_http_cms_proxy_srv_conf_t *))
        != NGX_OK
        || ngx_array_init(&mcf->locations, cf->pool, 16,
                          sizeof(ngx_http_core_loc_conf_t *))
           != NGX_OK
        || ngx_http_cms_proxy_init_trust(cf, mcf) != NGX_OK
        || ngx_array_init(&mcf->statuses, cf->pool, 1,
                          sizeof(ngx_http_cms_proxy_status_t *))
           != NGX_OK
        || ngx_array_init(&mcf->certificates, cf->pool, 4,
                          sizeof(ngx_http_cms_proxy_certificate_t *))
           != NGX_OK)
    {
        return NULL;
    }

    return mcf;
}


static void *
ngx_http_cms_proxy_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_cms_proxy_loc_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_http_cms_proxy_loc_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&conf->directives, cf->pool, 1,
                       sizeof(ngx_http_cms_proxy_directive_t))
        != NGX_OK)
    {
        return NULL;
    }

    conf->certificate_check = NGX_CONF_UNSET_UINT;

    return conf;
}


/*
 * Runs before the stock proxy module merges its part, so that what is set
 * here counts as if it stood in the location.
 */

static char *
ngx_http_cms_proxy_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_cms_proxy_loc_conf_t  *prev = parent;
    ngx_http_cms_proxy_loc_conf_t  *conf = child;

    ngx_http_core_loc_conf_t        *clcf, **clcfp;
    ngx_http_cms_proxy_main_conf_t  *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cms_proxy_module);
    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    conf->parent = prev;
    ngx_conf_merge_uint_value(conf->certificate_check, prev->certificate_check,
                              NGX_HTTP_CMS_PROXY_CHECK_WARN);

    if (clcf->noname && conf->status == NULL) {
        conf->status = prev->status;
    }

    clcfp = ngx_array_push(&mcf->locations);
    if (clcfp == NULL) {
        return NGX_CONF_ERROR;
    }

    *clcfp = clcf;

    if (conf->routes) {
        conf->server = ngx_http_conf_get_module_srv_conf(cf,
                                                         ngx_http_core_module);

        if (ngx_http_cms_proxy_check_location(cf, clcf, conf)
            != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }

        return ngx_http_cms_proxy_resolve_routes(cf, conf);
    }

    if (conf->child_of) {
        return ngx_http_cms_proxy_expand(cf, prev, conf->child_of);
    }

    /* "if" and "limit_except" blocks belong to their location */

    if (clcf->noname && prev->routes) {
        conf->routes = prev->routes;
        conf->guests = prev->guests;

        if (clcf->lmt_excpt && clcf->handler == NULL) {
            clcf->handler = ngx_http_cms_proxy_handler;
        }
    }

    return NGX_CONF_OK;
}


/* cms_proxy NAME ... */

static char *
ngx_http_cms_proxy(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_cms_proxy_loc_conf_t *plcf = conf;

    ngx_str_t                       *value;
    ngx_uint_t                       i;
    ngx_http_core_loc_conf_t        *clcf;
    ngx_http_cms_proxy_main_conf_t  *mcf;

    if (plcf->routes) {
        return "is duplicate";
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler) {
        return "is not the only handler of this location";
    }

    plcf->where = ngx_http_cms_proxy_here(cf);

    plcf->routes = ngx_array_create(cf->pool, cf->args->nelts - 1,
                                    sizeof(ngx_http_cms_proxy_route_t));
    if (plcf->routes == NULL) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {
        if (ngx_http_cms_proxy_add_route(cf, plcf, &value[i])
            != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    clcf->handler = ngx_http_cms_proxy_handler;

    if (clcf->name.len && clcf->name.data[clcf->name.len - 1] == '/') {
        clcf->auto_redirect = 1;
    }

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cms_proxy_module);
    mcf->used = 1;

    return NGX_CONF_OK;
}


static char *
ngx_http_cms_proxy_add_route(ngx_conf_t *cf,
    ngx_http_cms_proxy_loc_conf_t *plcf, ngx_str_t *name)
{
    ngx_uint_t                      i;
    ngx_http_cms_proxy_route_t     *route;
    ngx_http_cms_proxy_loc_conf_t  *hidden;

    route = plcf->routes->elts;

    for (i = 0; i < plcf->routes->nelts; i++) {
        if (route[i].name.len == name->len
            && ngx_strcmp(route[i].name.data, name->data) == 0)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "duplicate \"%V\" in \"cms_proxy\"", name);
            return NGX_CONF_ERROR;
        }
    }

    /* allocated for all names at once: pointers into it stay */

    route = ngx_array_push(plcf->routes);
    if (route == NULL) {
        return NGX_CONF_ERROR;
    }

    route->name = *name;
    route->index = i;
    route->webbridge = NULL;

    route->hidden = ngx_http_cms_proxy_hidden_location(cf);
    if (route->hidden == NULL) {
        return NGX_CONF_ERROR;
    }

    hidden = route->hidden[ngx_http_cms_proxy_module.ctx_index];
    hidden->child_of = route;

    return NGX_CONF_OK;
}


/* a location that no URI leads to, made as "if" makes one */

static void **
ngx_http_cms_proxy_hidden_location(ngx_conf_t *cf)
{
    void                      **loc_conf;
    ngx_uint_t                  i;
    ngx_http_module_t          *module;
    ngx_http_core_loc_conf_t   *clcf, *pclcf;

    loc_conf = ngx_pcalloc(cf->pool, sizeof(void *) * ngx_http_max_module);
    if (loc_conf == NULL) {
        return NULL;
    }

    for (i = 0; cf->cycle->modules[i]; i++) {
        if (cf->cycle->modules[i]->type != NGX_HTTP_MODULE) {
            continue;
        }

        module = cf->cycle->modules[i]->ctx;

        if (module->create_loc_conf == NULL) {
            continue;
        }

        loc_conf[cf->cycle->modules[i]->ctx_index] =
                                                  module->create_loc_conf(cf);

        if (loc_conf[cf->cycle->modules[i]->ctx_index] == NULL) {
            return NULL;
        }
    }

    pclcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    clcf = loc_conf[ngx_http_core_module.ctx_index];
    clcf->loc_conf = loc_conf;
    clcf->name = pclcf->name;
    clcf->noname = 1;

    if (ngx_http_add_location(cf, &pclcf->locations, clcf) != NGX_OK) {
        return NULL;
    }

    return loc_conf;
}


/* all is read: the names of cms_proxy get their web bridges */

static char *
ngx_http_cms_proxy_resolve_routes(ngx_conf_t *cf,
    ngx_http_cms_proxy_loc_conf_t *plcf)
{
    ngx_uint_t                        i, k;
    ngx_array_t                       keys;
    ngx_hash_init_t                   hash;
    ngx_http_cms_proxy_route_t       *route;
    ngx_http_cms_proxy_srv_conf_t   **wbp;
    ngx_http_cms_proxy_main_conf_t   *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cms_proxy_module);

    if (ngx_array_init(&keys, cf->temp_pool, 4, sizeof(ngx_hash_key_t))
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    route = plcf->routes->elts;
    wbp = mcf->webbridges.elts;

    for (i = 0; i < plcf->routes->nelts; i++) {

        for (k = 0; k < mcf->webbridges.nelts; k++) {
            if (wbp[k]->name.len == route[i].name.len
                && ngx_strncasecmp(wbp[k]->name.data, route[i].name.data,
                                   route[i].name.len)
                   == 0)
            {
                route[i].webbridge = wbp[k];
                break;
            }
        }

        if (route[i].webbridge == NULL) {
            return ngx_http_cms_proxy_conf_error(cf, &plcf->where,
                       "no cms_webbridge \"%V\" is defined, but \"cms_proxy\" "
                       "names it", &route[i].name);
        }

        if (ngx_http_cms_proxy_add_guests(cf, plcf, &route[i], &keys)
            != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    hash.hash = &plcf->guests;
    hash.key = ngx_hash_key_lc;
    hash.max_size = 65536;
    hash.bucket_size = 512;                     /* fits the longest host */
    hash.name = "cms_proxy_hash";
    hash.pool = cf->pool;
    hash.temp_pool = NULL;

    if (ngx_hash_init(&hash, keys.elts, keys.nelts) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_cms_proxy_add_guests(ngx_conf_t *cf,
    ngx_http_cms_proxy_loc_conf_t *plcf, ngx_http_cms_proxy_route_t *route,
    ngx_array_t *keys)
{
    ngx_uint_t                   i, k;
    ngx_hash_key_t              *key;
    ngx_http_cms_proxy_name_t   *uri;
    ngx_http_cms_proxy_guest_t  *guest, *other;

    uri = route->webbridge->guest_uris.elts;

    for (i = 0; i < route->webbridge->guest_uris.nelts; i++) {

        guest = ngx_palloc(cf->pool, sizeof(ngx_http_cms_proxy_guest_t));
        if (guest == NULL) {
            return NGX_CONF_ERROR;
        }

        guest->uri = &uri[i];
        guest->route = route;
        guest->next = NULL;

        key = keys->elts;

        for (k = 0; k < keys->nelts; k++) {
            if (key[k].key.len == uri[i].host.len
                && ngx_memcmp(key[k].key.data, uri[i].host.data,
                              uri[i].host.len)
                   == 0)
            {
                break;
            }
        }

        if (k == keys->nelts) {
            key = ngx_array_push(keys);
            if (key == NULL) {
                return NGX_CONF_ERROR;
            }

            key->key = uri[i].host;
            key->key_hash = ngx_hash_key_lc(uri[i].host.data,
                                            uri[i].host.len);
            key->value = guest;
            continue;
        }

        for (other = key[k].value; other; other = other->next) {
            if (other->uri->port == uri[i].port) {
                return ngx_http_cms_proxy_conf_error(cf, &plcf->where,
                           "guest_uri \"%V\" belongs to both cms_webbridge "
                           "\"%V\" and \"%V\" of one \"cms_proxy\"",
                           &uri[i].text, &other->route->name, &route->name);
            }
        }

        /* those with a port first: they are the closer match */

        if (uri[i].port) {
            guest->next = key[k].value;
            key[k].value = guest;

        } else {
            other = key[k].value;
            while (other->next) {
                other = other->next;
            }
            other->next = guest;
        }
    }

    return NGX_CONF_OK;
}
