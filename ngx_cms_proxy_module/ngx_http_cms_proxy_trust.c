
/*
 * The CA file that a web bridge's certificate is verified with is read once
 * for all web bridges and locations: nginx itself reads it again for each of
 * them (Debian's bundle: some 30 ms and 0.8 MB each time).  Where a directive
 * of the stock proxy says something about verification, all of it is left to
 * the stock proxy.  Called while the configuration is read.
 */


#include "ngx_http_cms_proxy_module.h"

#if (NGX_HTTP_SSL)


typedef struct {
    ngx_str_t                        file;
    X509_STORE                      *store;
} ngx_http_cms_proxy_store_t;


static X509_STORE *ngx_http_cms_proxy_store(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb);
static X509_STORE *ngx_http_cms_proxy_read_store(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb, ngx_str_t *file);
static void ngx_http_cms_proxy_free_store(void *data);


static char  *ngx_http_cms_proxy_verify_directives[] = {
    "proxy_ssl_verify",
    "proxy_ssl_verify_depth",
    "proxy_ssl_trusted_certificate",
    "proxy_ssl_crl",
    "proxy_ssl_conf_command",
    NULL
};


/* nginx's own 1 would allow no intermediate but one */
#define NGX_HTTP_CMS_PROXY_VERIFY_DEPTH  4


ngx_int_t
ngx_http_cms_proxy_init_trust(ngx_conf_t *cf,
    ngx_http_cms_proxy_main_conf_t *mcf)
{
    return ngx_array_init(&mcf->stores, cf->pool, 1,
                          sizeof(ngx_http_cms_proxy_store_t));
}


/* whether one of these lines says how to verify */

ngx_uint_t
ngx_http_cms_proxy_says_verify(ngx_array_t *directives)
{
    char                           **name;
    ngx_uint_t                       i;
    ngx_http_cms_proxy_directive_t  *d;

    d = directives->elts;

    for (i = 0; i < directives->nelts; i++) {
        for (name = ngx_http_cms_proxy_verify_directives; *name; name++) {
            if (ngx_strcmp(d[i].cmd->name.data, *name) == 0) {
                return 1;
            }
        }
    }

    return 0;
}


/*
 * All is merged: the stock proxy has made the route's SSL context, which is
 * the hidden location's own, without verification.
 */

char *
ngx_http_cms_proxy_trust(ngx_conf_t *cf, ngx_http_cms_proxy_route_t *route)
{
    X509_STORE                *store;
    ngx_http_upstream_conf_t  *u;

    static ngx_str_t  none = ngx_null_string;

    if (!route->trust) {
        return NGX_CONF_OK;
    }

    /* begins with that in all versions */

    u = route->hidden[ngx_http_proxy_module.ctx_index];

    if (u->ssl == NULL || u->ssl_verify) {
        return NGX_CONF_OK;
    }

    store = ngx_http_cms_proxy_store(cf, route->webbridge);
    if (store == NULL) {
        return NGX_CONF_ERROR;
    }

    if (ngx_ssl_trusted_certificate(cf, u->ssl, &none,
                                    NGX_HTTP_CMS_PROXY_VERIFY_DEPTH)
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    SSL_CTX_set1_cert_store(u->ssl->ctx, store);
    u->ssl_verify = 1;

    return NGX_CONF_OK;
}


static X509_STORE *
ngx_http_cms_proxy_store(ngx_conf_t *cf, ngx_http_cms_proxy_srv_conf_t *wb)
{
    ngx_str_t                        file;
    ngx_uint_t                       i;
    X509_STORE                      *store;
    ngx_pool_cleanup_t              *cln;
    ngx_http_cms_proxy_store_t      *known;
    ngx_http_cms_proxy_main_conf_t  *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cms_proxy_module);

    file = wb->trusted_certificate;

    if (ngx_conf_full_name(cf->cycle, &file, 1) != NGX_OK) {
        return NULL;
    }

    known = mcf->stores.elts;

    for (i = 0; i < mcf->stores.nelts; i++) {
        if (known[i].file.len == file.len
            && ngx_strncmp(known[i].file.data, file.data, file.len) == 0)
        {
            return known[i].store;
        }
    }

    known = ngx_array_push(&mcf->stores);
    cln = ngx_pool_cleanup_add(cf->pool, 0);

    if (known == NULL || cln == NULL) {
        return NULL;
    }

    store = ngx_http_cms_proxy_read_store(cf, wb, &file);
    if (store == NULL) {
        return NULL;
    }

    cln->handler = ngx_http_cms_proxy_free_store;
    cln->data = store;

    known->file = file;
    known->store = store;

    return store;
}


static X509_STORE *
ngx_http_cms_proxy_read_store(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb, ngx_str_t *file)
{
    const char     *reason;
    unsigned long   error;
    X509_STORE     *store;

    store = X509_STORE_new();
    if (store == NULL) {
        ngx_ssl_error(NGX_LOG_EMERG, cf->log, 0, "X509_STORE_new() failed");
        return NULL;
    }

    if (X509_STORE_load_locations(store, (char *) file->data, NULL) == 1) {

        /* errors may stay in the queue all the same */

        ERR_clear_error();
        return store;
    }

    error = ERR_peek_error();

    if (ERR_GET_LIB(error) == ERR_LIB_SYS) {
        reason = strerror(ERR_GET_REASON(error));

    } else {
        reason = ERR_reason_error_string(ERR_peek_last_error());
    }

    ngx_http_cms_proxy_conf_error(cf, &wb->where,
        "cannot read the trusted_certificate \"%V\" of cms_webbridge \"%V\" "
        "(%s); expected are CA certificates in PEM",
        file, &wb->name, reason ? reason : "unknown error");

    ERR_clear_error();
    X509_STORE_free(store);

    return NULL;
}


static void
ngx_http_cms_proxy_free_store(void *data)
{
    X509_STORE_free(data);
}


#else


ngx_int_t
ngx_http_cms_proxy_init_trust(ngx_conf_t *cf,
    ngx_http_cms_proxy_main_conf_t *mcf)
{
    return NGX_OK;
}


ngx_uint_t
ngx_http_cms_proxy_says_verify(ngx_array_t *directives)
{
    return 1;
}


char *
ngx_http_cms_proxy_trust(ngx_conf_t *cf, ngx_http_cms_proxy_route_t *route)
{
    return NGX_CONF_OK;
}


#endif
