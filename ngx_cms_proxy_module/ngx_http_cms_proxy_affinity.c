
/*
 * "affinity": with several addresses a guest stays on one, which a cookie
 * names.  The balancer's part asks here which one a request wants, and the
 * header filter has the cookie set where that is not the one that answered.
 */


#include "ngx_http_cms_proxy_module.h"
#include "cms_affinity.h"

#include <sys/stat.h>


#define NGX_HTTP_CMS_PROXY_KEY_FILE  512


static char *ngx_http_cms_proxy_affinity_key(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb, ngx_str_t *name);
static char *ngx_http_cms_proxy_affinity_read(ngx_conf_t *cf, ngx_fd_t fd,
    ngx_http_cms_proxy_srv_conf_t *wb, ngx_str_t *name);
static ngx_uint_t ngx_http_cms_proxy_affinity_known(
    ngx_http_cms_proxy_srv_conf_t *wb);
static ngx_int_t ngx_http_cms_proxy_affinity_ids(
    ngx_http_cms_proxy_srv_conf_t *wb);
static ngx_uint_t ngx_http_cms_proxy_affinity_find(
    ngx_http_cms_proxy_srv_conf_t *wb, ngx_str_t *cookie, ngx_str_t *name);


/* affinity cookie [key=FILE]|off */

char *
ngx_http_cms_proxy_affinity(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_cms_proxy_srv_conf_t *wb = conf;

    ngx_str_t  *value, name;

    if (ngx_http_cms_proxy_own(cf, cmd, wb) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    if (wb->affinity != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0 && cf->args->nelts == 2) {
        wb->affinity = 0;
        return NGX_CONF_OK;
    }

    if (ngx_strcmp(value[1].data, "cookie") != 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" in \"affinity\"; expected is "
                           "\"cookie\", \"cookie key=FILE\" or \"off\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    wb->affinity = 1;

    if (cf->args->nelts == 2) {
        return NGX_CONF_OK;
    }

    if (value[2].len <= 4 || ngx_strncmp(value[2].data, "key=", 4) != 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" in \"affinity\"; expected is \"key=FILE\"",
                           &value[2]);
        return NGX_CONF_ERROR;
    }

    name.data = value[2].data + 4;
    name.len = value[2].len - 4;

    return ngx_http_cms_proxy_affinity_key(cf, wb, &name);
}


static char *
ngx_http_cms_proxy_affinity_key(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb, ngx_str_t *name)
{
    char             *rv;
    ngx_fd_t          fd;
    ngx_file_info_t   fi;

    if (ngx_conf_full_name(cf->cycle, name, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    /* a FIFO must not hold nginx up */

    fd = ngx_open_file(name->data, NGX_FILE_RDONLY, NGX_FILE_NONBLOCK, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "cannot read the key file \"%V\" of \"affinity\"",
                           name);
        return NGX_CONF_ERROR;
    }

    if (ngx_fd_info(fd, &fi) == NGX_FILE_ERROR || !ngx_is_file(&fi)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the key file \"%V\" of \"affinity\" is no "
                           "regular file", name);
        rv = NGX_CONF_ERROR;

    } else if (fi.st_mode & (S_IROTH|S_IWOTH)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the key file \"%V\" of \"affinity\" can be %s by "
                           "everybody; chmod o-rwx it", name,
                           (fi.st_mode & S_IROTH) ? "read" : "written");
        rv = NGX_CONF_ERROR;

    } else {
        rv = ngx_http_cms_proxy_affinity_read(cf, fd, wb, name);
    }

    (void) ngx_close_file(fd);

    return rv;
}


static char *
ngx_http_cms_proxy_affinity_read(ngx_conf_t *cf, ngx_fd_t fd,
    ngx_http_cms_proxy_srv_conf_t *wb, ngx_str_t *name)
{
    u_char   text[NGX_HTTP_CMS_PROXY_KEY_FILE];
    ssize_t  n;

    wb->affinity_key = ngx_palloc(cf->pool, CMS_AFFINITY_KEY_LEN);
    if (wb->affinity_key == NULL) {
        return NGX_CONF_ERROR;
    }

    n = ngx_read_fd(fd, text, sizeof(text));

    if (n < 0 || !cms_affinity_key(text, n, wb->affinity_key)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the key file \"%V\" of \"affinity\" holds no key; "
                           "expected are 64 hex digits, as \"openssl rand "
                           "-hex 32\" prints them", name);
        ngx_explicit_memzero(text, sizeof(text));
        return NGX_CONF_ERROR;
    }

    ngx_explicit_memzero(text, sizeof(text));

    return NGX_CONF_OK;
}


/* which slot the request's cookie names, + 1; or 0 */

ngx_uint_t
ngx_http_cms_proxy_affinity_wanted(ngx_http_request_t *r,
    ngx_http_cms_proxy_ctx_t *ctx)
{
    u_char                          text[CMS_AFFINITY_NAME_MAX];
    ngx_str_t                       name;
    ngx_uint_t                      slot;
#if (nginx_version >= 1023000)
    ngx_table_elt_t                *h;
#else
    ngx_uint_t                      i;
    ngx_table_elt_t               **h;
#endif
    ngx_http_cms_proxy_srv_conf_t  *wb;

    wb = ctx->route->webbridge;

    if (ngx_http_cms_proxy_affinity_known(wb) < 2) {
        return 0;
    }

    name.data = text;
    name.len = cms_affinity_name(text, ctx->guest_uri->port);

    slot = 0;

#if (nginx_version >= 1023000)

    for (h = r->headers_in.cookie; h && slot == 0; h = h->next) {
        slot = ngx_http_cms_proxy_affinity_find(wb, &h->value, &name);
    }

#else

    h = r->headers_in.cookies.elts;

    for (i = 0; i < r->headers_in.cookies.nelts && slot == 0; i++) {
        slot = ngx_http_cms_proxy_affinity_find(wb, &h[i]->value, &name);
    }

#endif

    return slot;
}


/* how many addresses there are to tell apart */

static ngx_uint_t
ngx_http_cms_proxy_affinity_known(ngx_http_cms_proxy_srv_conf_t *wb)
{
    if (!wb->affinity || wb->record->nslots < 2) {
        return 0;
    }

    if ((wb->affinity_ids == NULL
         || wb->affinity_generation != wb->record->generation)
        && ngx_http_cms_proxy_affinity_ids(wb) != NGX_OK)
    {
        return 0;
    }

    return wb->affinity_known;
}


/* this worker's list of what the cookie says for each slot */

static ngx_int_t
ngx_http_cms_proxy_affinity_ids(ngx_http_cms_proxy_srv_conf_t *wb)
{
    u_char                     *key, *id;
    ngx_uint_t                  i, known;
    ngx_http_cms_proxy_slot_t  *slot;

    if (wb->affinity_ids == NULL) {
        wb->affinity_ids = ngx_pcalloc(ngx_cycle->pool,
                                       wb->record->nslots
                                       * CMS_AFFINITY_ID_LEN);
        if (wb->affinity_ids == NULL) {
            return NGX_ERROR;
        }
    }

    key = wb->affinity_key;

    if (key == NULL) {
        key = ngx_http_cms_proxy_root((ngx_cycle_t *) ngx_cycle)->key;
    }

    known = 0;

    ngx_http_cms_proxy_lock();

    wb->affinity_generation = wb->record->generation;

    for (i = 0; i < wb->record->nslots; i++) {
        slot = &wb->record->slots[i];
        id = wb->affinity_ids + i * CMS_AFFINITY_ID_LEN;

        if (slot->state == NGX_HTTP_CMS_PROXY_UNUSED) {
            *id = '\0';
            continue;
        }

        if (!cms_affinity_id(key, wb->name.data, wb->name.len, slot->name,
                             slot->name_len, id))
        {
            known = 0;
            break;
        }

        known++;
    }

    ngx_http_cms_proxy_unlock();

    wb->affinity_known = known;

    return NGX_OK;
}


static ngx_uint_t
ngx_http_cms_proxy_affinity_find(ngx_http_cms_proxy_srv_conf_t *wb,
    ngx_str_t *cookie, ngx_str_t *name)
{
    size_t         pos;
    ngx_uint_t     i;
    const u_char  *id;

    pos = 0;

    while (cms_affinity_find(cookie->data, cookie->len, name->data, name->len,
                             &pos, &id))
    {
        for (i = 0; i < wb->record->nslots; i++) {
            if (ngx_memcmp(wb->affinity_ids + i * CMS_AFFINITY_ID_LEN, id,
                           CMS_AFFINITY_ID_LEN)
                == 0)
            {
                return i + 1;
            }
        }
    }

    return 0;
}


/* lets the guest come back to the target that answers, if need be */

ngx_int_t
ngx_http_cms_proxy_affinity_set(ngx_http_request_t *r,
    ngx_http_cms_proxy_ctx_t *ctx)
{
    u_char                         *p, *id, name[CMS_AFFINITY_NAME_MAX];
    size_t                          len;
    ngx_str_t                       value;
    ngx_http_cms_proxy_balance_t   *bp;
    ngx_http_cms_proxy_srv_conf_t  *wb;

    bp = ctx->balance;
    wb = bp->webbridge;

    if (r != r->main
        || bp->current == bp->wanted
        || ngx_http_cms_proxy_affinity_known(wb) < 2)
    {
        return NGX_OK;
    }

    id = wb->affinity_ids + (bp->current - 1) * CMS_AFFINITY_ID_LEN;

    if (*id == '\0') {
        return NGX_OK;                     /* its address has just gone */
    }

    p = ngx_pnalloc(r->pool, CMS_AFFINITY_COOKIE_MAX);
    if (p == NULL) {
        return NGX_ERROR;
    }

    len = cms_affinity_name(name, ctx->guest_uri->port);

    value.data = p;
    value.len = cms_affinity_set_cookie(p, name, len, id,
#if (NGX_HTTP_SSL)
                                        r->connection->ssl != NULL
#else
                                        0
#endif
                                        );

    return ngx_http_cms_proxy_add_header(r, "Set-Cookie", &value);
}
