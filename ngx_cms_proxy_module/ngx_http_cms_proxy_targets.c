
/*
 * Where the web bridge is: "target" lines become servers of the upstream.  A
 * name that does not resolve must not keep nginx from starting: its server is
 * then marked down.
 */


#include "ngx_http_cms_proxy_module.h"


static char *ngx_http_cms_proxy_add_target(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb, ngx_command_t *server,
    ngx_http_cms_proxy_directive_t *target);
static char *ngx_http_cms_proxy_default_target(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb);
static ngx_http_cms_proxy_line_t *ngx_http_cms_proxy_add_line(
    ngx_http_cms_proxy_srv_conf_t *wb, ngx_str_t *text,
    ngx_http_upstream_server_t *us);
static ngx_int_t ngx_http_cms_proxy_resolve(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb, ngx_http_cms_proxy_where_t *where,
    ngx_url_t *u);


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


/* as if "target <first guest URI's host>;" stood in the block */

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
    value[1] = guest->host;

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
    ngx_int_t                    rc;
    ngx_url_t                    u;
    ngx_str_t                   *value;
    ngx_uint_t                   i;
    ngx_http_upstream_server_t  *us;

    value = target->args->elts;

    for (i = 2; i < target->args->nelts; i++) {
        if (ngx_strcmp(value[i].data, "resolve") == 0
            || ngx_strncmp(value[i].data, "service=", 8) == 0)
        {
            return ngx_http_cms_proxy_conf_error(cf, &target->where,
                       "\"%V\" is not for \"target\", whose names are "
                       "resolved when nginx starts or is reloaded", &value[i]);
        }
    }

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = value[1];
    u.default_port = wb->tls ? 443 : 80;

    rc = ngx_http_cms_proxy_resolve(cf, wb, &target->where, &u);
    if (rc == NGX_ERROR) {
        return NGX_CONF_ERROR;
    }

    ngx_str_set(&value[1], "127.0.0.1:9");

    if (ngx_http_cms_proxy_call(cf, server, target->args, &target->where,
                                NGX_HTTP_UPS_CONF, wb->upstream)
        != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    us = wb->upstream->servers->elts;
    us += wb->upstream->servers->nelts - 1;

    us->name = u.url;

    if (ngx_http_cms_proxy_add_line(wb, &u.url, us) == NULL) {
        return NGX_CONF_ERROR;
    }

    if (rc == NGX_DECLINED) {
        us->down = 1;
        return NGX_CONF_OK;
    }

    us->addrs = u.addrs;
    us->naddrs = u.naddrs;

    return NGX_CONF_OK;
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


/* NGX_DECLINED: a proper name that nobody can resolve now */

static ngx_int_t
ngx_http_cms_proxy_resolve(ngx_conf_t *cf, ngx_http_cms_proxy_srv_conf_t *wb,
    ngx_http_cms_proxy_where_t *where, ngx_url_t *u)
{
    if (ngx_parse_url(cf->pool, u) == NGX_OK) {
        return NGX_OK;
    }

    if (u->err && ngx_strcmp(u->err, "host not found") == 0) {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "target \"%V\" of cms_webbridge \"%V\" does not resolve; "
                      "guests get 502 from it until it does and nginx is "
                      "reloaded, in %V:%ui",
                      &u->url, &wb->name, &where->file, where->line);
        return NGX_DECLINED;
    }

    ngx_http_cms_proxy_conf_error(cf, where,
        "%s in target \"%V\"; expected is HOST, HOST:PORT or unix:PATH",
        u->err ? u->err : "out of memory", &u->url);

    return NGX_ERROR;
}
