
/*
 * The certificates that guests see: looked at when the configuration is read,
 * by "cms_certificate_check", and kept for the status page.
 */


#ifndef _NGX_HTTP_CMS_PROXY_CERTIFICATE_H_INCLUDED_
#define _NGX_HTTP_CMS_PROXY_CERTIFICATE_H_INCLUDED_


#include "ngx_http_cms_proxy_module.h"
#include "cms_certificate.h"


#define NGX_HTTP_CMS_PROXY_CHECK_OFF     0
#define NGX_HTTP_CMS_PROXY_CHECK_WARN    1
#define NGX_HTTP_CMS_PROXY_CHECK_STRICT  2


/* a guest URI that is served with a certificate */

typedef struct {
    ngx_http_cms_proxy_name_t       *guest_uri;
    ngx_uint_t                       covered;
} ngx_http_cms_proxy_certificate_use_t;


typedef struct {
    ngx_str_t                        source;    /* as nginx reads it */
    ngx_str_t                        file;      /* the same, or "data:" */
    ngx_array_t                      names;     /* ngx_str_t: DNS SANs */
    ngx_str_t                        subject;   /* common names, or empty */
    ngx_str_t                        issuer;
    time_t                           not_before;
    time_t                           not_after;
    ngx_uint_t                       faults;    /* CMS_CERTIFICATE_... */
    ngx_array_t                      uses;      /* ..._certificate_use_t */

    cms_certificate_t                read;      /* while it is checked */
} ngx_http_cms_proxy_certificate_t;


/*
 * Looks at every certificate of a server that proxies guest URIs, and says at
 * level warn what browsers will refuse, or with "strict" fails for it.  All
 * locations and servers are merged by now.
 */

ngx_int_t ngx_http_cms_proxy_check_certificates(ngx_conf_t *cf);


#endif /* _NGX_HTTP_CMS_PROXY_CERTIFICATE_H_INCLUDED_ */
