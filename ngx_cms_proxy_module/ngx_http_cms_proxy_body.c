
/*
 * Bodies of a web bridge's responses: its internal names become the guest URI
 * asked for, by cms_rewrite.  Part of ..._filter_module.c, which calls it for
 * each header of a web bridge; it stands behind nginx's gunzip.
 *
 * Nothing is copied that can stay.  Where the text gets shorter it is moved
 * together in the buffer that holds it, short stretches at least; where it
 * gets longer, what has no room goes into small buffers of ours until there is
 * room again or a long stretch follows that can stay.  The buffer that came
 * counts as sent when the last of its pieces is, so that a slow client slows
 * down the web bridge as always.
 */


#include "ngx_http_cms_proxy_module.h"


/* with the link to the next a page */

#define NGX_HTTP_CMS_PROXY_BODY_BUFFER  (4096 - sizeof(void *))


/* a buffer of its own costs about as much as copying this many bytes */

#define NGX_HTTP_CMS_PROXY_BODY_LONG    4096


/* how many of them a worker keeps for the next request: 256 KB */

#define NGX_HTTP_CMS_PROXY_BODY_SPARE   64


typedef struct ngx_http_cms_proxy_block_s  ngx_http_cms_proxy_block_t;

struct ngx_http_cms_proxy_block_s {
    ngx_http_cms_proxy_block_t      *next;
    u_char                           data[NGX_HTTP_CMS_PROXY_BODY_BUFFER];
};


typedef struct {
    cms_rewrite_t                    rewrite;
    ngx_chain_t                     *free;    /* buffers of ours */
    ngx_chain_t                     *parts;   /* the same, without memory */
    ngx_chain_t                     *busy;    /* both, not yet sent */
    ngx_buf_t                       *flush;   /* nothing but that, or NULL */
    ngx_http_cms_proxy_block_t      *blocks;  /* the memory of the buffers */
    ngx_http_cms_proxy_srv_conf_t   *webbridge;
    ngx_http_cms_proxy_hashes_t     *hashes;  /* or NULL */
    unsigned                         replaced:1;
    unsigned                         done:1;
    unsigned                         ended:1; /* last_buf has gone */
} ngx_http_cms_proxy_body_t;


/* one buffer on its way */

typedef struct {
    ngx_http_request_t              *request;
    ngx_http_cms_proxy_body_t       *body;
    ngx_buf_t                       *buf;     /* as it came */
    u_char                          *start;   /* of it, what stays and is */
    u_char                          *end;     /*     not in the chain yet */
    ngx_buf_t                       *own;     /* being filled, or NULL */
    ngx_chain_t                     *out;     /* pieces of it */
    ngx_chain_t                    **last_out;
    unsigned                         writable:1;
    unsigned                         written:1;
} ngx_http_cms_proxy_piece_t;


static void ngx_http_cms_proxy_type(ngx_http_request_t *r, ngx_str_t *name);
static void ngx_http_cms_proxy_pass_events(ngx_http_request_t *r);
static void ngx_http_cms_proxy_stays(ngx_http_request_t *r);
static ngx_uint_t ngx_http_cms_proxy_knows_weak(ngx_http_request_t *r);
static ngx_uint_t ngx_http_cms_proxy_is_encoded(ngx_http_request_t *r,
    ngx_http_cms_proxy_pages_t *pages);
static void ngx_http_cms_proxy_clear_digests(ngx_http_request_t *r);
static ngx_int_t ngx_http_cms_proxy_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static ngx_uint_t ngx_http_cms_proxy_is_whole(ngx_http_request_t *r,
    ngx_buf_t *b);
static ngx_chain_t **ngx_http_cms_proxy_rewrite_buf(ngx_http_request_t *r,
    ngx_http_cms_proxy_body_t *body, ngx_buf_t *b, ngx_chain_t **ll);
static cms_rewrite_piece_t ngx_http_cms_proxy_next_piece(
    ngx_http_cms_proxy_piece_t *w, u_char **in, u_char *end, ngx_uint_t last,
    const u_char **p, size_t *len);
static ngx_int_t ngx_http_cms_proxy_keep(ngx_http_cms_proxy_piece_t *w,
    u_char *p, size_t len, u_char *limit);
static ngx_int_t ngx_http_cms_proxy_put(ngx_http_cms_proxy_piece_t *w,
    u_char *p, size_t len, u_char *limit);
static ngx_int_t ngx_http_cms_proxy_part(ngx_http_cms_proxy_piece_t *w);
static ngx_chain_t **ngx_http_cms_proxy_end_buf(ngx_http_cms_proxy_piece_t *w,
    ngx_chain_t **ll);
static ngx_buf_t *ngx_http_cms_proxy_get_empty(ngx_http_request_t *r,
    ngx_http_cms_proxy_body_t *body, ngx_buf_t *b);
static ngx_chain_t **ngx_http_cms_proxy_add_link(ngx_http_request_t *r,
    ngx_chain_t **ll, ngx_buf_t *b);
static ngx_buf_t *ngx_http_cms_proxy_get_buf(ngx_http_cms_proxy_piece_t *w,
    ngx_uint_t own);
static u_char *ngx_http_cms_proxy_get_block(ngx_http_cms_proxy_piece_t *w);
static void ngx_http_cms_proxy_free_blocks(void *data);
static void ngx_http_cms_proxy_passed_on(ngx_http_request_t *r,
    ngx_http_cms_proxy_body_t *body, ngx_chain_t *out);


static ngx_http_output_body_filter_pt  ngx_http_next_body_filter;


/* memory that was used last is in the caches, and has its pages */

static ngx_http_cms_proxy_block_t  *ngx_http_cms_proxy_spare;
static ngx_uint_t                   ngx_http_cms_proxy_spare_count;


/* they tell what the bytes were: RFC 1864, RFC 3230, RFC 9530 */

static ngx_str_t  ngx_http_cms_proxy_digests[] = {
    ngx_string("content-md5"),
    ngx_string("digest"),
    ngx_string("content-digest"),
    ngx_string("repr-digest"),
    ngx_null_string
};


void
ngx_http_cms_proxy_body_init(void)
{
    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_cms_proxy_body_filter;
}


ngx_uint_t
ngx_http_cms_proxy_rewrites_body(ngx_http_request_t *r,
    ngx_http_cms_proxy_ctx_t *ctx)
{
    ngx_str_t                       type;
    ngx_uint_t                      status;
    ngx_http_cms_proxy_srv_conf_t  *wb;

    wb = ctx->route->webbridge;
    status = r->headers_out.status;

    if (!wb->rewrite_body || wb->rewrite_set->count == 0) {
        return 0;
    }

    /* an error page of nginx comes when the connection is closed */

    if (r->upstream->peer.connection == NULL
#if (NGX_HTTP_CACHE)
        && !r->cached
#endif
       )
    {
        return 0;
    }

    if (status < NGX_HTTP_OK
        || status == NGX_HTTP_NO_CONTENT
        || status == NGX_HTTP_PARTIAL_CONTENT
        || status == NGX_HTTP_NOT_MODIFIED)
    {
        return 0;
    }

    ngx_http_cms_proxy_type(r, &type);

    return ngx_http_cms_proxy_is_rewrite_type(wb, &type);
}


/* the type without its parameters */

static void
ngx_http_cms_proxy_type(ngx_http_request_t *r, ngx_str_t *name)
{
    u_char  *p;

    *name = r->headers_out.content_type;

    p = name->len ? memchr(name->data, ';', name->len) : NULL;

    if (p) {
        name->len = p - name->data;
    }

    while (name->len && (name->data[name->len - 1] == ' '
                         || name->data[name->len - 1] == '\t'))
    {
        name->len--;
    }
}


/* events are for now: as if the web bridge had said "X-Accel-Buffering: no" */

static void
ngx_http_cms_proxy_pass_events(ngx_http_request_t *r)
{
    ngx_str_t  name;

    if (r->headers_out.content_type.len < sizeof("text/event-stream") - 1
        || ngx_tolower(r->headers_out.content_type.data[5]) != 'e'
        || r->upstream->cacheable
        || r->upstream->store)
    {
        return;
    }

    ngx_http_cms_proxy_type(r, &name);

    if (name.len == sizeof("text/event-stream") - 1
        && ngx_strncasecmp(name.data, (u_char *) "text/event-stream", name.len)
           == 0)
    {
        r->upstream->buffering = 0;
    }
}


/* the header of a response: whether its body comes through here, and how */

ngx_int_t
ngx_http_cms_proxy_body_header(ngx_http_request_t *r,
    ngx_http_cms_proxy_ctx_t *ctx)
{
    cms_rewrite_to_t               *to;
    ngx_http_cms_proxy_body_t      *body;
    ngx_http_cms_proxy_srv_conf_t  *wb;

    wb = ctx->route->webbridge;

    ngx_http_cms_proxy_pass_events(r);

    if (!ngx_http_cms_proxy_rewrites_body(r, ctx)) {

        if (wb->rewrite_body && wb->rewrite_set->count) {
            ngx_http_cms_proxy_stays(r);
        }

        return NGX_OK;
    }

    r->gzip_tested = 0;

    if (ngx_http_cms_proxy_is_encoded(r, wb->pages_encoded)) {
        return NGX_OK;
    }

    ngx_http_clear_content_length(r);
    ngx_http_clear_accept_ranges(r);
    ngx_http_weak_etag(r);
    ngx_http_cms_proxy_clear_digests(r);

    if (r->header_only) {
        return NGX_OK;
    }

    to = ngx_http_cms_proxy_rewrite_to(r, ctx);
    if (to == NULL) {
        return NGX_ERROR;
    }

    body = ngx_palloc(r->pool, sizeof(ngx_http_cms_proxy_body_t));
    if (body == NULL) {
        return NGX_ERROR;
    }

    cms_rewrite_begin(&body->rewrite, wb->rewrite_set, to, 0);

    body->free = NULL;
    body->parts = NULL;
    body->busy = NULL;
    body->flush = NULL;
    body->blocks = NULL;
    body->webbridge = wb;
    body->hashes = ngx_http_cms_proxy_hashes(r, wb);
    body->replaced = 0;
    body->done = 0;
    body->ended = 0;

    ngx_http_set_ctx(r, body, ngx_http_cms_proxy_filter_module);

    r->filter_need_in_memory = 1;

    return NGX_OK;
}


/* the header of one that is not rewritten, where others are */

static void
ngx_http_cms_proxy_stays(ngx_http_request_t *r)
{
    if (r->headers_out.status == NGX_HTTP_NOT_MODIFIED) {

        /* the client has it by the ETag that we gave it */

        if (ngx_http_cms_proxy_knows_weak(r)) {
            ngx_http_weak_etag(r);
        }

        return;
    }

    /* no part was asked for inside, so it is taken from the whole */

    if (r->headers_in.range
        && r->headers_out.status == NGX_HTTP_OK
        && r->method == NGX_HTTP_GET
        && !r->allow_ranges)
    {
        ngx_http_clear_accept_ranges(r);
        r->allow_ranges = 1;
        r->single_range = 1;
    }
}


/* whether W/ and our ETag are in If-None-Match */

static ngx_uint_t
ngx_http_cms_proxy_knows_weak(ngx_http_request_t *r)
{
    u_char     *p, *last;
    ngx_str_t  *known, *etag;

    if (r->headers_in.if_none_match == NULL || r->headers_out.etag == NULL) {
        return 0;
    }

    known = &r->headers_in.if_none_match->value;
    etag = &r->headers_out.etag->value;

    last = known->data + known->len;

    for (p = known->data; p + 2 + etag->len <= last; p++) {
        if (p[0] == 'W' && p[1] == '/'
            && ngx_memcmp(p + 2, etag->data, etag->len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


/* in a coding that nothing here opens */

static ngx_uint_t
ngx_http_cms_proxy_is_encoded(ngx_http_request_t *r,
    ngx_http_cms_proxy_pages_t *pages)
{
    ngx_str_t  *coding;

    if (r->headers_out.content_encoding == NULL) {
        return 0;
    }

    coding = &r->headers_out.content_encoding->value;

    if (coding->len == 0
        || (coding->len == sizeof("identity") - 1
            && ngx_strncasecmp(coding->data, (u_char *) "identity",
                               sizeof("identity") - 1)
               == 0))
    {
        return 0;
    }

    if (ngx_http_cms_proxy_to_look_at(r, pages)) {
        ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                      "names in the body of \"%V\" are not rewritten: the web "
                      "bridge sent it with the Content-Encoding \"%V\", "
                      "though it was not asked for", &r->uri, coding);

        ngx_http_cms_proxy_line_said(pages);
    }

    return 1;
}


static void
ngx_http_cms_proxy_clear_digests(ngx_http_request_t *r)
{
    ngx_str_t        *name;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    part = &r->headers_out.headers.part;
    i = 0;

    while ((h = ngx_http_cms_proxy_next_header(&part, &i, NULL))) {
        for (name = ngx_http_cms_proxy_digests; name->len; name++) {
            if (h->key.len && ngx_http_cms_proxy_is_header(h, name)) {
                h->hash = 0;
            }
        }
    }
}


static ngx_int_t
ngx_http_cms_proxy_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_int_t                   rc;
    ngx_uint_t                  whole;
    ngx_chain_t                *out, **ll;
    ngx_http_cms_proxy_body_t  *body;

    body = ngx_http_get_module_ctx(r, ngx_http_cms_proxy_filter_module);

    if (body == NULL) {
        return ngx_http_next_body_filter(r, in);
    }

    if (body->ended && in && in->buf->last_buf) {
        return r->connection->buffered ? NGX_AGAIN : NGX_OK;
    }

    out = NULL;
    ll = &out;
    whole = 0;

    for ( /* void */ ; in; in = in->next) {

        if (in->next == NULL && ngx_http_cms_proxy_is_whole(r, in->buf)) {
            in->buf->last_buf = 1;
            whole = 1;
        }

        ll = ngx_http_cms_proxy_rewrite_buf(r, body, in->buf, ll);
        if (ll == NULL) {
            return NGX_ERROR;
        }
    }

    *ll = NULL;

    rc = ngx_http_next_body_filter(r, out);

    ngx_http_cms_proxy_passed_on(r, body, out);

    /* not before: what a filter adds to the body ends with a buffer as well */

    body->ended |= whole;

    return rc;
}


/*
 * Whether this buffer is the last of a response that has come whole.  The end
 * of the body then goes with it: where its length is not known beforehand, the
 * last chunk would be a packet of its own.
 */

static ngx_uint_t
ngx_http_cms_proxy_is_whole(ngx_http_request_t *r, ngx_buf_t *b)
{
    ngx_chain_t          *cl;
    ngx_event_pipe_t     *p;
    ngx_http_upstream_t  *u;

    u = r->upstream;
    p = u->pipe;

    if (p == NULL
        || !u->buffering
        || !p->upstream_done
        || p->upstream_error
        || b->tag != p->tag
        || r != r->main
        || u->headers_in.chunked    /* trailers may follow */
        || u->headers_in.trailers.part.nelts)
    {
        return 0;
    }

    /* where gunzip or a temporary file is between, it is another buffer */

    for (cl = p->in; cl && cl->next; cl = cl->next) { /* void */ }

    return cl && cl->buf == b;
}


/* appends what becomes of one buffer, returns where to go on, NULL: error */

static ngx_chain_t **
ngx_http_cms_proxy_rewrite_buf(ngx_http_request_t *r,
    ngx_http_cms_proxy_body_t *body, ngx_buf_t *b, ngx_chain_t **ll)
{
    u_char                      *in, *end;
    size_t                       len;
    ngx_int_t                    rc;
    ngx_uint_t                   last;
    const u_char                *p;
    cms_rewrite_piece_t          piece;
    ngx_http_cms_proxy_piece_t   w;

    last = b->last_buf || (b->last_in_chain && r != r->main);

    if (body->done || (!last && !ngx_buf_in_memory(b))) {
        return ngx_http_cms_proxy_add_link(r, ll, b);
    }

    body->done = last;

    if (body->hashes && b->pos != b->last) {
        ngx_http_cms_proxy_find_hashes(body->hashes, b->pos, b->last);
    }

    w.request = r;
    w.body = body;
    w.buf = b;
    w.start = b->pos;
    w.end = b->pos;
    w.own = NULL;
    w.out = NULL;
    w.last_out = &w.out;
    w.writable = b->temporary;
    w.written = 0;

    /* one that only ends the body may have no memory at all */

    in = ngx_buf_in_memory(b) ? b->pos : (u_char *) "";
    end = ngx_buf_in_memory(b) ? b->last : in;

    for ( ;; ) {
        piece = ngx_http_cms_proxy_next_piece(&w, &in, end, last, &p, &len);

        if (piece == CMS_REWRITE_MORE) {
            break;
        }

        body->replaced |= (piece == CMS_REWRITE_PUT);

        rc = (piece == CMS_REWRITE_KEEP)
             ? ngx_http_cms_proxy_keep(&w, (u_char *) p, len, in)
             : ngx_http_cms_proxy_put(&w, (u_char *) p, len, in);

        if (rc != NGX_OK) {
            return NULL;
        }
    }

    if (last && body->hashes) {
        ngx_http_cms_proxy_report_hashes(r, body->webbridge, body->hashes,
                                         body->replaced);
    }

    return ngx_http_cms_proxy_end_buf(&w, ll);
}


/* what fits is written at once, where there is a first replacement already */

static cms_rewrite_piece_t
ngx_http_cms_proxy_next_piece(ngx_http_cms_proxy_piece_t *w, u_char **in,
    u_char *end, ngx_uint_t last, const u_char **p, size_t *len)
{
    u_char               *was;
    cms_rewrite_t        *rewrite;
    cms_rewrite_piece_t   piece;

    rewrite = &w->body->rewrite;

    if (!w->writable || !w->body->replaced || w->own) {
        return cms_rewrite_next(rewrite, (const u_char **) in, end, last, p,
                                len);
    }

    was = w->end;

    piece = cms_rewrite_move(rewrite, (const u_char **) in, end, last, &w->end,
                             NGX_HTTP_CMS_PROXY_BODY_LONG, p, len);

    w->written |= (w->end != was);

    return piece;
}


/* limit: up to there the buffer may be written */

static ngx_int_t
ngx_http_cms_proxy_keep(ngx_http_cms_proxy_piece_t *w, u_char *p, size_t len,
    u_char *limit)
{
    if (p == w->end && w->own == NULL) {
        w->end += len;
        return NGX_OK;
    }

    if (len < NGX_HTTP_CMS_PROXY_BODY_LONG) {
        return ngx_http_cms_proxy_put(w, p, len, limit);
    }

    /* so long, it is not of what was held back */

    if (ngx_http_cms_proxy_part(w) != NGX_OK) {
        return NGX_ERROR;
    }

    w->own = NULL;
    w->start = p;
    w->end = p + len;

    return NGX_OK;
}


/*
 * Where there is no room, a buffer of ours takes what follows until it is
 * full: what was read meanwhile leaves room again, for about as much.
 */

static ngx_int_t
ngx_http_cms_proxy_put(ngx_http_cms_proxy_piece_t *w, u_char *p, size_t len,
    u_char *limit)
{
    size_t      n;
    ngx_buf_t  *b;

    while (len) {
        b = w->own;

        if (b == NULL) {

            if (w->writable && (size_t) (limit - w->end) >= len) {
                ngx_memmove(w->end, p, len);
                w->end += len;
                w->written = 1;

                return NGX_OK;
            }

            if (ngx_http_cms_proxy_part(w) != NGX_OK) {
                return NGX_ERROR;
            }

            b = ngx_http_cms_proxy_get_buf(w, 1);
            if (b == NULL) {
                return NGX_ERROR;
            }

            w->own = b;
        }

        n = ngx_min(len, (size_t) (b->end - b->last));

        b->last = ngx_cpymem(b->last, p, n);
        p += n;
        len -= n;

        if (b->last == b->end) {
            w->own = NULL;
        }
    }

    return NGX_OK;
}


/* what stays of the buffer, as a piece of the chain */

static ngx_int_t
ngx_http_cms_proxy_part(ngx_http_cms_proxy_piece_t *w)
{
    ngx_buf_t  *b;

    if (w->start == w->end) {
        return NGX_OK;
    }

    b = ngx_http_cms_proxy_get_buf(w, 0);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->pos = w->start;
    b->last = w->end;
    b->temporary = w->buf->temporary;
    b->memory = !w->buf->temporary;

    w->start = w->end;

    return NGX_OK;
}


static ngx_chain_t **
ngx_http_cms_proxy_end_buf(ngx_http_cms_proxy_piece_t *w, ngx_chain_t **ll)
{
    ngx_buf_t           *b, *last;
    ngx_chain_t         *cl;
    ngx_http_request_t  *r;

    b = w->buf;
    r = w->request;

    if (!ngx_buf_in_memory(b)) {

        /* it ends the body, and may follow what was held back */

        *ll = w->out;
        ll = w->out ? w->last_out : ll;

        return ngx_http_cms_proxy_add_link(r, ll, b);
    }

    if (w->out == NULL && w->start != w->end
        && (!b->in_file
            || (!w->written && w->start == b->pos && w->end == b->last)))
    {
        b->pos = w->start;
        b->last = w->end;

        return ngx_http_cms_proxy_add_link(r, ll, b);
    }

    if (w->own == NULL && ngx_http_cms_proxy_part(w) != NGX_OK) {
        return NULL;
    }

    if (w->out == NULL) {
        b->pos = b->last;

        if (!b->flush && !b->last_buf && !b->last_in_chain && !b->sync) {
            return ll;
        }

        last = ngx_http_cms_proxy_get_empty(r, w->body, b);
        if (last == NULL) {
            return NULL;
        }

        return ngx_http_cms_proxy_add_link(r, ll, last);
    }

    for (cl = w->out; cl->next; cl = cl->next) { /* void */ }

    last = cl->buf;
    last->shadow = b;
    last->flush = b->flush;
    last->sync = b->sync;
    last->recycled = b->recycled;
    last->last_buf = b->last_buf;
    last->last_in_chain = b->last_in_chain;

    *ll = w->out;

    return w->last_out;
}


/*
 * A buffer with no memory, which tells of nothing but the flags of b.  One for
 * all flushes: they may come without end, and each may still be on its way,
 * but nothing in it ever changes.
 */

static ngx_buf_t *
ngx_http_cms_proxy_get_empty(ngx_http_request_t *r,
    ngx_http_cms_proxy_body_t *body, ngx_buf_t *b)
{
    ngx_buf_t   *empty;
    ngx_uint_t   flush;

    flush = b->flush && !b->last_buf && !b->last_in_chain;

    if (flush && body->flush) {
        return body->flush;
    }

    empty = ngx_calloc_buf(r->pool);
    if (empty == NULL) {
        return NULL;
    }

    empty->sync = 1;
    empty->flush = b->flush;
    empty->last_buf = b->last_buf;
    empty->last_in_chain = b->last_in_chain;

    if (flush) {
        body->flush = empty;
    }

    return empty;
}


static ngx_chain_t **
ngx_http_cms_proxy_add_link(ngx_http_request_t *r, ngx_chain_t **ll,
    ngx_buf_t *b)
{
    ngx_chain_t  *cl;

    cl = ngx_alloc_chain_link(r->pool);
    if (cl == NULL) {
        return NULL;
    }

    cl->buf = b;
    cl->next = NULL;

    *ll = cl;

    return &cl->next;
}


/* appends a buffer to the pieces; own: one with memory of ours */

static ngx_buf_t *
ngx_http_cms_proxy_get_buf(ngx_http_cms_proxy_piece_t *w, ngx_uint_t own)
{
    u_char        *start;
    ngx_buf_t     *b;
    ngx_chain_t   *cl, **free;
    ngx_pool_t    *pool;

    pool = w->request->pool;
    free = own ? &w->body->free : &w->body->parts;
    cl = *free;

    if (cl) {
        *free = cl->next;
        b = cl->buf;
        start = b->start;

    } else {
        cl = ngx_alloc_chain_link(pool);
        b = ngx_alloc_buf(pool);

        if (cl == NULL || b == NULL) {
            return NULL;
        }

        start = NULL;

        if (own) {
            start = ngx_http_cms_proxy_get_block(w);
            if (start == NULL) {
                return NULL;
            }
        }
    }

    ngx_memzero(b, sizeof(ngx_buf_t));

    b->start = start;
    b->pos = start;
    b->last = start;
    b->end = start ? start + NGX_HTTP_CMS_PROXY_BODY_BUFFER : NULL;
    b->tag = (ngx_buf_tag_t) &ngx_http_cms_proxy_filter_module;
    b->temporary = 1;

    cl->buf = b;
    cl->next = NULL;

    *w->last_out = cl;
    w->last_out = &cl->next;

    return b;
}


static u_char *
ngx_http_cms_proxy_get_block(ngx_http_cms_proxy_piece_t *w)
{
    ngx_pool_cleanup_t          *cln;
    ngx_http_cms_proxy_block_t  *block;

    if (w->body->blocks == NULL) {
        cln = ngx_pool_cleanup_add(w->request->pool, 0);
        if (cln == NULL) {
            return NULL;
        }

        cln->handler = ngx_http_cms_proxy_free_blocks;
        cln->data = w->body;
    }

    block = ngx_http_cms_proxy_spare;

    if (block) {
        ngx_http_cms_proxy_spare = block->next;
        ngx_http_cms_proxy_spare_count--;

    } else {
        block = ngx_alloc(sizeof(ngx_http_cms_proxy_block_t),
                          w->request->connection->log);
        if (block == NULL) {
            return NULL;
        }
    }

    block->next = w->body->blocks;
    w->body->blocks = block;

    return block->data;
}


static void
ngx_http_cms_proxy_free_blocks(void *data)
{
    ngx_http_cms_proxy_body_t   *body = data;
    ngx_http_cms_proxy_block_t  *block;

    while (body->blocks) {
        block = body->blocks;
        body->blocks = block->next;

        if (ngx_http_cms_proxy_spare_count < NGX_HTTP_CMS_PROXY_BODY_SPARE) {
            block->next = ngx_http_cms_proxy_spare;
            ngx_http_cms_proxy_spare = block;
            ngx_http_cms_proxy_spare_count++;

        } else {
            ngx_free(block);
        }
    }
}


/* what was passed on: links of others go, our buffers wait until sent */

static void
ngx_http_cms_proxy_passed_on(ngx_http_request_t *r,
    ngx_http_cms_proxy_body_t *body, ngx_chain_t *out)
{
    ngx_buf_t     *b;
    ngx_chain_t   *cl, **ll;

    for (ll = &body->busy; *ll; ll = &(*ll)->next) { /* void */ }

    while (out) {
        cl = out;
        out = cl->next;

        if (cl->buf->tag
            == (ngx_buf_tag_t) &ngx_http_cms_proxy_filter_module)
        {
            cl->next = NULL;
            *ll = cl;
            ll = &cl->next;

        } else {
            ngx_free_chain(r->pool, cl);
        }
    }

    while (body->busy) {
        cl = body->busy;
        b = cl->buf;

        if (ngx_buf_size(b) != 0) {
            break;
        }

        if (b->shadow) {
            b->shadow->pos = b->shadow->last;
        }

        body->busy = cl->next;

        if (b->start) {
            cl->next = body->free;
            body->free = cl;

        } else {
            cl->next = body->parts;
            body->parts = cl;
        }
    }
}
