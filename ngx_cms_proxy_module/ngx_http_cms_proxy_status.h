
/*
 * The status page, "cms_status": one location's settings, and the parts that
 * its handler is made of.
 */


#ifndef _NGX_HTTP_CMS_PROXY_STATUS_H_INCLUDED_
#define _NGX_HTTP_CMS_PROXY_STATUS_H_INCLUDED_


#include "ngx_http_cms_proxy_module.h"
#include "cms_status.h"


struct ngx_http_cms_proxy_status_s {
    ngx_str_t                        turn;      /* turn.json, or empty */
    ngx_str_t                        prom;      /* turn.prom beside it */
    ngx_str_t                        policy;    /* Content-Security-Policy */
    ngx_http_core_srv_conf_t        *server;
    ngx_array_t                      names;     /* ngx_http_server_name_t */
};


/*
 * ngx_http_cms_proxy_status_document.c: the whole status as JSON, or NULL when
 * there is no memory; for json_decref().
 */

json_t *ngx_http_cms_proxy_status_document(ngx_http_request_t *r,
    ngx_http_cms_proxy_status_t *status);

/*
 * ngx_http_cms_proxy_status_turn.c: what the coturn plugin says in its files.
 * The object is never NULL but for lack of memory; the text, for ngx_free(),
 * is NULL where it cannot be read.
 */

json_t *ngx_http_cms_proxy_status_turn(ngx_str_t *file, ngx_log_t *log);
char *ngx_http_cms_proxy_status_turn_prom(ngx_str_t *file, size_t *len,
    ngx_log_t *log);


#endif /* _NGX_HTTP_CMS_PROXY_STATUS_H_INCLUDED_ */
