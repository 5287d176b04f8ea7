
/*
 * What the log has to say of a page it says once, not for each request, and
 * not of all pages.  Called where bodies are rewritten: by ..._hashes.c and
 * ..._body.c, each with pages of its own.
 */


#include "ngx_http_cms_proxy_module.h"


/* a page is looked at once an hour, and a log is not a list of all pages */

#define NGX_HTTP_CMS_PROXY_ONCE_AGAIN  3600
#define NGX_HTTP_CMS_PROXY_ONCE_PAGES  64
#define NGX_HTTP_CMS_PROXY_ONCE_LINES  10


typedef struct {
    uint32_t                         hash;       /* of the URI */
    time_t                           looked;
} ngx_http_cms_proxy_looked_t;


/* of one web bridge in one worker; the pages by hash, the last one stays */

struct ngx_http_cms_proxy_pages_s {
    ngx_http_cms_proxy_looked_t      page[NGX_HTTP_CMS_PROXY_ONCE_PAGES];
    time_t                           since;
    ngx_uint_t                       lines;
};


ngx_http_cms_proxy_pages_t *
ngx_http_cms_proxy_create_pages(ngx_pool_t *pool)
{
    return ngx_pcalloc(pool, sizeof(ngx_http_cms_proxy_pages_t));
}


ngx_uint_t
ngx_http_cms_proxy_to_look_at(ngx_http_request_t *r,
    ngx_http_cms_proxy_pages_t *pages)
{
    time_t                        now;
    uint32_t                      hash;
    ngx_http_cms_proxy_looked_t  *page;

    now = ngx_time();

    if (now - pages->since >= NGX_HTTP_CMS_PROXY_ONCE_AGAIN) {
        pages->since = now;
        pages->lines = 0;
    }

    if (pages->lines == NGX_HTTP_CMS_PROXY_ONCE_LINES) {
        return 0;
    }

    hash = ngx_murmur_hash2(r->uri.data, r->uri.len);
    page = &pages->page[hash % NGX_HTTP_CMS_PROXY_ONCE_PAGES];

    if (page->hash == hash
        && now - page->looked < NGX_HTTP_CMS_PROXY_ONCE_AGAIN)
    {
        return 0;
    }

    page->hash = hash;
    page->looked = now;

    return 1;
}


void
ngx_http_cms_proxy_line_said(ngx_http_cms_proxy_pages_t *pages)
{
    pages->lines++;
}
