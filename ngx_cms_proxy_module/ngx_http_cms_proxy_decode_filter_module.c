
/*
 * Runs before nginx's gunzip, and lets it open what is to be rewritten: it
 * would leave a body gzip'd for a client that takes gzip.  Behind it, "gzip
 * on" may pack the body again.
 */


#include "ngx_http_cms_proxy_module.h"


static ngx_int_t ngx_http_cms_proxy_decode_header_filter(
    ngx_http_request_t *r);
static ngx_int_t ngx_http_cms_proxy_decode_init(ngx_conf_t *cf);


static ngx_http_module_t  ngx_http_cms_proxy_decode_filter_module_ctx = {
    NULL,                                  /* preconfiguration */
    ngx_http_cms_proxy_decode_init,        /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_cms_proxy_decode_filter_module = {
    NGX_MODULE_V1,
    &ngx_http_cms_proxy_decode_filter_module_ctx, /* module context */
    NULL,                                  /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;


static ngx_int_t
ngx_http_cms_proxy_decode_header_filter(ngx_http_request_t *r)
{
    ngx_http_cms_proxy_ctx_t  *ctx;

    if (r->headers_out.content_encoding == NULL || r->upstream == NULL) {
        return ngx_http_next_header_filter(r);
    }

    ctx = ngx_http_cms_proxy_verdict(r);

    if (ctx && ngx_http_cms_proxy_rewrites_body(r, ctx)) {
        r->gzip_tested = 1;
        r->gzip_ok = 0;
    }

    return ngx_http_next_header_filter(r);
}


static ngx_int_t
ngx_http_cms_proxy_decode_init(ngx_conf_t *cf)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_cms_proxy_decode_header_filter;

    return NGX_OK;
}
