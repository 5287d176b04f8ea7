
/*
 * The listeners that "cms_share" names.  "stream { }" may stand before or
 * after "http { }", so they are looked for when all is read: a module of the
 * core type, whose init_conf comes then.  A connection finds its listener by
 * a pointer, also in a worker that shuts down and has closed the listeners.
 */


#include "ngx_stream_cms_proxy_module.h"

#include <ngx_event.h>
#include <ngx_http.h>


#if (nginx_version >= 1025005)
#define ngx_stream_cms_proxy_ssl_conf_t  ngx_stream_ssl_srv_conf_t
#else
#define ngx_stream_cms_proxy_ssl_conf_t  ngx_stream_ssl_conf_t
#endif

#define NGX_STREAM_CMS_PROXY_VERIFY_ON   1


typedef struct {
    unsigned                       ssl:1;
    unsigned                       http2:1;
    unsigned                       proxy_protocol:1;
} ngx_stream_cms_proxy_listen_t;


static char *ngx_stream_cms_proxy_init_conf(ngx_cycle_t *cycle, void *conf);
static ngx_int_t ngx_stream_cms_proxy_init_module(ngx_cycle_t *cycle);
static ngx_stream_conf_ctx_t *ngx_stream_cms_proxy_next_server(
    ngx_cycle_t *cycle, ngx_uint_t *i);
static ngx_int_t ngx_stream_cms_proxy_check_events(ngx_cycle_t *cycle,
    ngx_stream_cms_proxy_srv_conf_t *scf);
static ngx_int_t ngx_stream_cms_proxy_check_preread(ngx_cycle_t *cycle,
    ngx_stream_conf_ctx_t *ctx);
static ngx_int_t ngx_stream_cms_proxy_check_target(ngx_cycle_t *cycle,
    ngx_stream_cms_proxy_srv_conf_t *scf, ngx_uint_t n);
static ngx_int_t ngx_stream_cms_proxy_check_verify(ngx_cycle_t *cycle,
    ngx_stream_conf_ctx_t *ctx);
#if (NGX_HTTP_SSL)
static ngx_uint_t ngx_stream_cms_proxy_same_trust(
    ngx_http_ssl_srv_conf_t *http, ngx_stream_cms_proxy_ssl_conf_t *stream);
static ngx_uint_t ngx_stream_cms_proxy_same(ngx_str_t *a, ngx_str_t *b);
#endif
static ngx_http_conf_addr_t *ngx_stream_cms_proxy_find_http(
    ngx_cycle_t *cycle, ngx_addr_t *addr);
static ngx_int_t ngx_stream_cms_proxy_check_listens(ngx_cycle_t *cycle);
static ngx_int_t ngx_stream_cms_proxy_check_way(ngx_cycle_t *cycle,
    ngx_stream_cms_proxy_srv_conf_t *scf);
static ngx_stream_addr_conf_t *ngx_stream_cms_proxy_addr_conf(
    ngx_listening_t *ls, ngx_uint_t n);
static size_t ngx_stream_cms_proxy_size(ngx_listening_t *ls);
static ngx_stream_cms_proxy_srv_conf_t *ngx_stream_cms_proxy_srv_conf(
    ngx_stream_addr_conf_t *addr_conf);
static ngx_int_t ngx_stream_cms_proxy_find(ngx_cycle_t *cycle,
    ngx_stream_cms_proxy_target_t *target);
static ngx_listening_t *ngx_stream_cms_proxy_find_listening(
    ngx_cycle_t *cycle, ngx_addr_t *addr);
static ngx_uint_t ngx_stream_cms_proxy_covers(struct sockaddr *wildcard,
    ngx_addr_t *addr);
static void ngx_stream_cms_proxy_http_listen(
    ngx_stream_cms_proxy_target_t *target, ngx_stream_cms_proxy_listen_t *l);
static void ngx_stream_cms_proxy_stream_listen(
    ngx_stream_cms_proxy_target_t *target, ngx_stream_cms_proxy_listen_t *l);
static ngx_uint_t ngx_stream_cms_proxy_which(struct sockaddr *sockaddr,
    void *addrs, ngx_uint_t naddrs, size_t size);


static ngx_core_module_t  ngx_stream_cms_proxy_targets_module_ctx = {
    ngx_string("cms_share_targets"),
    NULL,                                  /* create configuration */
    ngx_stream_cms_proxy_init_conf         /* init configuration */
};


ngx_module_t  ngx_stream_cms_proxy_targets_module = {
    NGX_MODULE_V1,
    &ngx_stream_cms_proxy_targets_module_ctx, /* module context */
    NULL,                                  /* module directives */
    NGX_CORE_MODULE,                       /* module type */
    NULL,                                  /* init master */
    ngx_stream_cms_proxy_init_module,      /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


ngx_stream_cms_proxy_kind_t
    ngx_stream_cms_proxy_kinds[NGX_STREAM_CMS_PROXY_TARGETS] =
{
    { ngx_string("https="), CMS_PREREAD_TO_HTTPS,
      ngx_http_init_connection, 1, "http listener with ssl" },

    { ngx_string("turns="), CMS_PREREAD_TO_TURNS,
      ngx_stream_init_connection, 1, "stream listener with ssl" },

    { ngx_string("http="), CMS_PREREAD_TO_HTTP,
      ngx_http_init_connection, 0, "http listener without ssl" }
};


static char *
ngx_stream_cms_proxy_init_conf(ngx_cycle_t *cycle, void *conf)
{
    ngx_uint_t                        i, n;
    ngx_stream_conf_ctx_t            *ctx;
    ngx_stream_cms_proxy_srv_conf_t  *scf;

    i = 0;

    if (ngx_stream_cms_proxy_check_listens(cycle) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    while ((ctx = ngx_stream_cms_proxy_next_server(cycle, &i)) != NULL) {

        scf = ctx->srv_conf[ngx_stream_cms_proxy_module.ctx_index];

        if (ngx_stream_cms_proxy_check_events(cycle, scf) != NGX_OK
            || ngx_stream_cms_proxy_check_preread(cycle, ctx) != NGX_OK
            || ngx_stream_cms_proxy_check_way(cycle, scf) != NGX_OK)
        {
            return NGX_CONF_ERROR;
        }

        for (n = 0; n < NGX_STREAM_CMS_PROXY_TARGETS; n++) {
            if (ngx_stream_cms_proxy_check_target(cycle, scf, n) != NGX_OK) {
                return NGX_CONF_ERROR;
            }
        }

        if (ngx_stream_cms_proxy_check_verify(cycle, ctx) != NGX_OK) {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


/*
 * The listeners have their final place in memory only now: those with
 * "reuseport" are copied for each worker after the configuration is read.
 */

static ngx_int_t
ngx_stream_cms_proxy_init_module(ngx_cycle_t *cycle)
{
    ngx_uint_t                        i, n;
    ngx_stream_conf_ctx_t            *ctx;
    ngx_stream_cms_proxy_srv_conf_t  *scf;

    i = 0;

    while ((ctx = ngx_stream_cms_proxy_next_server(cycle, &i)) != NULL) {

        scf = ctx->srv_conf[ngx_stream_cms_proxy_module.ctx_index];

        for (n = 0; n < NGX_STREAM_CMS_PROXY_TARGETS; n++) {
            (void) ngx_stream_cms_proxy_find(cycle, &scf->targets[n]);
        }
    }

    return NGX_OK;
}


/* the next server with "cms_share", from the *i-th on */

static ngx_stream_conf_ctx_t *
ngx_stream_cms_proxy_next_server(ngx_cycle_t *cycle, ngx_uint_t *i)
{
    ngx_stream_conf_ctx_t             *ctx;
    ngx_stream_core_srv_conf_t       **cscfp;
    ngx_stream_core_main_conf_t       *cmcf;
    ngx_stream_cms_proxy_srv_conf_t   *scf;

    cmcf = ngx_stream_cycle_get_module_main_conf(cycle,
                                                 ngx_stream_core_module);
    if (cmcf == NULL) {
        return NULL;
    }

    cscfp = cmcf->servers.elts;

    while (*i < cmcf->servers.nelts) {

        ctx = cscfp[(*i)++]->ctx;
        scf = ctx->srv_conf[ngx_stream_cms_proxy_module.ctx_index];

        if (scf->configured) {
            return ctx;
        }
    }

    return NULL;
}


/*
 * A connection that is handed over has its bytes still in the socket: only
 * with edge-triggered events nobody is told of them again and again.
 */

static ngx_int_t
ngx_stream_cms_proxy_check_events(ngx_cycle_t *cycle,
    ngx_stream_cms_proxy_srv_conf_t *scf)
{
    ngx_event_conf_t  *ecf;

    if (ngx_get_conf(cycle->conf_ctx, ngx_events_module) == NULL) {
        return NGX_OK;
    }

    ecf = ngx_event_get_conf(cycle->conf_ctx, ngx_event_core_module);

    if (ngx_strcmp(ecf->name, "epoll") == 0
        || ngx_strcmp(ecf->name, "kqueue") == 0)
    {
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                  "\"cms_share\" needs \"use epoll\" or \"use kqueue\" in "
                  "\"events\", not \"%s\", in %s:%ui",
                  ecf->name, scf->file, scf->line);
    return NGX_ERROR;
}


/* it reads what it looks at, so the listeners would not see it */

static ngx_int_t
ngx_stream_cms_proxy_check_preread(ngx_cycle_t *cycle,
    ngx_stream_conf_ctx_t *ctx)
{
    u_char                           *conf;
    ngx_module_t                     *module;
    ngx_command_t                    *cmd;
    ngx_stream_cms_proxy_srv_conf_t  *scf;

    cmd = ngx_stream_cms_proxy_find_command(cycle, "ssl_preread", &module);

    if (cmd == NULL) {
        return NGX_OK;
    }

    conf = ctx->srv_conf[module->ctx_index];

    if (*(ngx_flag_t *) (conf + cmd->offset) != 1) {
        return NGX_OK;
    }

    scf = ctx->srv_conf[ngx_stream_cms_proxy_module.ctx_index];

    ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                  "\"ssl_preread\" takes what \"cms_share\" hands on "
                  "in %s:%ui", scf->file, scf->line);
    return NGX_ERROR;
}


static ngx_int_t
ngx_stream_cms_proxy_check_target(ngx_cycle_t *cycle,
    ngx_stream_cms_proxy_srv_conf_t *scf, ngx_uint_t n)
{
    ngx_stream_cms_proxy_kind_t    *kind;
    ngx_stream_cms_proxy_listen_t   l;
    ngx_stream_cms_proxy_target_t  *target;

    kind = &ngx_stream_cms_proxy_kinds[n];
    target = &scf->targets[n];

    if (target->text.data == NULL) {
        return NGX_OK;
    }

    if (ngx_stream_cms_proxy_find(cycle, target) != NGX_OK) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "\"%V%V\" is no listener of this nginx in %s:%ui",
                      &kind->name, &target->text, scf->file, scf->line);
        return NGX_ERROR;
    }

    /* there nginx would go by the address that the client connected to */

    if (ngx_inet_wildcard(target->addr->sockaddr)) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "\"%V%V\" names no address of a listener, but all, "
                      "in %s:%ui",
                      &kind->name, &target->text, scf->file, scf->line);
        return NGX_ERROR;
    }

    ngx_memzero(&l, sizeof(ngx_stream_cms_proxy_listen_t));

    if (target->listening->handler == ngx_http_init_connection) {
        ngx_stream_cms_proxy_http_listen(target, &l);

    } else if (target->listening->handler == ngx_stream_init_connection) {
        ngx_stream_cms_proxy_stream_listen(target, &l);
    }

    if (target->listening->handler != kind->handler || l.ssl != kind->ssl) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "\"%V%V\" is no %s in %s:%ui",
                      &kind->name, &target->text, kind->kind,
                      scf->file, scf->line);
        return NGX_ERROR;
    }

    if (l.proxy_protocol) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "\"%V%V\" is a listener with proxy_protocol, which "
                      "connections that are handed over do not speak, "
                      "in %s:%ui",
                      &kind->name, &target->text, scf->file, scf->line);
        return NGX_ERROR;
    }

#if (nginx_version < 1025001)

    /* such a listener takes HTTP/2 only */

    if (!kind->ssl && l.http2) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "\"%V%V\" is a listener with http2, which has no "
                      "HTTP/1.1 without ssl, in %s:%ui",
                      &kind->name, &target->text, scf->file, scf->line);
        return NGX_ERROR;
    }

#endif

    return NGX_OK;
}


/*
 * Where the stream server opens TLS, http does not ask for certificates of
 * clients any more: who offers no ALPN must not get past that.
 */

static ngx_int_t
ngx_stream_cms_proxy_check_verify(ngx_cycle_t *cycle,
    ngx_stream_conf_ctx_t *ctx)
{
#if (NGX_HTTP_SSL)

    ngx_uint_t                         i;
    ngx_http_conf_addr_t              *addr;
    ngx_http_ssl_srv_conf_t           *sscf;
    ngx_http_core_srv_conf_t         **cscfp;
    ngx_stream_cms_proxy_ssl_conf_t   *sslcf;
    ngx_stream_cms_proxy_srv_conf_t   *scf;

    scf = ctx->srv_conf[ngx_stream_cms_proxy_module.ctx_index];
    sslcf = ctx->srv_conf[ngx_stream_ssl_module.ctx_index];

    if (!(scf->configured & CMS_PREREAD_TO_HTTP)) {
        return NGX_OK;
    }

    addr = ngx_stream_cms_proxy_find_http(cycle,
                             scf->targets[NGX_STREAM_CMS_PROXY_HTTP].addr);
    if (addr == NULL) {
        return NGX_OK;
    }

    cscfp = addr->servers.elts;

    for (i = 0; i < addr->servers.nelts; i++) {

        sscf = cscfp[i]->ctx->srv_conf[ngx_http_ssl_module.ctx_index];

        if (sscf->reject_handshake) {
            ngx_log_error(NGX_LOG_WARN, cycle->log, 0,
                          "\"ssl_reject_handshake\" of the server in %s:%ui "
                          "rejects nobody whom \"cms_share\" hands to "
                          "\"http=%V\" in %s:%ui",
                          cscfp[i]->file_name, cscfp[i]->line,
                          &scf->targets[NGX_STREAM_CMS_PROXY_HTTP].text,
                          scf->file, scf->line);
        }

        if (sscf->verify == 0) {
            continue;
        }

        if (sslcf->verify && !ngx_stream_cms_proxy_same_trust(sscf, sslcf)) {
            ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                          "the server in %s:%ui trusts other client "
                          "certificates than the stream server that hands "
                          "to \"http=%V\" in %s:%ui: ssl_client_certificate, "
                          "ssl_trusted_certificate, ssl_crl and "
                          "ssl_verify_depth must be the same",
                          cscfp[i]->file_name, cscfp[i]->line,
                          &scf->targets[NGX_STREAM_CMS_PROXY_HTTP].text,
                          scf->file, scf->line);
            return NGX_ERROR;
        }

        if (sslcf->verify == NGX_STREAM_CMS_PROXY_VERIFY_ON) {
            continue;
        }

        if (sscf->verify == NGX_STREAM_CMS_PROXY_VERIFY_ON) {
            ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                          "\"ssl_verify_client on\" of the server in %s:%ui "
                          "would not hold for what \"cms_share\" hands to "
                          "\"http=%V\" in %s:%ui: the stream server needs "
                          "it as well",
                          cscfp[i]->file_name, cscfp[i]->line,
                          &scf->targets[NGX_STREAM_CMS_PROXY_HTTP].text,
                          scf->file, scf->line);
            return NGX_ERROR;
        }

        if (sslcf->verify == 0) {
            ngx_log_error(NGX_LOG_WARN, cycle->log, 0,
                          "\"ssl_verify_client\" of the server in %s:%ui "
                          "asks nobody whom \"cms_share\" hands to "
                          "\"http=%V\" in %s:%ui",
                          cscfp[i]->file_name, cscfp[i]->line,
                          &scf->targets[NGX_STREAM_CMS_PROXY_HTTP].text,
                          scf->file, scf->line);
        }
    }

#endif

    return NGX_OK;
}


#if (NGX_HTTP_SSL)

static ngx_uint_t
ngx_stream_cms_proxy_same_trust(ngx_http_ssl_srv_conf_t *http,
    ngx_stream_cms_proxy_ssl_conf_t *stream)
{
    return ngx_stream_cms_proxy_same(&http->client_certificate,
                                     &stream->client_certificate)
           && ngx_stream_cms_proxy_same(&http->trusted_certificate,
                                        &stream->trusted_certificate)
           && ngx_stream_cms_proxy_same(&http->crl, &stream->crl)
           && http->verify_depth == stream->verify_depth;
}


static ngx_uint_t
ngx_stream_cms_proxy_same(ngx_str_t *a, ngx_str_t *b)
{
    return a->len == b->len && ngx_strncmp(a->data, b->data, a->len) == 0;
}

#endif


/* the servers that http chooses from; here only while the conf is read */

static ngx_http_conf_addr_t *
ngx_stream_cms_proxy_find_http(ngx_cycle_t *cycle, ngx_addr_t *addr)
{
    ngx_uint_t                  p, i;
    ngx_http_conf_port_t       *port;
    ngx_http_conf_addr_t       *caddr, *wildcard;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_core_module);

    port = cmcf->ports->elts;
    wildcard = NULL;

    for (p = 0; p < cmcf->ports->nelts; p++) {

        caddr = port[p].addrs.elts;

        for (i = 0; i < port[p].addrs.nelts; i++) {

            if (ngx_cmp_sockaddr(caddr[i].opt.sockaddr, caddr[i].opt.socklen,
                                 addr->sockaddr, addr->socklen, 1)
                == NGX_OK)
            {
                return &caddr[i];
            }

            if (ngx_stream_cms_proxy_covers(caddr[i].opt.sockaddr, addr)) {
                wildcard = &caddr[i];
            }
        }
    }

    return wildcard;
}


static ngx_int_t
ngx_stream_cms_proxy_check_listens(ngx_cycle_t *cycle)
{
    ngx_uint_t                        i, n;
    ngx_listening_t                  *ls;
    ngx_stream_port_t                *port;
    ngx_stream_addr_conf_t           *addr_conf;
    ngx_stream_cms_proxy_srv_conf_t  *scf;

    ls = cycle->listening.elts;

    for (i = 0; i < cycle->listening.nelts; i++) {

        if (ls[i].handler != ngx_stream_init_connection) {
            continue;
        }

        port = ls[i].servers;

        for (n = 0; n < port->naddrs; n++) {

            addr_conf = ngx_stream_cms_proxy_addr_conf(&ls[i], n);
            scf = ngx_stream_cms_proxy_srv_conf(addr_conf);

            if (scf->configured && ls[i].type == SOCK_DGRAM) {
                ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                              "\"cms_share\" in a server that listens on "
                              "udp %V in %s:%ui",
                              &ls[i].addr_text, scf->file, scf->line);
                return NGX_ERROR;
            }

            if (addr_conf->ssl) {
                scf->ssl = 1;

            } else {
                scf->plain = 1;
            }
        }
    }

    return NGX_OK;
}


/* what would never be reached, or by itself without end */

static ngx_int_t
ngx_stream_cms_proxy_check_way(ngx_cycle_t *cycle,
    ngx_stream_cms_proxy_srv_conf_t *scf)
{
    ngx_uint_t                      n;
    ngx_stream_port_t              *port;
    ngx_stream_cms_proxy_target_t  *turn;

    if ((scf->configured & (CMS_PREREAD_TO_HTTPS|CMS_PREREAD_TO_TURNS))
        && scf->ssl && !scf->plain)
    {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "\"https=\" or \"turns=\" in a server that listens "
                      "with ssl only, where no TLS is left, in %s:%ui",
                      scf->file, scf->line);
        return NGX_ERROR;
    }

    turn = &scf->turn;

    if (turn->naddrs == 0
        || ngx_stream_cms_proxy_find(cycle, turn) != NGX_OK
        || turn->listening->handler != ngx_stream_init_connection)
    {
        return NGX_OK;
    }

    port = turn->listening->servers;

    n = ngx_stream_cms_proxy_which(turn->addr->sockaddr, port->addrs,
                                   port->naddrs,
                                   ngx_stream_cms_proxy_size(turn->listening));

    if (ngx_stream_cms_proxy_srv_conf(
                     ngx_stream_cms_proxy_addr_conf(turn->listening, n))
        ->configured)
    {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "\"turn=%V\" is itself a port with \"cms_share\", "
                      "and not coturn, in %s:%ui",
                      &turn->text, scf->file, scf->line);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* of the addresses of a stream listener's port */

static ngx_stream_addr_conf_t *
ngx_stream_cms_proxy_addr_conf(ngx_listening_t *ls, ngx_uint_t n)
{
    ngx_stream_port_t  *port;

    port = ls->servers;

#if (NGX_HAVE_INET6)
    if (ls->sockaddr->sa_family == AF_INET6) {
        return &((ngx_stream_in6_addr_t *) port->addrs)[n].conf;
    }
#endif

    return &((ngx_stream_in_addr_t *) port->addrs)[n].conf;
}


static size_t
ngx_stream_cms_proxy_size(ngx_listening_t *ls)
{
#if (NGX_HAVE_INET6)
    if (ls->sockaddr->sa_family == AF_INET6) {
        return sizeof(ngx_stream_in6_addr_t);
    }
#endif

    return sizeof(ngx_stream_in_addr_t);
}


static ngx_stream_cms_proxy_srv_conf_t *
ngx_stream_cms_proxy_srv_conf(ngx_stream_addr_conf_t *addr_conf)
{
    ngx_stream_conf_ctx_t  *ctx;

#if (nginx_version >= 1025005)
    ctx = addr_conf->default_server->ctx;
#else
    ctx = addr_conf->ctx;
#endif

    return ctx->srv_conf[ngx_stream_cms_proxy_module.ctx_index];
}


static ngx_int_t
ngx_stream_cms_proxy_find(ngx_cycle_t *cycle,
    ngx_stream_cms_proxy_target_t *target)
{
    ngx_uint_t        i;
    ngx_listening_t  *ls;

    for (i = 0; i < target->naddrs; i++) {
        ls = ngx_stream_cms_proxy_find_listening(cycle, &target->addrs[i]);

        if (ls != NULL) {
            target->addr = &target->addrs[i];
            target->listening = ls;
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


/* the listener that the kernel would give a connection to this address */

static ngx_listening_t *
ngx_stream_cms_proxy_find_listening(ngx_cycle_t *cycle, ngx_addr_t *addr)
{
    ngx_uint_t        i;
    ngx_listening_t  *ls, *wildcard;

    ls = cycle->listening.elts;
    wildcard = NULL;

    for (i = 0; i < cycle->listening.nelts; i++) {

        if (ls[i].type != SOCK_STREAM) {
            continue;
        }

        if (ngx_cmp_sockaddr(ls[i].sockaddr, ls[i].socklen,
                             addr->sockaddr, addr->socklen, 1)
            == NGX_OK)
        {
            return &ls[i];
        }

        if (ngx_stream_cms_proxy_covers(ls[i].sockaddr, addr)) {
            wildcard = &ls[i];
        }
    }

    return wildcard;
}


static ngx_uint_t
ngx_stream_cms_proxy_covers(struct sockaddr *wildcard, ngx_addr_t *addr)
{
    return ngx_inet_wildcard(wildcard)
           && wildcard->sa_family == addr->sockaddr->sa_family
           && ngx_inet_get_port(wildcard) == ngx_inet_get_port(addr->sockaddr);
}


static void
ngx_stream_cms_proxy_http_listen(ngx_stream_cms_proxy_target_t *target,
    ngx_stream_cms_proxy_listen_t *l)
{
    ngx_uint_t                n;
    ngx_http_port_t          *port;
    ngx_http_addr_conf_t     *addr_conf;

    port = target->listening->servers;

#if (NGX_HAVE_INET6)
    if (target->addr->sockaddr->sa_family == AF_INET6) {
        n = ngx_stream_cms_proxy_which(target->addr->sockaddr, port->addrs,
                                       port->naddrs,
                                       sizeof(ngx_http_in6_addr_t));
        addr_conf = &((ngx_http_in6_addr_t *) port->addrs)[n].conf;

    } else
#endif
    {
        n = ngx_stream_cms_proxy_which(target->addr->sockaddr, port->addrs,
                                       port->naddrs,
                                       sizeof(ngx_http_in_addr_t));
        addr_conf = &((ngx_http_in_addr_t *) port->addrs)[n].conf;
    }

    l->ssl = addr_conf->ssl;
    l->http2 = addr_conf->http2;
    l->proxy_protocol = addr_conf->proxy_protocol;

#if (NGX_HTTP_SSL && nginx_version < 1025001)

    {
    ngx_http_ssl_srv_conf_t  *sscf;

    sscf = addr_conf->default_server->ctx->srv_conf[
                                             ngx_http_ssl_module.ctx_index];

    if (sscf->enable) {
        l->ssl = 1;
    }
    }

#endif
}


static void
ngx_stream_cms_proxy_stream_listen(ngx_stream_cms_proxy_target_t *target,
    ngx_stream_cms_proxy_listen_t *l)
{
    ngx_uint_t               n;
    ngx_stream_port_t       *port;
    ngx_stream_addr_conf_t  *addr_conf;

    port = target->listening->servers;

    n = ngx_stream_cms_proxy_which(target->addr->sockaddr, port->addrs,
                                   port->naddrs,
                                ngx_stream_cms_proxy_size(target->listening));

    addr_conf = ngx_stream_cms_proxy_addr_conf(target->listening, n);

    l->ssl = addr_conf->ssl;
    l->proxy_protocol = addr_conf->proxy_protocol;
}


/*
 * Of the addresses of one port, each in an element of this size that begins
 * with it: the last is the wildcard, or the only one.
 */

static ngx_uint_t
ngx_stream_cms_proxy_which(struct sockaddr *sockaddr, void *addrs,
    ngx_uint_t naddrs, size_t size)
{
    u_char      *p;
    void        *addr;
    size_t       len;
    ngx_uint_t   i;

    switch (sockaddr->sa_family) {

#if (NGX_HAVE_INET6)
    case AF_INET6:
        addr = &((struct sockaddr_in6 *) sockaddr)->sin6_addr;
        len = sizeof(struct in6_addr);
        break;
#endif

    case AF_INET:
        addr = &((struct sockaddr_in *) sockaddr)->sin_addr;
        len = sizeof(in_addr_t);
        break;

    default:
        return 0;
    }

    p = addrs;

    for (i = 0; i < naddrs - 1; i++) {
        if (ngx_memcmp(p, addr, len) == 0) {
            break;
        }

        p += size;
    }

    return i;
}


ngx_command_t *
ngx_stream_cms_proxy_find_command(ngx_cycle_t *cycle, char *name,
    ngx_module_t **module)
{
    ngx_uint_t      m;
    ngx_command_t  *cmd;

    for (m = 0; cycle->modules[m]; m++) {

        if (cycle->modules[m]->type != NGX_STREAM_MODULE
            || cycle->modules[m]->commands == NULL)
        {
            continue;
        }

        for (cmd = cycle->modules[m]->commands; cmd->name.len; cmd++) {
            if ((cmd->type & NGX_STREAM_SRV_CONF)
                && ngx_strcmp(cmd->name.data, name) == 0)
            {
                *module = cycle->modules[m];
                return cmd;
            }
        }
    }

    return NULL;
}
