
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


extern ngx_module_t  ngx_http_proxy_module;


#define NGX_HTTP_CMS_PROXY_TLS       1    /* only where tls is on */
#define NGX_HTTP_CMS_PROXY_VERIFY    2    /* only where it is verified */
#define NGX_HTTP_CMS_PROXY_INSIDE    4    /* only with upstream_host internal */


typedef struct {
    char                            *name;
    char                            *args[2];
    ngx_uint_t                       when;
} ngx_http_cms_proxy_default_t;


static char *ngx_http_cms_proxy_stock_directive(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static char *ngx_http_cms_proxy_block_directive(ngx_conf_t *cf,
    ngx_command_t *stock);
static char *ngx_http_cms_proxy_apply_list(ngx_conf_t *cf, ngx_array_t *list,
    ngx_array_t *prior);
static char *ngx_http_cms_proxy_apply_default(ngx_conf_t *cf,
    ngx_http_cms_proxy_default_t *def, ngx_http_cms_proxy_srv_conf_t *wb,
    ngx_http_cms_proxy_loc_conf_t *location);
static char *ngx_http_cms_proxy_apply(ngx_conf_t *cf,
    ngx_http_cms_proxy_directive_t *d);
static ngx_uint_t ngx_http_cms_proxy_is_set(ngx_array_t *list,
    ngx_command_t *cmd, ngx_array_t *args);
static ngx_uint_t ngx_http_cms_proxy_is_header(ngx_command_t *cmd);
static ngx_str_t ngx_http_cms_proxy_default_arg(
    ngx_http_cms_proxy_srv_conf_t *wb, char *arg);


/*
 * What a location with cms_proxy has unless it or the web bridge's block says
 * otherwise.  "https:", "verify" and "ca" stand for the web bridge's own.
 */

static ngx_http_cms_proxy_default_t  ngx_http_cms_proxy_defaults[] = {

    { "proxy_pass", { "https:", NULL }, 0 },
    { "proxy_http_version", { "1.1", NULL }, 0 },
    { "proxy_redirect", { "off", NULL }, 0 },

    /* a web bridge that is gone should cost a guest seconds, not a minute */
    { "proxy_connect_timeout", { "5s", NULL }, 0 },

    { "proxy_set_header", { "Host", "$cms_upstream_host" }, 0 },
    { "proxy_set_header", { "Upgrade", "$cms_upgrade" }, 0 },
    { "proxy_set_header", { "Connection", "$cms_connection" }, 0 },

    /* what the client sent under these names is dropped */
    { "proxy_set_header", { "X-Forwarded-For", "$remote_addr" }, 0 },
    { "proxy_set_header", { "X-Forwarded-Host", "$cms_guest_uri" }, 0 },
    { "proxy_set_header", { "X-Forwarded-Port", "$server_port" }, 0 },
    { "proxy_set_header", { "X-Forwarded-Proto", "$scheme" }, 0 },
    { "proxy_set_header", { "X-Real-IP", "$remote_addr" }, 0 },
    { "proxy_set_header", { "Forwarded", "" }, 0 },
    { "proxy_set_header", { "HTTP2-Settings", "" }, 0 },

    { "proxy_set_header", { "Origin", "$cms_origin" },
      NGX_HTTP_CMS_PROXY_INSIDE },
    { "proxy_set_header", { "Referer", "$cms_referer" },
      NGX_HTTP_CMS_PROXY_INSIDE },

    { "proxy_ssl_server_name", { "on", NULL }, NGX_HTTP_CMS_PROXY_TLS },
    { "proxy_ssl_name", { "$cms_upstream_host", NULL },
      NGX_HTTP_CMS_PROXY_TLS },
    { "proxy_ssl_session_reuse", { "on", NULL }, NGX_HTTP_CMS_PROXY_TLS },
    { "proxy_ssl_protocols", { "TLSv1.2", "TLSv1.3" },
      NGX_HTTP_CMS_PROXY_TLS },
    { "proxy_ssl_verify", { "verify", NULL }, NGX_HTTP_CMS_PROXY_TLS },

    /* nginx's 1 allows no intermediate but one */
    { "proxy_ssl_verify_depth", { "4", NULL }, NGX_HTTP_CMS_PROXY_VERIFY },
    { "proxy_ssl_trusted_certificate", { "ca", NULL },
      NGX_HTTP_CMS_PROXY_VERIFY },

    { NULL, { NULL, NULL }, 0 }
};


/* appends the stock proxy's location directives to commands[n..max) */

ngx_int_t
ngx_http_cms_proxy_stock_commands(ngx_conf_t *cf, ngx_command_t *commands,
    ngx_uint_t n, ngx_uint_t max)
{
    ngx_command_t  *stock;

    for (stock = ngx_http_proxy_module.commands; stock->name.len; stock++) {

        if (!(stock->type & NGX_HTTP_LOC_CONF)) {
            continue;
        }

        if (n + 1 == max) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "cms_proxy has no room for \"%V\" and further "
                               "directives of nginx", &stock->name);
            return NGX_ERROR;
        }

        commands[n] = *stock;
        commands[n].set = ngx_http_cms_proxy_stock_directive;
        commands[n].conf = NGX_HTTP_LOC_CONF_OFFSET;
        commands[n].offset = 0;
        commands[n].post = stock;

        /* cms_proxy itself says where to */

        if (ngx_strcmp(stock->name.data, "proxy_pass") != 0) {
            commands[n].type |= NGX_HTTP_UPS_CONF;
        }

        n++;
    }

    ngx_memzero(&commands[n], sizeof(ngx_command_t));

    return NGX_OK;
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

    if (cf->cmd_type == NGX_HTTP_LOC_CONF) {

        if (plcf->directives == NULL) {
            plcf->directives = ngx_array_create(cf->pool, 4,
                                      sizeof(ngx_http_cms_proxy_directive_t));
            if (plcf->directives == NULL) {
                return NGX_CONF_ERROR;
            }
        }

        rv = ngx_http_cms_proxy_record(cf, plcf->directives, stock);
        if (rv != NGX_CONF_OK) {
            return rv;
        }
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


/* gives a hidden location its proxy configuration; cf->ctx is that location */

char *
ngx_http_cms_proxy_expand(ngx_conf_t *cf,
    ngx_http_cms_proxy_loc_conf_t *location, ngx_http_cms_proxy_route_t *route)
{
    char                            *rv;
    ngx_uint_t                       i;
    ngx_http_cms_proxy_default_t    *def;
    ngx_http_cms_proxy_directive_t  *d;

    if (route->webbridge == NULL) {
        return "has no cms_webbridge";
    }

    /*
     * Values are inherited from the location, header lists are not, since
     * this location gets its own.
     */

    if (location->directives) {
        d = location->directives->elts;

        for (i = 0; i < location->directives->nelts; i++) {

            if (ngx_strcmp(d[i].cmd->name.data, "proxy_pass") == 0) {
                return ngx_http_cms_proxy_conf_error(cf, &d[i].where,
                           "\"proxy_pass\" beside \"cms_proxy\" in one "
                           "location");
            }

            if (!ngx_http_cms_proxy_is_header(d[i].cmd)) {
                continue;
            }

            rv = ngx_http_cms_proxy_apply(cf, &d[i]);
            if (rv != NGX_CONF_OK) {
                return rv;
            }
        }
    }

    rv = ngx_http_cms_proxy_apply_list(cf, &route->webbridge->directives,
                                       location->directives);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    for (def = ngx_http_cms_proxy_defaults; def->name; def++) {
        rv = ngx_http_cms_proxy_apply_default(cf, def, route->webbridge,
                                              location);
        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    return NGX_CONF_OK;
}


/* the directives of the block that the location does not set itself */

static char *
ngx_http_cms_proxy_apply_list(ngx_conf_t *cf, ngx_array_t *list,
    ngx_array_t *prior)
{
    char                            *rv;
    ngx_uint_t                       i;
    ngx_http_cms_proxy_directive_t  *d;

    d = list->elts;

    for (i = 0; i < list->nelts; i++) {

        if (ngx_http_cms_proxy_is_set(prior, d[i].cmd, d[i].args)) {
            continue;
        }

        rv = ngx_http_cms_proxy_apply(cf, &d[i]);
        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_cms_proxy_apply_default(ngx_conf_t *cf,
    ngx_http_cms_proxy_default_t *def, ngx_http_cms_proxy_srv_conf_t *wb,
    ngx_http_cms_proxy_loc_conf_t *location)
{
    ngx_str_t                       *value;
    ngx_uint_t                       i;
    ngx_http_cms_proxy_directive_t   d;

    if (((def->when & NGX_HTTP_CMS_PROXY_TLS) && !wb->tls)
        || ((def->when & NGX_HTTP_CMS_PROXY_VERIFY)
            && !(wb->tls && wb->verify))
        || ((def->when & NGX_HTTP_CMS_PROXY_INSIDE)
            && wb->upstream_host != NGX_HTTP_CMS_PROXY_INTERNAL))
    {
        return NGX_CONF_OK;
    }

    d.where = wb->where;

    d.cmd = ngx_http_cms_proxy_stock_command(cf, def->name, NGX_HTTP_LOC_CONF,
                                             NULL);
    if (d.cmd == NULL) {
        return ngx_http_cms_proxy_conf_error(cf, &wb->where,
                   "cms_proxy needs \"%s\", which this nginx does not have",
                   def->name);
    }

    d.args = ngx_array_create(cf->pool, 3, sizeof(ngx_str_t));
    if (d.args == NULL) {
        return NGX_CONF_ERROR;
    }

    value = ngx_array_push(d.args);
    *value = d.cmd->name;

    for (i = 0; i < 2 && def->args[i]; i++) {
        value = ngx_array_push(d.args);

        *value = ngx_http_cms_proxy_default_arg(wb, def->args[i]);
        if (value->data == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    if (ngx_http_cms_proxy_is_set(location->directives, d.cmd, d.args)
        || ngx_http_cms_proxy_is_set(&wb->directives, d.cmd, d.args))
    {
        return NGX_CONF_OK;
    }

    return ngx_http_cms_proxy_apply(cf, &d);
}


static ngx_str_t
ngx_http_cms_proxy_default_arg(ngx_http_cms_proxy_srv_conf_t *wb, char *arg)
{
    ngx_str_t  s;

    if (ngx_strcmp(arg, "https:") == 0) {
        return wb->url;
    }

    if (ngx_strcmp(arg, "ca") == 0) {
        return wb->trusted_certificate;
    }

    if (ngx_strcmp(arg, "verify") == 0) {
        arg = wb->verify ? "on" : "off";
    }

    s.data = (u_char *) arg;
    s.len = ngx_strlen(arg);

    return s;
}


/* sets one directive in the location that cf->ctx is at */

static char *
ngx_http_cms_proxy_apply(ngx_conf_t *cf, ngx_http_cms_proxy_directive_t *d)
{
    char                 *rv;
    void                **confp;
    ngx_conf_t            save;
    ngx_array_t           args;
    ngx_conf_file_t       file;

    /* handlers may change their arguments, and each location needs them */

    if (ngx_array_init(&args, cf->pool, d->args->nelts, sizeof(ngx_str_t))
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    ngx_memcpy(ngx_array_push_n(&args, d->args->nelts), d->args->elts,
               d->args->nelts * sizeof(ngx_str_t));

    /* errors name the line that the directive, or the block, stands in */

    file = *cf->conf_file;
    file.file.name = d->where.file;
    file.line = d->where.line;

    save = *cf;

    cf->conf_file = &file;
    cf->args = &args;
    cf->cmd_type = NGX_HTTP_LOC_CONF;

    confp = *(void **) ((char *) cf->ctx + d->cmd->conf);

    rv = d->cmd->set(cf, d->cmd, confp[ngx_http_proxy_module.ctx_index]);

    *cf = save;

    if (rv != NGX_CONF_OK && rv != NGX_CONF_ERROR) {
        return ngx_http_cms_proxy_conf_error(cf, &d->where,
                                             "\"%V\" directive %s",
                                             &d->cmd->name, rv);
    }

    return rv;
}


/* whether the list has this directive; of header lines, for this header */

static ngx_uint_t
ngx_http_cms_proxy_is_set(ngx_array_t *list, ngx_command_t *cmd,
    ngx_array_t *args)
{
    ngx_str_t                       *value, *other;
    ngx_uint_t                       i;
    ngx_http_cms_proxy_directive_t  *d;

    if (list == NULL) {
        return 0;
    }

    d = list->elts;
    value = args->elts;

    for (i = 0; i < list->nelts; i++) {

        if (d[i].cmd != cmd) {
            continue;
        }

        if (!ngx_http_cms_proxy_is_header(cmd)) {
            return 1;
        }

        other = d[i].args->elts;

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
ngx_http_cms_proxy_is_header(ngx_command_t *cmd)
{
    return ngx_strcmp(cmd->name.data, "proxy_set_header") == 0;
}
