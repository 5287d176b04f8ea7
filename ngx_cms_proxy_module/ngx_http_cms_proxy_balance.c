
/*
 * Between the stock balancer, which chooses a target, and the stock keepalive,
 * which finds a connection to it: here a guest's affinity is honoured, targets
 * are counted and watched, and a request is moved on while it can be.
 */


#include "ngx_http_cms_proxy_module.h"


static ngx_int_t ngx_http_cms_proxy_balance_init(ngx_conf_t *cf,
    ngx_http_upstream_srv_conf_t *us);


/*
 * keepalive CONNECTIONS: stock keepalive takes whatever balances when its line
 * is read, so in a cms_webbridge block the line waits for the block's end.
 */

char *
ngx_http_cms_proxy_keepalive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_module_t                   *module;
    ngx_command_t                  *stock;
    ngx_http_conf_ctx_t            *ctx;
    ngx_http_cms_proxy_srv_conf_t  *wb;

    ctx = cf->ctx;
    wb = ngx_http_conf_get_module_srv_conf(cf, ngx_http_cms_proxy_module);

    if (wb->named) {

        if (wb->keepalive.nelts) {
            return "is duplicate";
        }

        return ngx_http_cms_proxy_record(cf, &wb->keepalive, cmd->post);
    }

    stock = ngx_http_cms_proxy_stock_command(cf, "keepalive",
                                             NGX_HTTP_UPS_CONF, &module);

    return stock->set(cf, stock, ctx->srv_conf[module->ctx_index]);
}


/* at the end of a cms_webbridge block, when its balancer is known */

char *
ngx_http_cms_proxy_interpose(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb)
{
    char                            *rv;
    ngx_conf_t                       save;
    ngx_module_t                    *module;
    ngx_http_conf_ctx_t              ctx;
    ngx_http_upstream_srv_conf_t    *uscf;
    ngx_http_cms_proxy_directive_t  *d;

    static ngx_str_t  connections = ngx_string("64");

    uscf = wb->upstream;

    wb->balancer_init = uscf->peer.init_upstream
                        ? uscf->peer.init_upstream
                        : ngx_http_upstream_init_round_robin;
    uscf->peer.init_upstream = ngx_http_cms_proxy_balance_init;

    if (wb->keepalive.nelts == 0) {
        return ngx_http_cms_proxy_upstream_default(cf, wb, "keepalive",
                                                   &connections, NULL);
    }

    d = wb->keepalive.elts;

    (void) ngx_http_cms_proxy_stock_command(cf, "keepalive",
                                            NGX_HTTP_UPS_CONF, &module);

    save = *cf;

    ctx = *(ngx_http_conf_ctx_t *) cf->ctx;
    ctx.srv_conf = uscf->srv_conf;
    cf->ctx = &ctx;

    rv = ngx_http_cms_proxy_call(cf, d->cmd, d->args, &d->where,
                                 NGX_HTTP_UPS_CONF,
                                 uscf->srv_conf[module->ctx_index]);

    *cf = save;

    return rv;
}


static ngx_int_t
ngx_http_cms_proxy_balance_init(ngx_conf_t *cf,
    ngx_http_upstream_srv_conf_t *us)
{
    ngx_http_cms_proxy_srv_conf_t  *wb;

    wb = ngx_http_conf_upstream_srv_conf(us, ngx_http_cms_proxy_module);

    return wb->balancer_init(cf, us);
}
