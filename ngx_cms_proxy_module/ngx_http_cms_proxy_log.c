
/*
 * nginx ends its error lines with the request, the upstream URL and the
 * referrer, in full.  Where a cms_proxy is configured, what follows ", client:"
 * is masked in every error log of http, from a connection's first request
 * line on: each log that a location writes to is replaced by one whose writer
 * masks the line and passes it on.
 *
 * What nginx quotes of a bad header or answer in the message itself stays,
 * and so does all that "error_log ... debug" shows.
 */


#include "ngx_http_cms_proxy_module.h"
#include "cms_mask.h"


static ngx_log_t *ngx_http_cms_proxy_masked_log(ngx_cycle_t *cycle,
    ngx_array_t *logs, ngx_log_t *log);
static void ngx_http_cms_proxy_log_writer(ngx_log_t *log, ngx_uint_t level,
    u_char *buf, size_t len);


/* every log is open now, and no worker runs yet */

ngx_int_t
ngx_http_cms_proxy_mask_logs(ngx_cycle_t *cycle)
{
    ngx_log_t                        *log;
    ngx_uint_t                        i;
    ngx_array_t                       logs;
    ngx_http_core_loc_conf_t        **clcfp;
    ngx_http_cms_proxy_main_conf_t   *mcf;

    mcf = ngx_http_cycle_get_module_main_conf(cycle,
                                              ngx_http_cms_proxy_module);

    if (mcf == NULL || !mcf->used) {
        return NGX_OK;
    }

    if (ngx_array_init(&logs, cycle->pool, 4, sizeof(ngx_log_t *)) != NGX_OK) {
        return NGX_ERROR;
    }

    clcfp = mcf->locations.elts;

    for (i = 0; i < mcf->locations.nelts; i++) {

        if (clcfp[i]->error_log == NULL) {
            continue;
        }

        log = ngx_http_cms_proxy_masked_log(cycle, &logs, clcfp[i]->error_log);
        if (log == NULL) {
            return NGX_ERROR;
        }

        clcfp[i]->error_log = log;
    }

    return NGX_OK;
}


/* the same chain of logs, each with our writer before its own */

static ngx_log_t *
ngx_http_cms_proxy_masked_log(ngx_cycle_t *cycle, ngx_array_t *logs,
    ngx_log_t *log)
{
    ngx_log_t   *first, **last, *copy, **known;
    ngx_uint_t   i;

    known = logs->elts;

    for (i = 0; i < logs->nelts; i++) {
        if (known[i]->wdata == log) {
            return known[i];
        }
    }

    first = NULL;
    last = &first;

    for ( /* void */ ; log; log = log->next) {

        copy = ngx_palloc(cycle->pool, sizeof(ngx_log_t));
        if (copy == NULL) {
            return NULL;
        }

        *copy = *log;
        copy->writer = ngx_http_cms_proxy_log_writer;
        copy->wdata = log;
        copy->next = NULL;

        *last = copy;
        last = &copy->next;
    }

    known = ngx_array_push(logs);
    if (known == NULL) {
        return NULL;
    }

    *known = first;

    return first;
}


static void
ngx_http_cms_proxy_log_writer(ngx_log_t *log, ngx_uint_t level, u_char *buf,
    size_t len)
{
    u_char     *client;
    size_t      head;
    ngx_log_t  *real;

    client = ngx_strlcasestrn(buf, buf + len, (u_char *) ", client: ",
                              sizeof(", client: ") - 2);

    if (client) {
        head = client - buf;
        len = head + cms_mask(client, len - head);
    }

    real = log->wdata;

    if (real->writer) {
        real->writer(real, level, buf, len);
        return;
    }

    /* as nginx does: a full disk is not tried more than once a second */

    if (real->file == NULL || ngx_time() == real->disk_full_time) {
        return;
    }

    if (ngx_write_fd(real->file->fd, buf, len) == -1
        && ngx_errno == NGX_ENOSPC)
    {
        real->disk_full_time = ngx_time();
    }
}
