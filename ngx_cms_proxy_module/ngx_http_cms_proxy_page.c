
/*
 * The few pages that guests get from the edge itself.  They say what a guest
 * can do, and name nothing inside.
 */


#include "ngx_http_cms_proxy_module.h"


static char  ngx_http_cms_proxy_page_text[] =
"<!DOCTYPE html>" CRLF
"<html lang=\"en\"><head><meta charset=\"utf-8\">" CRLF
"<meta name=\"viewport\" content=\"width=device-width\">" CRLF
"<title>%s</title></head>" CRLF
"<body style=\"font:16px sans-serif;max-width:30em;margin:15vh auto;"
"padding:0 1em\">" CRLF
"<h1>%s</h1><p>%s</p></body></html>" CRLF;


static ngx_str_t  ngx_http_cms_proxy_page_type = ngx_string("text/html");


/* whether the administrator has an error_page of their own for it */

ngx_uint_t
ngx_http_cms_proxy_has_page(ngx_http_request_t *r, ngx_uint_t status)
{
    ngx_uint_t                 i;
    ngx_http_err_page_t       *page;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (clcf->error_pages == NULL) {
        return 0;
    }

    page = clcf->error_pages->elts;

    for (i = 0; i < clcf->error_pages->nelts; i++) {
        if ((ngx_uint_t) page[i].status == status) {
            return 1;
        }
    }

    return 0;
}


/* the page; its type and length are set in headers_out */

ngx_buf_t *
ngx_http_cms_proxy_page(ngx_http_request_t *r, char *title, char *text)
{
    ngx_buf_t  *b;

    b = ngx_create_temp_buf(r->pool, sizeof(ngx_http_cms_proxy_page_text)
                                     + 2 * ngx_strlen(title)
                                     + ngx_strlen(text));
    if (b == NULL) {
        return NULL;
    }

    b->last = ngx_sprintf(b->last, ngx_http_cms_proxy_page_text, title, title,
                          text);
    b->last_buf = (r == r->main) ? 1 : 0;
    b->last_in_chain = 1;

    r->headers_out.content_type = ngx_http_cms_proxy_page_type;
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;
    r->headers_out.content_length_n = b->last - b->pos;

    return b;
}


/* sends the header as it stands in headers_out, and the buffer as the body */

ngx_int_t
ngx_http_cms_proxy_send(ngx_http_request_t *r, ngx_buf_t *b)
{
    ngx_int_t    rc;
    ngx_chain_t  out;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


/* the name must be a constant string, the value must live with the request */

ngx_int_t
ngx_http_cms_proxy_add_header(ngx_http_request_t *r, char *name,
    ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
#if (nginx_version >= 1023000)
    h->next = NULL;
#endif
    h->key.data = (u_char *) name;
    h->key.len = ngx_strlen(name);
    h->value = *value;

    return NGX_OK;
}
