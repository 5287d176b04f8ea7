
/*
 * A WebSocket of a web bridge with "rewrite_websocket on": from its 101 on
 * nginx hands its bytes from one connection to the other, and reads them by
 * recv() of either.  Here that recv() is taken over, and gives the bytes with
 * the text messages rewritten.  The header filter begins it.
 *
 * What is given may be more than nginx has room for.  Then nothing more is
 * read, "ready" is kept, so that nginx comes back, and an end is kept secret.
 */


#include "ngx_http_cms_proxy_module.h"

#include "cms_frames.h"


/* read at once at most */

#define NGX_HTTP_CMS_PROXY_READ  32768


typedef struct {
    ngx_recv_pt                      recv;     /* the connection's own */
    cms_frames_t                     frames;

    u_char                          *input;    /* read and not taken; malloc */
    u_char                          *pos;
    u_char                          *last;

    const u_char                    *piece;    /* rewritten and not given */
    size_t                           piece_len;

    ssize_t                          end;      /* 0 or NGX_ERROR */
    u_char                           logged;   /* of frames.notes */
    unsigned                         keep:1;   /* the piece is of the input */
    unsigned                         ended:1;
} ngx_http_cms_proxy_side_t;


struct ngx_http_cms_proxy_frames_s {
    ngx_connection_t                *client;
    ngx_http_cms_proxy_side_t        from_guest;
    ngx_http_cms_proxy_side_t        to_guest;
};


static ngx_int_t ngx_http_cms_proxy_take_over(ngx_connection_t *c,
    ngx_http_cms_proxy_side_t *side, ngx_recv_pt recv, ngx_buf_t *b);
static ssize_t ngx_http_cms_proxy_recv_guest(ngx_connection_t *c,
    u_char *buf, size_t size);
static ssize_t ngx_http_cms_proxy_recv_target(ngx_connection_t *c,
    u_char *buf, size_t size);
static ssize_t ngx_http_cms_proxy_recv_frames(ngx_connection_t *c,
    ngx_http_cms_proxy_side_t *side, u_char *buf, size_t size);
static ssize_t ngx_http_cms_proxy_give(ngx_http_cms_proxy_side_t *side,
    u_char *buf, size_t size, u_char *input, u_char *end);
static ngx_int_t ngx_http_cms_proxy_put_by(ngx_http_cms_proxy_side_t *side,
    const u_char *in, const u_char *end);
static void ngx_http_cms_proxy_forget(ngx_http_cms_proxy_side_t *side);
static void ngx_http_cms_proxy_log_frames(ngx_connection_t *c,
    ngx_http_cms_proxy_side_t *side);
static void ngx_http_cms_proxy_frames_cleanup(void *data);


/* of this process, for use within one call */

static cms_frames_work_t  ngx_http_cms_proxy_frames_work;
static u_char             ngx_http_cms_proxy_input[NGX_HTTP_CMS_PROXY_READ];


/* the 101 is about to be sent */

ngx_int_t
ngx_http_cms_proxy_rewrite_frames(ngx_http_request_t *r,
    ngx_http_cms_proxy_ctx_t *ctx)
{
    cms_rewrite_to_t               *to;
    ngx_pool_cleanup_t             *cln;
    ngx_http_upstream_t            *u;
    ngx_http_cms_proxy_frames_t    *frames;
    ngx_http_cms_proxy_srv_conf_t  *wb;

    wb = ctx->route->webbridge;
    u = r->upstream;

    if (!wb->rewrite_websocket
        || wb->rewrite_set->count + wb->rewrite_back->count == 0)
    {
        return NGX_OK;
    }

    to = ngx_http_cms_proxy_rewrite_to(r, ctx);
    if (to == NULL) {
        return NGX_ERROR;
    }

    cln = ngx_pool_cleanup_add(r->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    frames = ngx_calloc(sizeof(ngx_http_cms_proxy_frames_t),
                        r->connection->log);
    if (frames == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_cms_proxy_frames_cleanup;
    cln->data = frames;

    frames->client = r->connection;
    ctx->frames = frames;

    cms_frames_begin(&frames->from_guest.frames, wb->rewrite_back, NULL,
                     ctx->asked_port);
    cms_frames_begin(&frames->to_guest.frames, wb->rewrite_set, to, 0);

    if (ngx_http_cms_proxy_take_over(r->connection, &frames->from_guest,
                                     ngx_http_cms_proxy_recv_guest,
                                     r->header_in)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_cms_proxy_take_over(u->peer.connection, &frames->to_guest,
                                        ngx_http_cms_proxy_recv_target,
                                        &u->buffer);
}


/* with what was read behind the request or the response */

static ngx_int_t
ngx_http_cms_proxy_take_over(ngx_connection_t *c,
    ngx_http_cms_proxy_side_t *side, ngx_recv_pt recv, ngx_buf_t *b)
{
    if (b->pos != b->last) {

        if (ngx_http_cms_proxy_put_by(side, b->pos, b->last) != NGX_OK) {
            return NGX_ERROR;
        }

        b->last = b->pos;
        c->read->ready = 1;
    }

    side->recv = c->recv;
    c->recv = recv;

    return NGX_OK;
}


static ssize_t
ngx_http_cms_proxy_recv_guest(ngx_connection_t *c, u_char *buf, size_t size)
{
    ngx_http_request_t        *r;
    ngx_http_cms_proxy_ctx_t  *ctx;

    r = ((ngx_http_request_t *) c->data)->main;
    ctx = ngx_http_get_module_ctx(r, ngx_http_cms_proxy_module);

    /* what a guest says when the WebSocket has ended is only thrown away */

    if (r->upstream == NULL || r->upstream->peer.connection == NULL) {
        return ctx->frames->from_guest.recv(c, buf, size);
    }

    return ngx_http_cms_proxy_recv_frames(c, &ctx->frames->from_guest, buf,
                                          size);
}


static ssize_t
ngx_http_cms_proxy_recv_target(ngx_connection_t *c, u_char *buf, size_t size)
{
    ngx_http_request_t        *r;
    ngx_http_cms_proxy_ctx_t  *ctx;

    r = ((ngx_http_request_t *) c->data)->main;
    ctx = ngx_http_get_module_ctx(r, ngx_http_cms_proxy_module);

    return ngx_http_cms_proxy_recv_frames(c, &ctx->frames->to_guest, buf,
                                          size);
}


static ssize_t
ngx_http_cms_proxy_recv_frames(ngx_connection_t *c,
    ngx_http_cms_proxy_side_t *side, u_char *buf, size_t size)
{
    u_char      *in, *end;
    ssize_t      n;
    ngx_uint_t   more;

    for ( ;; ) {
        more = side->piece_len || side->input || side->ended;

        if (more) {
            in = side->pos;
            end = side->last;

        } else {
            n = side->recv(c, buf, ngx_min(size, NGX_HTTP_CMS_PROXY_READ));

            if (n == NGX_AGAIN) {
                return NGX_AGAIN;
            }

            if (n <= 0) {
                side->ended = 1;
                side->end = n;
                n = 0;
            }

            in = buf;
            end = buf + n;
        }

        n = ngx_http_cms_proxy_give(side, buf, size, in, end);

        if (side->frames.notes != side->logged) {
            ngx_http_cms_proxy_log_frames(c, side);
        }

        if (n == NGX_ERROR) {
            break;
        }

        if (n > 0) {

            if (more || side->piece_len || side->ended) {
                c->read->ready = 1;
                c->read->eof = 0;
                c->read->error = 0;
            }

            return n;
        }

        if (side->ended) {
            n = side->end;
            break;
        }

        /* all of it is held, as the beginning of something */

        if (!more && !c->read->ready) {
            return NGX_AGAIN;
        }
    }

    c->read->ready = 0;
    c->read->eof = 1;

    if (n == NGX_ERROR) {
        c->read->error = 1;
    }

    return n;
}


/*
 * Gives what becomes of the input, which may lie in buf, as far as there is
 * room.
 */

static ssize_t
ngx_http_cms_proxy_give(ngx_http_cms_proxy_side_t *side, u_char *buf,
    size_t size, u_char *input, u_char *end)
{
    size_t               out, len;
    const u_char        *in;
    cms_frames_piece_t   piece;

    in = input;
    out = 0;

    for ( ;; ) {

        if (side->piece_len == 0) {
            piece = cms_frames_next(&side->frames,
                                    &ngx_http_cms_proxy_frames_work,
                                    &in, end, side->ended,
                                    &side->piece, &side->piece_len);

            if (piece == CMS_FRAMES_ERROR) {
                return NGX_ERROR;
            }

            if (piece == CMS_FRAMES_MORE) {
                side->piece_len = 0;
                ngx_http_cms_proxy_forget(side);

                return out;
            }

            side->keep = (piece == CMS_FRAMES_KEEP);
        }

        if (input == buf && side->piece != buf + out) {

            /* from here on the output is not where the input was */

            len = end - in;
            ngx_memcpy(ngx_http_cms_proxy_input, in, len);

            input = ngx_http_cms_proxy_input;
            in = input;
            end = input + len;
        }

        if (out == size) {
            break;
        }

        len = ngx_min(side->piece_len, size - out);

        if (side->piece != buf + out) {
            ngx_memmove(buf + out, side->piece, len);
        }

        side->piece += len;
        side->piece_len -= len;
        out += len;
    }

    if (side->input) {
        side->pos = (u_char *) in;
        return out;
    }

    /* what is kept of the input ends where the rest of it begins */

    return ngx_http_cms_proxy_put_by(side, in, end) == NGX_OK
           ? (ssize_t) out : NGX_ERROR;
}


static ngx_int_t
ngx_http_cms_proxy_put_by(ngx_http_cms_proxy_side_t *side, const u_char *in,
    const u_char *end)
{
    size_t  kept;

    kept = side->keep ? side->piece_len : 0;

    if (kept == 0 && in == end) {
        side->pos = NULL;
        side->last = NULL;
        return NGX_OK;
    }

    side->input = ngx_alloc(kept + (end - in), ngx_cycle->log);
    if (side->input == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(side->input, in - kept, kept + (end - in));

    if (kept) {
        side->piece = side->input;
    }

    side->pos = side->input + kept;
    side->last = side->pos + (end - in);

    return NGX_OK;
}


static void
ngx_http_cms_proxy_forget(ngx_http_cms_proxy_side_t *side)
{
    if (side->input) {
        ngx_free(side->input);
    }

    side->input = NULL;
    side->pos = NULL;
    side->last = NULL;
}


/* once for each side of a WebSocket */

static void
ngx_http_cms_proxy_log_frames(ngx_connection_t *c,
    ngx_http_cms_proxy_side_t *side)
{
    char        *whose;
    ngx_uint_t   news;

    news = side->frames.notes & ~side->logged;
    side->logged = side->frames.notes;

    whose = (c->recv == ngx_http_cms_proxy_recv_guest) ? "guest"
                                                       : "web bridge";

    if (news & CMS_FRAMES_SPLIT) {
        ngx_log_error(NGX_LOG_INFO, c->log, 0,
                      "rewrite_websocket: a WebSocket message of the %s is, "
                      "or became, larger than %d bytes in one frame: it goes "
                      "on in fragments", whose, CMS_FRAMES_LIMIT);
    }

    if (news & CMS_FRAMES_RESERVED) {
        ngx_log_error(NGX_LOG_WARN, c->log, 0,
                      "rewrite_websocket: the %s sends WebSocket text with "
                      "an extension, such as compression: it passes as it is, "
                      "with the names in it", whose);
    }

    if (news & CMS_FRAMES_BROKEN) {
        ngx_log_error(NGX_LOG_WARN, c->log, 0,
                      "rewrite_websocket: the %s sent a WebSocket frame of an "
                      "impossible length: what follows passes as it is",
                      whose);
    }
}


static void
ngx_http_cms_proxy_frames_cleanup(void *data)
{
    ngx_http_cms_proxy_frames_t *frames = data;

    /* the connection to the target is closed by now, that to the guest not */

    if (frames->from_guest.recv) {
        frames->client->recv = frames->from_guest.recv;
    }

    cms_frames_end(&frames->from_guest.frames);
    cms_frames_end(&frames->to_guest.frames);

    ngx_http_cms_proxy_forget(&frames->from_guest);
    ngx_http_cms_proxy_forget(&frames->to_guest);

    ngx_free(frames);
}
