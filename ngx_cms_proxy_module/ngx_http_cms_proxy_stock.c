
/*
 * The stock proxy module does the proxying; this file speaks its directives.
 *
 * Each of its location directives is registered a second time, by our module,
 * which is asked first.  In a location the stock handler is called as usual,
 * and the line is remembered, so that the location's own settings can be told
 * from defaults.  In a cms_webbridge block the line is checked at once, on a
 * configuration of its own, and used later for each location that proxies to
 * that web bridge.
 */


#include "ngx_http_cms_proxy_module.h"


#define NGX_HTTP_CMS_PROXY_TLS       1    /* only where tls is on */
#define NGX_HTTP_CMS_PROXY_VERIFY    2    /* only where it is verified */
#define NGX_HTTP_CMS_PROXY_CA        4    /* the CA file must be there */
#define NGX_HTTP_CMS_PROXY_INSIDE    8    /* only with upstream_host internal */
#define NGX_HTTP_CMS_PROXY_OPTIONAL  16   /* nginx may be built without it */
#define NGX_HTTP_CMS_PROXY_BODIES    32   /* only where they are rewritten */
#define NGX_HTTP_CMS_PROXY_FRAMES    64   /* with rewrite_websocket */


#define NGX_HTTP_CMS_PROXY_ARGS      6


typedef struct {
    char                            *name;
    char                            *args[NGX_HTTP_CMS_PROXY_ARGS];
    ngx_uint_t                       when;
} ngx_http_cms_proxy_default_t;


static ngx_command_t *ngx_http_cms_proxy_add_command(ngx_conf_t *cf,
    ngx_command_t *commands, ngx_uint_t *n, ngx_uint_t max,
    ngx_command_t *stock);
static char *ngx_http_cms_proxy_stock_directive(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static char *ngx_http_cms_proxy_block_directive(ngx_conf_t *cf,
    ngx_command_t *stock);
static ngx_int_t ngx_http_cms_proxy_apply_above(ngx_conf_t *cf,
    ngx_http_cms_proxy_loc_conf_t *above,
    ngx_http_cms_proxy_loc_conf_t *location,
    ngx_http_cms_proxy_srv_conf_t *wb);
static char *ngx_http_cms_proxy_apply_default(ngx_conf_t *cf,
    ngx_http_cms_proxy_default_t *def, ngx_http_cms_proxy_route_t *route,
    ngx_http_cms_proxy_loc_conf_t *location);
static char *ngx_http_cms_proxy_apply_line(ngx_conf_t *cf,
    ngx_http_cms_proxy_directive_t *d);
static ngx_uint_t ngx_http_cms_proxy_is_set(ngx_array_t *list,
    ngx_http_cms_proxy_directive_t *d);
static ngx_uint_t ngx_http_cms_proxy_is_default(
    ngx_http_cms_proxy_directive_t *d);
static ngx_uint_t ngx_http_cms_proxy_adds_up(ngx_command_t *cmd);
static ngx_str_t ngx_http_cms_proxy_default_arg(
    ngx_http_cms_proxy_route_t *route, char *arg);
static char *ngx_http_cms_proxy_gunzip(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb);
static char *ngx_http_cms_proxy_check_ca(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb);


/*
 * What a location with cms_proxy has unless something closer says otherwise.
 * "https:", "name", "verify" and "ca" stand for the web bridge's own;
 * verification is usually set up by ..._trust.c, and these then stay away.
 */

static ngx_http_cms_proxy_default_t  ngx_http_cms_proxy_defaults[] = {

    { "proxy_pass", { "https:", NULL }, 0 },
    { "proxy_http_version", { "1.1", NULL }, 0 },
    { "proxy_redirect", { "off", NULL }, 0 },

    /* a web bridge that is gone should cost a guest seconds, not a minute */
    { "proxy_connect_timeout", { "connect", NULL }, 0 },

    /* a POST that was sent is not sent again */
    { "proxy_next_upstream",
      { "error", "timeout", "invalid_header", "http_502", "http_503",
        "http_504" }, 0 },

    { "proxy_set_header", { "Host", "$cms_upstream_host" }, 0 },
    { "proxy_set_header", { "Upgrade", "$cms_upgrade" }, 0 },
    { "proxy_set_header", { "Connection", "$cms_connection" }, 0 },

    /* RFC 8586: so that a request that comes round again is known */
    { "proxy_set_header", { "CDN-Loop", "$cms_loop" }, 0 },

    /* what the client sent under these names is replaced ... */
    { "proxy_set_header", { "X-Forwarded-For", "$remote_addr" }, 0 },
    { "proxy_set_header", { "X-Forwarded-Host", "$cms_guest_uri" }, 0 },
    { "proxy_set_header", { "X-Forwarded-Port", "$server_port" }, 0 },
    { "proxy_set_header", { "X-Forwarded-Proto", "$scheme" }, 0 },
    { "proxy_set_header", { "X-Real-IP", "$remote_addr" }, 0 },

    /* ... or dropped: claims about the client and the way here, ... */
    { "proxy_set_header", { "Forwarded", "" }, 0 },
    { "proxy_set_header", { "X-Forwarded", "" }, 0 },
    { "proxy_set_header", { "X-Forwarded-By", "" }, 0 },
    { "proxy_set_header", { "X-Forwarded-Prefix", "" }, 0 },
    { "proxy_set_header", { "X-Forwarded-Scheme", "" }, 0 },
    { "proxy_set_header", { "X-Forwarded-Server", "" }, 0 },
    { "proxy_set_header", { "X-Forwarded-Ssl", "" }, 0 },
    { "proxy_set_header", { "X-Client-IP", "" }, 0 },
    { "proxy_set_header", { "X-Cluster-Client-IP", "" }, 0 },
    { "proxy_set_header", { "True-Client-IP", "" }, 0 },

    /* ... and ways around the gate's method, path and upgrade */
    { "proxy_set_header", { "X-HTTP-Method", "" }, 0 },
    { "proxy_set_header", { "X-HTTP-Method-Override", "" }, 0 },
    { "proxy_set_header", { "X-Method-Override", "" }, 0 },
    { "proxy_set_header", { "X-Original-URL", "" }, 0 },
    { "proxy_set_header", { "X-Rewrite-URL", "" }, 0 },
    { "proxy_set_header", { "HTTP2-Settings", "" }, 0 },
    { "proxy_set_header", { "Proxy", "" }, 0 },

    /* the web bridge is told the name, so its pages may depend on it */
    { "proxy_cache_key",
      { "$scheme$cms_webbridge$cms_upstream_host$request_uri", NULL },
      NGX_HTTP_CMS_PROXY_OPTIONAL },

    /* inside's other ports are not for guests */
    { "proxy_hide_header", { "Alt-Svc", NULL }, 0 },

    /* what is to be rewritten must come whole, and is best not packed */
    { "proxy_set_header", { "Range", "" }, NGX_HTTP_CMS_PROXY_BODIES },
    { "proxy_set_header", { "If-Range", "" }, NGX_HTTP_CMS_PROXY_BODIES },
    { "proxy_set_header", { "Accept-Encoding", "" },
      NGX_HTTP_CMS_PROXY_BODIES },
    { "proxy_set_header", { "Sec-WebSocket-Extensions", "" },
      NGX_HTTP_CMS_PROXY_FRAMES },

    { "proxy_set_header", { "Origin", "$cms_origin" },
      NGX_HTTP_CMS_PROXY_INSIDE },
    { "proxy_set_header", { "Referer", "$cms_referer" },
      NGX_HTTP_CMS_PROXY_INSIDE },

    /* hash: these are more names than nginx's default size is made for */
    { "proxy_headers_hash_max_size", { "2048", NULL }, 0 },
    { "proxy_headers_hash_bucket_size", { "128", NULL }, 0 },

    { "proxy_ssl_server_name", { "on", NULL }, NGX_HTTP_CMS_PROXY_TLS },
    { "proxy_ssl_name", { "name", NULL }, NGX_HTTP_CMS_PROXY_TLS },
    { "proxy_ssl_session_reuse", { "on", NULL }, NGX_HTTP_CMS_PROXY_TLS },
    { "proxy_ssl_protocols", { "TLSv1.2", "TLSv1.3" },
      NGX_HTTP_CMS_PROXY_TLS },
    { "proxy_ssl_verify", { "verify", NULL }, NGX_HTTP_CMS_PROXY_TLS },

    /* nginx's 1 allows no intermediate but one */
    { "proxy_ssl_verify_depth", { "4", NULL }, NGX_HTTP_CMS_PROXY_VERIFY },
    { "proxy_ssl_trusted_certificate", { "ca", NULL },
      NGX_HTTP_CMS_PROXY_VERIFY|NGX_HTTP_CMS_PROXY_CA },

    { NULL, { NULL }, 0 }
};


/*
 * Appends the stock proxy's location directives to commands[n..max), and
 * "keepalive" of upstream blocks.
 */

ngx_int_t
ngx_http_cms_proxy_stock_commands(ngx_conf_t *cf, ngx_command_t *commands,
    ngx_uint_t n, ngx_uint_t max)
{
    ngx_command_t  *stock, *cmd;

    for (stock = ngx_http_proxy_module.commands; stock->name.len; stock++) {

        if (!(stock->type & NGX_HTTP_LOC_CONF)) {
            continue;
        }

        cmd = ngx_http_cms_proxy_add_command(cf, commands, &n, max, stock);
        if (cmd == NULL) {
            return NGX_ERROR;
        }

        cmd->set = ngx_http_cms_proxy_stock_directive;
        cmd->conf = NGX_HTTP_LOC_CONF_OFFSET;

        /* cms_proxy itself says where to */

        if (ngx_strcmp(stock->name.data, "proxy_pass") != 0) {
            cmd->type |= NGX_HTTP_UPS_CONF;
        }
    }

    stock = ngx_http_cms_proxy_stock_command(cf, "keepalive",
                                             NGX_HTTP_UPS_CONF, NULL);

    if (stock) {
        cmd = ngx_http_cms_proxy_add_command(cf, commands, &n, max, stock);
        if (cmd == NULL) {
            return NGX_ERROR;
        }

        cmd->set = ngx_http_cms_proxy_keepalive;
    }

    ngx_memzero(&commands[n], sizeof(ngx_command_t));

    return NGX_OK;
}


/* a copy that knows the stock one, to be given a handler of ours */

static ngx_command_t *
ngx_http_cms_proxy_add_command(ngx_conf_t *cf, ngx_command_t *commands,
    ngx_uint_t *n, ngx_uint_t max, ngx_command_t *stock)
{
    ngx_command_t  *cmd;

    if (*n + 1 == max) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "cms_proxy has no room for \"%V\" and further "
                           "directives of nginx", &stock->name);
        return NULL;
    }

    cmd = &commands[(*n)++];

    *cmd = *stock;
    cmd->offset = 0;
    cmd->post = stock;

    return cmd;
}


/* a directive of another http module by name and context, or NULL */

ngx_command_t *
ngx_http_cms_proxy_stock_command(ngx_conf_t *cf, char *name,
    ngx_uint_t context, ngx_module_t **module)
{
    ngx_uint_t      i;
    ngx_module_t   *m;
    ngx_command_t  *cmd;

    for (i = 0; cf->cycle->modules[i]; i++) {
        m = cf->cycle->modules[i];

        if (m->type != NGX_HTTP_MODULE || m->commands == NULL
            || m == &ngx_http_cms_proxy_module)
        {
            continue;
        }

        for (cmd = m->commands; cmd->name.len; cmd++) {
            if ((cmd->type & context)
                && ngx_strcmp(cmd->name.data, name) == 0)
            {
                if (module) {
                    *module = m;
                }

                return cmd;
            }
        }
    }

    return NULL;
}


static char *
ngx_http_cms_proxy_stock_directive(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_cms_proxy_loc_conf_t *plcf = conf;

    char           *rv;
    void          **confp;
    ngx_command_t  *stock;

    stock = cmd->post;

    if (cf->cmd_type == NGX_HTTP_UPS_CONF) {
        return ngx_http_cms_proxy_block_directive(cf, stock);
    }

    rv = ngx_http_cms_proxy_record(cf, &plcf->directives, stock);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    confp = *(void **) ((char *) cf->ctx + stock->conf);

    return stock->set(cf, stock, confp[ngx_http_proxy_module.ctx_index]);
}


/*
 * The upstream block has a location configuration that nobody uses: setting
 * it finds bad values and duplicates where they stand.
 */

static char *
ngx_http_cms_proxy_block_directive(ngx_conf_t *cf, ngx_command_t *stock)
{
    char                           *rv;
    ngx_http_conf_ctx_t            *ctx;
    ngx_http_cms_proxy_srv_conf_t  *wb;

    ctx = cf->ctx;
    wb = ngx_http_conf_get_module_srv_conf(cf, ngx_http_cms_proxy_module);

    if (ngx_http_cms_proxy_own(cf, stock, wb) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    rv = ngx_http_cms_proxy_record(cf, &wb->directives, stock);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    return stock->set(cf, stock,
                      ctx->loc_conf[ngx_http_proxy_module.ctx_index]);
}


/* remembers the line that cf->args holds, as an ..._directive_t in the list */

char *
ngx_http_cms_proxy_record(ngx_conf_t *cf, ngx_array_t *list,
    ngx_command_t *stock)
{
    ngx_str_t                       *value;
    ngx_http_cms_proxy_directive_t  *d;

    d = ngx_array_push(list);
    if (d == NULL) {
        return NGX_CONF_ERROR;
    }

    d->cmd = stock;
    d->where = ngx_http_cms_proxy_here(cf);

    d->args = ngx_array_create(cf->pool, cf->args->nelts, sizeof(ngx_str_t));
    if (d->args == NULL) {
        return NGX_CONF_ERROR;
    }

    value = ngx_array_push_n(d->args, cf->args->nelts);
    ngx_memcpy(value, cf->args->elts, cf->args->nelts * sizeof(ngx_str_t));

    return NGX_CONF_OK;
}


/* cms_proxy must be what answers for its location */

char *
ngx_http_cms_proxy_check_location(ngx_conf_t *cf,
    ngx_http_core_loc_conf_t *clcf, ngx_http_cms_proxy_loc_conf_t *plcf)
{
    ngx_uint_t                       i;
    ngx_http_cms_proxy_directive_t  *d;

    d = plcf->directives.elts;

    for (i = 0; i < plcf->directives.nelts; i++) {
        if (ngx_strcmp(d[i].cmd->name.data, "proxy_pass") == 0) {
            return ngx_http_cms_proxy_conf_error(cf, &d[i].where,
                       "\"proxy_pass\" beside \"cms_proxy\" in one location");
        }
    }

    if (clcf->handler != ngx_http_cms_proxy_handler) {
        return ngx_http_cms_proxy_conf_error(cf, &plcf->where,
                   "\"cms_proxy\" is not the only handler of its location");
    }

    return NGX_CONF_OK;
}


/*
 * Gives a hidden location its proxy configuration; cf->ctx is that location.
 * The order of precedence: the location, the web bridge's block, the server
 * and http levels, our defaults.  Values are inherited from the levels above
 * as always; lines that add up are not, once a location has its own, so all
 * of them are set here.
 */

char *
ngx_http_cms_proxy_expand(ngx_conf_t *cf,
    ngx_http_cms_proxy_loc_conf_t *location, ngx_http_cms_proxy_route_t *route)
{
    ngx_uint_t                       i;
    ngx_http_cms_proxy_default_t    *def;
    ngx_http_cms_proxy_srv_conf_t   *wb;
    ngx_http_cms_proxy_loc_conf_t   *above;
    ngx_http_cms_proxy_directive_t  *d;

    wb = route->webbridge;

    route->trust = wb->tls && wb->verify
                   && !ngx_http_cms_proxy_says_verify(&wb->directives);

    for (above = location; above && route->trust; above = above->parent) {
        route->trust = !ngx_http_cms_proxy_says_verify(&above->directives);
    }

    d = location->directives.elts;

    for (i = 0; i < location->directives.nelts; i++) {

        if (ngx_http_cms_proxy_adds_up(d[i].cmd)
            && ngx_http_cms_proxy_apply_line(cf, &d[i]) != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    d = wb->directives.elts;

    for (i = 0; i < wb->directives.nelts; i++) {

        if (!ngx_http_cms_proxy_is_set(&location->directives, &d[i])
            && ngx_http_cms_proxy_apply_line(cf, &d[i]) != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    for (def = ngx_http_cms_proxy_defaults; def->name; def++) {

        if (ngx_http_cms_proxy_apply_default(cf, def, route, location)
            != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    /* of the levels above: the nearest that has such lines, as in nginx */

    for (above = location->parent; above; above = above->parent) {
        if (ngx_http_cms_proxy_apply_above(cf, above, location, wb)
            != NGX_DECLINED)
        {
            break;
        }
    }

    return ngx_http_cms_proxy_gunzip(cf, wb);
}


/*
 * "gunzip on" where bodies are rewritten, for those that come gzip'd; see
 * ..._decode_filter_module.c.
 */

static char *
ngx_http_cms_proxy_gunzip(ngx_conf_t *cf, ngx_http_cms_proxy_srv_conf_t *wb)
{
    void           **confp;
    ngx_str_t       *value;
    ngx_array_t      args;
    ngx_module_t    *module;
    ngx_command_t   *cmd;

    cmd = ngx_http_cms_proxy_stock_command(cf, "gunzip", NGX_HTTP_LOC_CONF,
                                           &module);

    if (cmd == NULL || !wb->rewrite_body || wb->rewrite_set->count == 0) {
        return NGX_CONF_OK;
    }

    if (ngx_array_init(&args, cf->pool, 2, sizeof(ngx_str_t)) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    value = ngx_array_push_n(&args, 2);
    value[0] = cmd->name;
    ngx_str_set(&value[1], "on");

    confp = *(void **) ((char *) cf->ctx + cmd->conf);

    return ngx_http_cms_proxy_call(cf, cmd, &args, &wb->where,
                                   NGX_HTTP_LOC_CONF,
                                   confp[module->ctx_index]);
}


/*
 * Headers set for a whole server go inside as well, but for those that we
 * set: a server's "proxy_set_header Host $http_host" was not meant for this.
 */

static ngx_int_t
ngx_http_cms_proxy_apply_above(ngx_conf_t *cf,
    ngx_http_cms_proxy_loc_conf_t *above,
    ngx_http_cms_proxy_loc_conf_t *location, ngx_http_cms_proxy_srv_conf_t *wb)
{
    ngx_int_t                        rc;
    ngx_uint_t                       i;
    ngx_http_cms_proxy_directive_t  *d;

    rc = NGX_DECLINED;
    d = above->directives.elts;

    for (i = 0; i < above->directives.nelts; i++) {

        if (!ngx_http_cms_proxy_adds_up(d[i].cmd)) {
            continue;
        }

        rc = NGX_OK;

        if (ngx_http_cms_proxy_is_set(&location->directives, &d[i])
            || ngx_http_cms_proxy_is_set(&wb->directives, &d[i])
            || ngx_http_cms_proxy_is_default(&d[i]))
        {
            continue;
        }

        if (ngx_http_cms_proxy_apply_line(cf, &d[i]) != NGX_CONF_OK) {
            return NGX_ERROR;
        }
    }

    return rc;
}


static char *
ngx_http_cms_proxy_apply_default(ngx_conf_t *cf,
    ngx_http_cms_proxy_default_t *def, ngx_http_cms_proxy_route_t *route,
    ngx_http_cms_proxy_loc_conf_t *location)
{
    ngx_str_t                       *value;
    ngx_uint_t                       i;
    ngx_http_cms_proxy_srv_conf_t   *wb;
    ngx_http_cms_proxy_loc_conf_t   *level;
    ngx_http_cms_proxy_directive_t   d;

    wb = route->webbridge;

    if (((def->when & NGX_HTTP_CMS_PROXY_TLS) && !wb->tls)
        || ((def->when & NGX_HTTP_CMS_PROXY_VERIFY)
            && (!(wb->tls && wb->verify) || route->trust))
        || ((def->when & NGX_HTTP_CMS_PROXY_INSIDE)
            && wb->upstream_host != NGX_HTTP_CMS_PROXY_INTERNAL)
        || ((def->when & NGX_HTTP_CMS_PROXY_BODIES)
            && !(wb->rewrite_body && wb->rewrite_set->count))
        || ((def->when & NGX_HTTP_CMS_PROXY_FRAMES)
            && !wb->rewrite_websocket))
    {
        return NGX_CONF_OK;
    }

    d.where = wb->where;

    d.cmd = ngx_http_cms_proxy_stock_command(cf, def->name, NGX_HTTP_LOC_CONF,
                                             NULL);
    if (d.cmd == NULL && (def->when & NGX_HTTP_CMS_PROXY_OPTIONAL)) {
        return NGX_CONF_OK;
    }

    if (d.cmd == NULL) {
        return ngx_http_cms_proxy_conf_error(cf, &wb->where,
                   "cms_proxy needs \"%s\", which this nginx does not have",
                   def->name);
    }

    d.args = ngx_array_create(cf->pool, NGX_HTTP_CMS_PROXY_ARGS + 1,
                              sizeof(ngx_str_t));
    if (d.args == NULL) {
        return NGX_CONF_ERROR;
    }

    value = ngx_array_push(d.args);
    *value = d.cmd->name;

    for (i = 0; i < NGX_HTTP_CMS_PROXY_ARGS && def->args[i]; i++) {
        value = ngx_array_push(d.args);
        *value = ngx_http_cms_proxy_default_arg(route, def->args[i]);
    }

    if (ngx_http_cms_proxy_is_set(&location->directives, &d)
        || ngx_http_cms_proxy_is_set(&wb->directives, &d))
    {
        return NGX_CONF_OK;
    }

    if (!ngx_http_cms_proxy_adds_up(d.cmd)) {
        for (level = location->parent; level; level = level->parent) {
            if (ngx_http_cms_proxy_is_set(&level->directives, &d)) {
                return NGX_CONF_OK;
            }
        }
    }

    if ((def->when & NGX_HTTP_CMS_PROXY_CA)
        && ngx_http_cms_proxy_check_ca(cf, wb) != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    return ngx_http_cms_proxy_apply_line(cf, &d);
}


static ngx_str_t
ngx_http_cms_proxy_default_arg(ngx_http_cms_proxy_route_t *route, char *arg)
{
    ngx_str_t                       s;
    ngx_http_cms_proxy_line_t      *line;
    ngx_http_cms_proxy_srv_conf_t  *wb;

    wb = route->webbridge;

    if (ngx_strcmp(arg, "https:") == 0) {
        return wb->url;
    }

    if (ngx_strcmp(arg, "name") == 0) {
        return wb->ssl_name;
    }

    if (ngx_strcmp(arg, "ca") == 0) {
        return wb->trusted_certificate;
    }

    if (ngx_strcmp(arg, "verify") == 0) {
        arg = wb->verify && !route->trust ? "on" : "off";
    }

    if (ngx_strcmp(arg, "connect") == 0) {
        line = wb->lines.elts;

        /* the sooner the next one is tried */

        arg = (wb->lines.nelts > 1
               || line[0].kind != NGX_HTTP_CMS_PROXY_LITERAL)
              ? "2s" : "5s";
    }

    s.data = (u_char *) arg;
    s.len = ngx_strlen(arg);

    return s;
}


/* sets one directive in the location that cf->ctx is at */

static char *
ngx_http_cms_proxy_apply_line(ngx_conf_t *cf, ngx_http_cms_proxy_directive_t *d)
{
    void         **confp;
    ngx_array_t    args;

    /* handlers may change their arguments, and each location needs them */

    if (ngx_array_init(&args, cf->pool, d->args->nelts, sizeof(ngx_str_t))
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    ngx_memcpy(ngx_array_push_n(&args, d->args->nelts), d->args->elts,
               d->args->nelts * sizeof(ngx_str_t));

    confp = *(void **) ((char *) cf->ctx + d->cmd->conf);

    return ngx_http_cms_proxy_call(cf, d->cmd, &args, &d->where,
                                   NGX_HTTP_LOC_CONF,
                                   confp[ngx_http_proxy_module.ctx_index]);
}


/*
 * Calls a stock handler as if its directive stood at that place with these
 * arguments: errors name the line that the directive, or the block, stands in.
 */

char *
ngx_http_cms_proxy_call(ngx_conf_t *cf, ngx_command_t *cmd, ngx_array_t *args,
    ngx_http_cms_proxy_where_t *where, ngx_uint_t cmd_type, void *conf)
{
    char             *rv;
    ngx_conf_t        save;
    ngx_conf_file_t   file;

    file = *cf->conf_file;
    file.file.name = where->file;
    file.line = where->line;

    save = *cf;

    cf->conf_file = &file;
    cf->args = args;
    cf->cmd_type = cmd_type;

    rv = cmd->set(cf, cmd, conf);

    *cf = save;

    if (rv != NGX_CONF_OK && rv != NGX_CONF_ERROR) {
        return ngx_http_cms_proxy_conf_error(cf, where, "\"%V\" directive %s",
                                             &cmd->name, rv);
    }

    return rv;
}


/* whether the list has this directive; of lines that add up, for this name */

static ngx_uint_t
ngx_http_cms_proxy_is_set(ngx_array_t *list, ngx_http_cms_proxy_directive_t *d)
{
    ngx_str_t                       *value, *other;
    ngx_uint_t                       i;
    ngx_http_cms_proxy_directive_t  *set;

    set = list->elts;
    value = d->args->elts;

    for (i = 0; i < list->nelts; i++) {

        if (set[i].cmd != d->cmd) {
            continue;
        }

        if (!ngx_http_cms_proxy_adds_up(d->cmd)) {
            return 1;
        }

        other = set[i].args->elts;

        if (other[1].len == value[1].len
            && ngx_strncasecmp(other[1].data, value[1].data, value[1].len)
               == 0)
        {
            return 1;
        }
    }

    return 0;
}


static ngx_uint_t
ngx_http_cms_proxy_is_default(ngx_http_cms_proxy_directive_t *d)
{
    ngx_str_t                     *value;
    ngx_http_cms_proxy_default_t  *def;

    value = d->args->elts;

    for (def = ngx_http_cms_proxy_defaults; def->name; def++) {
        if (ngx_strcmp(def->name, d->cmd->name.data) == 0
            && ngx_strcasecmp((u_char *) def->args[0], value[1].data) == 0)
        {
            return 1;
        }
    }

    return 0;
}


/* several of one name, told apart by their first argument, hold together */

static ngx_uint_t
ngx_http_cms_proxy_adds_up(ngx_command_t *cmd)
{
    return ngx_strcmp(cmd->name.data, "proxy_set_header") == 0
           || ngx_strcmp(cmd->name.data, "proxy_hide_header") == 0;
}


/* nginx would say that it cannot be loaded, but not which line wants it */

static char *
ngx_http_cms_proxy_check_ca(ngx_conf_t *cf, ngx_http_cms_proxy_srv_conf_t *wb)
{
    ngx_fd_t   fd;
    ngx_str_t  name;

    name = wb->trusted_certificate;

    if (ngx_conf_full_name(cf->cycle, &name, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    fd = ngx_open_file(name.data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        return ngx_http_cms_proxy_conf_error(cf, &wb->where,
                   "cannot read the trusted_certificate \"%V\" of "
                   "cms_webbridge \"%V\" (%d: %s)",
                   &name, &wb->name, (int) ngx_errno, strerror(ngx_errno));
    }

    (void) ngx_close_file(fd);

    return NGX_CONF_OK;
}


/*
 * Everything is merged: for each route the location's own configuration with
 * the proxy part of the hidden location.  So an "if" block's settings hold.
 */

ngx_int_t
ngx_http_cms_proxy_build_routed(ngx_conf_t *cf, ngx_http_core_loc_conf_t *clcf,
    ngx_http_cms_proxy_loc_conf_t *plcf)
{
    void                        **loc_conf;
    ngx_uint_t                    i, proxy;
    ngx_module_t                 *gunzip;
    ngx_http_cms_proxy_route_t   *route;

    if (ngx_http_cms_proxy_stock_command(cf, "gunzip", NGX_HTTP_LOC_CONF,
                                         &gunzip)
        == NULL)
    {
        gunzip = NULL;
    }

    route = plcf->routes->elts;
    proxy = ngx_http_proxy_module.ctx_index;

    plcf->routed = ngx_palloc(cf->pool, plcf->routes->nelts * sizeof(void **));
    if (plcf->routed == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < plcf->routes->nelts; i++) {

        if (ngx_http_cms_proxy_trust(cf, &route[i]) != NGX_CONF_OK
            || ngx_http_cms_proxy_init_health(cf, &route[i]) != NGX_OK)
        {
            return NGX_ERROR;
        }

        loc_conf = ngx_palloc(cf->pool, ngx_http_max_module * sizeof(void *));
        if (loc_conf == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(loc_conf, clcf->loc_conf,
                   ngx_http_max_module * sizeof(void *));
        loc_conf[proxy] = route[i].hidden[proxy];

        if (gunzip) {
            loc_conf[gunzip->ctx_index] = route[i].hidden[gunzip->ctx_index];
        }

        plcf->routed[i] = loc_conf;
    }

    return NGX_OK;
}
