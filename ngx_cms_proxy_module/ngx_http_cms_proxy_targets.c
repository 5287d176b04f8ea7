
/*
 * Where the web bridge is: "target" lines become servers of the upstream.  An
 * address is taken as it is.  A name gets some servers that are down until
 * DNS is asked, by the workers: nothing here waits for DNS.
 */


#include "ngx_http_cms_proxy_module.h"


#define NGX_HTTP_CMS_PROXY_EXPECTED                                           \
    "expected is HOST, HOST:PORT, unix:PATH or srv:_SERVICE._PROTOCOL.NAME"


static char *ngx_http_cms_proxy_add_target(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb, ngx_command_t *server,
    ngx_http_cms_proxy_directive_t *target);
static char *ngx_http_cms_proxy_default_target(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb);
static ngx_http_cms_proxy_line_t *ngx_http_cms_proxy_add_line(
    ngx_http_cms_proxy_srv_conf_t *wb, ngx_str_t *text,
    ngx_http_upstream_server_t *us);
static char *ngx_http_cms_proxy_address(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb, ngx_http_cms_proxy_where_t *where,
    ngx_http_cms_proxy_line_t *line, ngx_http_upstream_server_t *us);
static char *ngx_http_cms_proxy_srv(ngx_conf_t *cf,
    ngx_http_cms_proxy_where_t *where, ngx_http_cms_proxy_line_t *line,
    ngx_http_upstream_server_t *us);
static char *ngx_http_cms_proxy_hold_slots(ngx_conf_t *cf,
    ngx_http_upstream_server_t *us, ngx_uint_t n);
static char *ngx_http_cms_proxy_resolve_now(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb, ngx_http_cms_proxy_where_t *where,
    ngx_url_t *u, ngx_http_upstream_server_t *us);


/* remembers the line: the default port depends on "tls", which may follow */

char *
ngx_http_cms_proxy_target(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_cms_proxy_srv_conf_t *wb = conf;

    if (ngx_http_cms_proxy_own(cf, cmd, wb) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    return ngx_http_cms_proxy_record(cf, &wb->targets, cmd);
}


/* in any upstream block; ours only notes it */

char *
ngx_http_cms_proxy_random(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_cms_proxy_srv_conf_t *wb = conf;

    ngx_module_t         *module;
    ngx_command_t        *stock;
    ngx_http_conf_ctx_t  *ctx;

    stock = ngx_http_cms_proxy_stock_command(cf, "random", NGX_HTTP_UPS_CONF,
                                             &module);
    if (stock == NULL) {
        return "is not in this nginx";
    }

    wb->random = 1;

    ctx = cf->ctx;

    return stock->set(cf, stock, ctx->srv_conf[module->ctx_index]);
}


/* the block is read: the placeholder goes, the targets come */

char *
ngx_http_cms_proxy_add_targets(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb)
{
    ngx_uint_t                       i, n;
    ngx_array_t                     *servers;
    ngx_command_t                   *server;
    ngx_http_upstream_server_t      *us;
    ngx_http_cms_proxy_directive_t  *target;

    servers = wb->upstream->servers;
    us = servers->elts;

    n = wb->placeholder - 1;

    for (i = n; i + 1 < servers->nelts; i++) {
        us[i] = us[i + 1];
    }

    servers->nelts--;

    for (i = 0; i < servers->nelts; i++) {

#if (nginx_version >= 1027003)

        if (us[i].host.len) {
            return ngx_http_cms_proxy_conf_error(cf, &wb->where,
                       "\"resolve\" of \"server %V\" is not for cms_webbridge "
                       "\"%V\"; \"target\" follows DNS without it",
                       &us[i].name, &wb->name);
        }

#endif

        if (ngx_http_cms_proxy_add_line(wb, &us[i].name, &us[i]) == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    server = ngx_http_cms_proxy_stock_command(cf, "server", NGX_HTTP_UPS_CONF,
                                              NULL);
    if (server == NULL) {
        return "needs nginx's directive \"server\" of upstream blocks";
    }

    if (wb->targets.nelts == 0 && servers->nelts == 0
        && ngx_http_cms_proxy_default_target(cf, wb) != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    target = wb->targets.elts;

    for (i = 0; i < wb->targets.nelts; i++) {
        if (ngx_http_cms_proxy_add_target(cf, wb, server, &target[i])
            != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


/* as Expressway: SRV _cms-web._tls.<first guest URI>, or else its A, AAAA */

static char *
ngx_http_cms_proxy_default_target(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb)
{
    ngx_str_t                       *value;
    ngx_http_cms_proxy_name_t       *guest;
    ngx_http_cms_proxy_directive_t  *target;

    guest = wb->guest_uris.elts;

    target = ngx_array_push(&wb->targets);
    if (target == NULL) {
        return NGX_CONF_ERROR;
    }

    target->cmd = NULL;
    target->where = wb->where;

    target->args = ngx_array_create(cf->pool, 2, sizeof(ngx_str_t));
    if (target->args == NULL) {
        return NGX_CONF_ERROR;
    }

    value = ngx_array_push_n(target->args, 2);
    ngx_str_set(&value[0], "target");

    value[1].len = sizeof("srv:_cms-web._tls.") - 1 + guest->host.len;
    value[1].data = ngx_pnalloc(cf->pool, value[1].len + 1);
    if (value[1].data == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_sprintf(value[1].data, "srv:_cms-web._tls.%V%Z", &guest->host);

    return NGX_CONF_OK;
}


/*
 * The stock handler reads the parameters of the line; the address, which it
 * would insist on resolving, is a stand-in that is replaced afterwards.
 */

static char *
ngx_http_cms_proxy_add_target(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb, ngx_command_t *server,
    ngx_http_cms_proxy_directive_t *target)
{
    ngx_str_t                   *value, text;
    ngx_uint_t                   i;
    ngx_http_cms_proxy_line_t   *line;
    ngx_http_upstream_server_t  *us;

    value = target->args->elts;

    for (i = 2; i < target->args->nelts; i++) {
        if (ngx_strcmp(value[i].data, "resolve") == 0
            || ngx_strncmp(value[i].data, "service=", 8) == 0)
        {
            return ngx_http_cms_proxy_conf_error(cf, &target->where,
                       "\"%V\" is not for \"target\", which follows DNS "
                       "without it", &value[i]);
        }
    }

    text = value[1];
    ngx_str_set(&value[1], "127.0.0.1:9");

    if (ngx_http_cms_proxy_call(cf, server, target->args, &target->where,
                                NGX_HTTP_UPS_CONF, wb->upstream)
        != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    us = wb->upstream->servers->elts;
    us += wb->upstream->servers->nelts - 1;

    us->name = text;

    line = ngx_http_cms_proxy_add_line(wb, &text, us);
    if (line == NULL) {
        return NGX_CONF_ERROR;
    }

    if (text.len >= 4 && ngx_strncasecmp(text.data, (u_char *) "srv:", 4) == 0)
    {
        line->fallback = (target->cmd == NULL);
        line->port = wb->tls ? 443 : 80;

        if (wb->foreign) {
            return ngx_http_cms_proxy_conf_error(cf, &target->where,
                       "target \"%V\" of cms_webbridge \"%V\", whose balancer "
                       "is not nginx's, must be an address or a host name",
                       &text, &wb->name);
        }

        return ngx_http_cms_proxy_srv(cf, &target->where, line, us);
    }

    return ngx_http_cms_proxy_address(cf, wb, &target->where, line, us);
}


/* each server of the upstream has its line, whoever wrote it */

static ngx_http_cms_proxy_line_t *
ngx_http_cms_proxy_add_line(ngx_http_cms_proxy_srv_conf_t *wb, ngx_str_t *text,
    ngx_http_upstream_server_t *us)
{
    ngx_http_cms_proxy_line_t  *line;

    line = ngx_array_push(&wb->lines);
    if (line == NULL) {
        return NULL;
    }

    ngx_memzero(line, sizeof(ngx_http_cms_proxy_line_t));

    line->text = *text;
    line->kind = NGX_HTTP_CMS_PROXY_LITERAL;
    line->down = us->down;

    return line;
}


/* HOST[:PORT] and unix:PATH */

static char *
ngx_http_cms_proxy_address(ngx_conf_t *cf, ngx_http_cms_proxy_srv_conf_t *wb,
    ngx_http_cms_proxy_where_t *where, ngx_http_cms_proxy_line_t *line,
    ngx_http_upstream_server_t *us)
{
    ngx_url_t        u;
    cms_authority_t  a;

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = line->text;
    u.default_port = wb->tls ? 443 : 80;
    u.no_resolve = 1;

    if (ngx_parse_url(cf->pool, &u) != NGX_OK) {
        return ngx_http_cms_proxy_conf_error(cf, where,
                   "%s in target \"%V\"; " NGX_HTTP_CMS_PROXY_EXPECTED,
                   u.err ? u.err : "out of memory", &line->text);
    }

    if (u.naddrs) {
        us->addrs = u.addrs;
        us->naddrs = u.naddrs;
        return NGX_CONF_OK;
    }

    if (cms_authority_parse(u.host.data, u.host.len, &a) != CMS_AUTHORITY_OK) {
        return ngx_http_cms_proxy_conf_error(cf, where,
                   "no host name in target \"%V\"; "
                   NGX_HTTP_CMS_PROXY_EXPECTED, &line->text);
    }

    if (wb->foreign) {
        return ngx_http_cms_proxy_resolve_now(cf, wb, where, &u, us);
    }

    line->kind = NGX_HTTP_CMS_PROXY_NAME;
    line->host.data = (u_char *) a.host;
    line->host.len = a.host_len;
    line->port = u.port;

    return ngx_http_cms_proxy_hold_slots(cf, us,
                                         NGX_HTTP_CMS_PROXY_NAME_SLOTS);
}


/* RFC 2782: _Service._Proto.Name; ports are in the answer */

static char *
ngx_http_cms_proxy_srv(ngx_conf_t *cf, ngx_http_cms_proxy_where_t *where,
    ngx_http_cms_proxy_line_t *line, ngx_http_upstream_server_t *us)
{
    u_char           *name, *last, *dot;
    ngx_uint_t        labels;
    cms_authority_t   a;

    name = line->text.data + 4;
    last = line->text.data + line->text.len;

    if (cms_authority_parse(name, last - name, &a) != CMS_AUTHORITY_OK
        || a.port)
    {
        goto invalid;
    }

    last = name + a.host_len;
    dot = name;

    for (labels = 0; labels < 2; labels++) {

        if (*dot != '_') {
            goto invalid;
        }

        dot = ngx_strlchr(dot, last, '.');

        if (dot == NULL) {
            goto invalid;
        }

        dot++;
    }

    line->kind = NGX_HTTP_CMS_PROXY_SRV;
    line->service.data = name;
    line->service.len = dot - 1 - name;
    line->host.data = dot;
    line->host.len = last - dot;

    return ngx_http_cms_proxy_hold_slots(cf, us, NGX_HTTP_CMS_PROXY_SRV_SLOTS);

invalid:

    return ngx_http_cms_proxy_conf_error(cf, where,
               "no SRV name in target \"%V\"; " NGX_HTTP_CMS_PROXY_EXPECTED,
               &line->text);
}


/*
 * The addresses of the peers to come; without a zone, which copies them, the
 * peers keep these and are written into.
 */

static char *
ngx_http_cms_proxy_hold_slots(ngx_conf_t *cf, ngx_http_upstream_server_t *us,
    ngx_uint_t n)
{
    u_char      *p;
    ngx_uint_t   i;

    us->down = 1;
    us->naddrs = n;

    us->addrs = ngx_pcalloc(cf->pool, n * (sizeof(ngx_addr_t)
                                           + sizeof(ngx_sockaddr_t)
                                           + NGX_SOCKADDR_STRLEN));
    if (us->addrs == NULL) {
        return NGX_CONF_ERROR;
    }

    p = (u_char *) us->addrs + n * sizeof(ngx_addr_t);

    for (i = 0; i < n; i++) {
        us->addrs[i].sockaddr = (struct sockaddr *) p;
        us->addrs[i].sockaddr->sa_family = AF_INET;
        us->addrs[i].socklen = sizeof(struct sockaddr_in);
        p += sizeof(ngx_sockaddr_t);
    }

    for (i = 0; i < n; i++) {
        us->addrs[i].name.data = p;
        us->addrs[i].name.len = ngx_sprintf(p, "unresolved") - p;
        p += NGX_SOCKADDR_STRLEN;
    }

    return NGX_CONF_OK;
}


/* for another balancer than nginx's: its addresses cannot change later */

static char *
ngx_http_cms_proxy_resolve_now(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb, ngx_http_cms_proxy_where_t *where,
    ngx_url_t *u, ngx_http_upstream_server_t *us)
{
    if (ngx_inet_resolve_host(cf->pool, u) == NGX_OK) {
        us->addrs = u->addrs;
        us->naddrs = u->naddrs;
        return NGX_CONF_OK;
    }

    ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                  "target \"%V\" of cms_webbridge \"%V\" does not resolve; "
                  "guests get 502 from it until it does and nginx is "
                  "reloaded, in %V:%ui",
                  &us->name, &wb->name, &where->file, where->line);

    us->down = 1;

    return NGX_CONF_OK;
}
