
/*
 * Pages that tell browsers the hashes of scripts and styles: as integrity=
 * (W3C Subresource Integrity) or in a Content-Security-Policy, header or meta.
 * Where a name is replaced in what was hashed, browsers refuse it, and only
 * their console says so; thus the log does.  Called by the body filter.
 */


#include "ngx_http_cms_proxy_module.h"


struct ngx_http_cms_proxy_hashes_s {
    u_char                           tail[sizeof("='sha256-") - 1];
    size_t                           len;
    unsigned                         integrity:1;
    unsigned                         policy:1;
};


static ngx_uint_t ngx_http_cms_proxy_has_policy(ngx_http_request_t *r);
static void ngx_http_cms_proxy_find_in(ngx_http_cms_proxy_hashes_t *h,
    u_char *p, u_char *last);
static ngx_uint_t ngx_http_cms_proxy_is_hash(u_char *p, u_char *last);


ngx_http_cms_proxy_hashes_t *
ngx_http_cms_proxy_hashes(ngx_http_request_t *r,
    ngx_http_cms_proxy_srv_conf_t *wb)
{
    ngx_str_t                    *type;
    ngx_http_cms_proxy_hashes_t  *h;

    type = &r->headers_out.content_type;

    if (type->len < sizeof("text/html") - 1
        || (ngx_strncasecmp(type->data, (u_char *) "text/html",
                            sizeof("text/html") - 1)
            != 0
            && ngx_strncasecmp(type->data, (u_char *) "application/xhtml",
                               ngx_min(type->len,
                                       sizeof("application/xhtml") - 1))
               != 0))
    {
        return NULL;
    }

    if (!ngx_http_cms_proxy_to_look_at(r, wb->pages_hashed)) {
        return NULL;
    }

    h = ngx_pcalloc(r->pool, sizeof(ngx_http_cms_proxy_hashes_t));

    if (h) {
        h->policy = ngx_http_cms_proxy_has_policy(r);
    }

    return h;
}


static ngx_uint_t
ngx_http_cms_proxy_has_policy(ngx_http_request_t *r)
{
    ngx_uint_t                    i;
    ngx_list_part_t              *part;
    ngx_table_elt_t              *field;
    ngx_http_cms_proxy_hashes_t   h;

    static ngx_str_t  name = ngx_string("content-security-policy");

    part = &r->headers_out.headers.part;
    i = 0;
    h.policy = 0;

    while ((field = ngx_http_cms_proxy_next_header(&part, &i, &name))) {
        ngx_http_cms_proxy_find_in(&h, field->value.data,
                                   field->value.data + field->value.len);
    }

    return h.policy;
}


/* the next bytes of the page, before names are replaced in them */

void
ngx_http_cms_proxy_find_hashes(ngx_http_cms_proxy_hashes_t *h, u_char *p,
    u_char *last)
{
    size_t  n;
    u_char  window[2 * sizeof(h->tail)];

    n = ngx_min((size_t) (last - p), sizeof(h->tail));

    ngx_memcpy(window, h->tail, h->len);
    ngx_memcpy(window + h->len, p, n);

    ngx_http_cms_proxy_find_in(h, window, window + h->len + n);
    ngx_http_cms_proxy_find_in(h, p, last);

    /* the last bytes of all so far */

    if ((size_t) (last - p) < sizeof(h->tail)) {
        n += h->len;
        h->len = ngx_min(n, sizeof(h->tail));
        ngx_memcpy(h->tail, window + n - h->len, h->len);

    } else {
        h->len = sizeof(h->tail);
        ngx_memcpy(h->tail, last - h->len, h->len);
    }
}


static void
ngx_http_cms_proxy_find_in(ngx_http_cms_proxy_hashes_t *h, u_char *p,
    u_char *last)
{
    u_char  *start;

    for (start = p; p < last; p++) {

        p = memmem(p, last - p, "sha", 3);
        if (p == NULL) {
            return;
        }

        if (!ngx_http_cms_proxy_is_hash(p, last)) {
            continue;
        }

        /* 'sha256-...' in a list, and not integrity='sha256-...' */

        if (p > start && p[-1] == '\'' && (p - 1 == start || p[-2] != '=')) {
            h->policy = 1;

        } else {
            h->integrity = 1;
        }
    }
}


static ngx_uint_t
ngx_http_cms_proxy_is_hash(u_char *p, u_char *last)
{
    return last - p >= (ssize_t) sizeof("sha256-") - 1
           && p[6] == '-'
           && (ngx_memcmp(p + 3, "256", 3) == 0
               || ngx_memcmp(p + 3, "384", 3) == 0
               || ngx_memcmp(p + 3, "512", 3) == 0);
}


/* the page is at its end */

void
ngx_http_cms_proxy_report_hashes(ngx_http_request_t *r,
    ngx_http_cms_proxy_srv_conf_t *wb, ngx_http_cms_proxy_hashes_t *h,
    ngx_uint_t replaced)
{
    if (h->integrity) {
        ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                      "the page \"%V\" has hashes of scripts or styles "
                      "(integrity=): browsers refuse those of them in which "
                      "names are replaced; name no such types in "
                      "rewrite_types of cms_webbridge \"%V\", or let the web "
                      "bridge send no hashes", &r->uri, &wb->name);

    } else if (h->policy && replaced) {
        ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                      "names are replaced in the page \"%V\", of whose "
                      "scripts or styles a Content-Security-Policy has hashes: "
                      "browsers refuse what has changed; let the web bridge "
                      "\"%V\" send no hashes", &r->uri, &wb->name);

    } else {
        return;
    }

    ngx_http_cms_proxy_line_said(wb->pages_hashed);
}
