
/*
 * cms_share [https=ADDR] [turns=ADDR] [http=ADDR] [turn=ADDR|UPSTREAM|$VAR]
 *           [proxy_protocol=on|off] [timeout=TIME];
 *
 * Context: server of stream.  One port for everything: looks at what a
 * connection begins with, without taking it, and hands it on.
 *
 *   https=  an http listener with ssl of this nginx: TLS that offers "h2",
 *           "http/1.1" or another protocol by ALPN
 *   turns=  a stream listener with ssl of this nginx: TLS that offers a
 *           "stun." protocol (RFC 7443) or none at all, as browsers do for
 *           "turns:"; another "cms_share" there looks into it
 *   http=   an http listener without ssl of this nginx: HTTP/1.1 in TLS that
 *           this server has opened ("listen ... ssl")
 *   turn=   what a stock "proxy_pass" takes: STUN, in opened TLS or without
 *           TLS, is proxied there by the stock proxy, with its directives
 *   proxy_protocol=  off; on: as "proxy_protocol on" of the stock proxy
 *   timeout=  10s; how long a connection may take to say what it is, at most
 *           preread_timeout
 *
 * At least one target; an ADDR is HOST:PORT or unix:PATH, and the listeners
 * must be there, without proxy_protocol.  They are reached in the process: no
 * second connection, the client's address and the port that it connected to
 * stay.  Where only one of https= and turns= is there, it takes all TLS.  HTTP
 * without TLS goes to https=, for the answer that it should be TLS, or else to
 * http=.  Anything else, and what has no target, is closed.  A ClientHello has
 * to fit in the socket's receive buffer: with "listen ... rcvbuf=8k" one of
 * 5 kB never comes whole, and is closed at the timeout.
 *
 * Variables: $cms_preread_protocol ("stun", "tls", "http"),
 * $cms_preread_server_name (SNI), $cms_preread_alpn (offered, with commas; of
 * opened TLS the one agreed upon).  Not found before it is known.
 *
 * The access log of the server has a line when a connection is handed on,
 * with status 200; with status 400 if it is none of these or has no target.
 *
 * Behind https= and http= all is as with a listener of their own, but:
 *
 *   - what belongs to the socket or comes before the first byte is of this
 *     server: parameters of "listen", so_keepalive, proxy_protocol and
 *     set_real_ip_from, limit_conn (a connection counts as long as it lasts),
 *     allow and deny.  $server_addr and $server_port, and so redirects, are
 *     those that the client connected to.
 *   - what belongs to TLS is, behind http=, of the stream server: its
 *     certificates (for every name; "ssl_certificate" can be a variable),
 *     ssl_protocols, sessions, and ssl_handshake_timeout, 60s by default.
 *     There is HTTP/1.1 only; no ssl_verify_client (refused, unless the
 *     stream server has it), ssl_reject_handshake, ssl_stapling and
 *     ssl_early_data of http.  The http server is found by Host alone, and
 *     $ssl_... are those of the connection that was opened.
 *   - the time to say the first bytes is timeout=; client_header_timeout
 *     begins after that.
 *
 * Not accepted by "nginx -t": a target that is no listener of its kind, UDP,
 * ssl_preread beside it, an event method that is not edge-triggered.
 */


#include "ngx_stream_cms_proxy_module.h"

#include <ngx_event.h>

#include "cms_share_figures.h"
#include "cms_stun.h"

#if defined(__GLIBC__)
#include <malloc.h>
#endif


#define NGX_STREAM_CMS_PROXY_TIMEOUT    10000

/* of so many strangers the memory is given back, so much later */

#define NGX_STREAM_CMS_PROXY_MANY       1000
#define NGX_STREAM_CMS_PROXY_TRIM_DELAY 5000

/* the least that a slab pool with one small allocation fits in */

#define NGX_STREAM_CMS_PROXY_ZONE_SIZE  (16 * 4096)


typedef struct {
    ngx_shm_zone_t  *shm_zone;
} ngx_stream_cms_proxy_main_conf_t;


typedef struct {
    size_t           need;   /* with fewer bytes nothing new is known */
    cms_preread_t    found;
    ngx_str_t        server_name;
    ngx_str_t        alpn;
} ngx_stream_cms_proxy_ctx_t;


static void ngx_stream_cms_proxy_handler(ngx_stream_session_t *s);
static void ngx_stream_cms_proxy_read_handler(ngx_event_t *rev);
static void ngx_stream_cms_proxy_write_handler(ngx_event_t *wev);
static void ngx_stream_cms_proxy_look(ngx_stream_session_t *s);
static ngx_int_t ngx_stream_cms_proxy_peek(ngx_stream_session_t *s,
    cms_client_hello_t *h);
static ngx_int_t ngx_stream_cms_proxy_peek_opened(ngx_stream_session_t *s,
    cms_client_hello_t *h);
static ngx_int_t ngx_stream_cms_proxy_read_opened(ngx_stream_session_t *s,
    cms_client_hello_t *h);
static ngx_int_t ngx_stream_cms_proxy_peek_error(ngx_connection_t *c, int n);
static ngx_int_t ngx_stream_cms_proxy_keep_hello(ngx_stream_session_t *s,
    cms_client_hello_t *h);
static void ngx_stream_cms_proxy_go(ngx_stream_session_t *s,
    cms_client_hello_t *h);
static void ngx_stream_cms_proxy_turn(ngx_stream_session_t *s);
static void ngx_stream_cms_proxy_hand_over(ngx_stream_session_t *s,
    ngx_uint_t n);
static void ngx_stream_cms_proxy_close(ngx_stream_session_t *s,
    cms_share_outcome_t outcome);
static void ngx_stream_cms_proxy_unserved(ngx_log_t *log);
static void ngx_stream_cms_proxy_trim_handler(ngx_event_t *ev);
static void ngx_stream_cms_proxy_log(ngx_stream_session_t *s);
static cms_share_figures_t *ngx_stream_cms_proxy_figures(
    ngx_stream_session_t *s);
static void ngx_stream_cms_proxy_count(ngx_stream_session_t *s,
    cms_share_outcome_t outcome);

static ngx_int_t ngx_stream_cms_proxy_protocol_variable(
    ngx_stream_session_t *s, ngx_stream_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_stream_cms_proxy_server_name_variable(
    ngx_stream_session_t *s, ngx_stream_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_stream_cms_proxy_alpn_variable(ngx_stream_session_t *s,
    ngx_stream_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_stream_cms_proxy_value(ngx_stream_variable_value_t *v,
    const void *data, size_t len);
static ngx_int_t ngx_stream_cms_proxy_add_variables(ngx_conf_t *cf);

static void *ngx_stream_cms_proxy_create_main_conf(ngx_conf_t *cf);
static void *ngx_stream_cms_proxy_create_srv_conf(ngx_conf_t *cf);
static char *ngx_stream_cms_proxy_merge_srv_conf(ngx_conf_t *cf, void *parent,
    void *child);
static char *ngx_stream_cms_proxy_share(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_stream_cms_proxy_parameter(ngx_conf_t *cf,
    ngx_stream_cms_proxy_srv_conf_t *scf, ngx_str_t *value,
    ngx_str_t *turn, ngx_str_t *proxy_protocol);
static char *ngx_stream_cms_proxy_target(ngx_conf_t *cf,
    ngx_stream_cms_proxy_target_t *target, ngx_str_t *value, ngx_str_t *addr);
static char *ngx_stream_cms_proxy_stock(ngx_conf_t *cf, char *name,
    ngx_str_t *value);
static char *ngx_stream_cms_proxy_add_zone(ngx_conf_t *cf);
static ngx_int_t ngx_stream_cms_proxy_init_zone(ngx_shm_zone_t *shm_zone,
    void *data);


static ngx_command_t  ngx_stream_cms_proxy_commands[] = {

    { ngx_string("cms_share"),
      NGX_STREAM_SRV_CONF|NGX_CONF_1MORE,
      ngx_stream_cms_proxy_share,
      NGX_STREAM_SRV_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_stream_module_t  ngx_stream_cms_proxy_module_ctx = {
    ngx_stream_cms_proxy_add_variables,    /* preconfiguration */
    NULL,                                  /* postconfiguration */

    ngx_stream_cms_proxy_create_main_conf, /* create main configuration */
    NULL,                                  /* init main configuration */

    ngx_stream_cms_proxy_create_srv_conf,  /* create server configuration */
    ngx_stream_cms_proxy_merge_srv_conf    /* merge server configuration */
};


ngx_module_t  ngx_stream_cms_proxy_module = {
    NGX_MODULE_V1,
    &ngx_stream_cms_proxy_module_ctx,      /* module context */
    ngx_stream_cms_proxy_commands,         /* module directives */
    NGX_STREAM_MODULE,                     /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_stream_variable_t  ngx_stream_cms_proxy_variables[] = {

    { ngx_string("cms_preread_protocol"), NULL,
      ngx_stream_cms_proxy_protocol_variable, 0,
      NGX_STREAM_VAR_NOCACHEABLE, 0 },

    { ngx_string("cms_preread_server_name"), NULL,
      ngx_stream_cms_proxy_server_name_variable, 0,
      NGX_STREAM_VAR_NOCACHEABLE, 0 },

    { ngx_string("cms_preread_alpn"), NULL,
      ngx_stream_cms_proxy_alpn_variable, 0,
      NGX_STREAM_VAR_NOCACHEABLE, 0 },

      ngx_stream_null_variable
};


/* what a connection said so far: looked at, and never needed again */

static u_char  ngx_stream_cms_proxy_bytes[CMS_PREREAD_MAX];


/* how many left unserved since memory was given back, and when it is next */

static ngx_uint_t        ngx_stream_cms_proxy_left;
static ngx_event_t       ngx_stream_cms_proxy_trim;
static ngx_connection_t  ngx_stream_cms_proxy_nobody = { .fd = -1 };


static void
ngx_stream_cms_proxy_handler(ngx_stream_session_t *s)
{
    ngx_connection_t            *c;
    ngx_stream_cms_proxy_ctx_t  *ctx;

    c = s->connection;

    ngx_log_debug0(NGX_LOG_DEBUG_STREAM, c->log, 0, "cms share handler");

    c->log->action = "waiting for the first bytes";

    if (c->buffer && c->buffer->pos != c->buffer->last) {
        ngx_log_error(NGX_LOG_ERR, c->log, 0,
                      "\"cms_share\" cannot hand on a connection that another "
                      "module (ssl_preread?) has read from");
        ngx_stream_finalize_session(s, NGX_STREAM_INTERNAL_SERVER_ERROR);
        return;
    }

    ctx = ngx_pcalloc(c->pool, sizeof(ngx_stream_cms_proxy_ctx_t));
    if (ctx == NULL) {
        ngx_stream_finalize_session(s, NGX_STREAM_INTERNAL_SERVER_ERROR);
        return;
    }

    ngx_stream_set_ctx(s, ctx, ngx_stream_cms_proxy_module);

    c->buffer = NULL;

    c->read->handler = ngx_stream_cms_proxy_read_handler;
    c->write->handler = ngx_stream_cms_proxy_write_handler;

    ngx_stream_cms_proxy_look(s);
}


static void
ngx_stream_cms_proxy_read_handler(ngx_event_t *rev)
{
    ngx_connection_t      *c;
    ngx_stream_session_t  *s;

    c = rev->data;
    s = c->data;

    if (rev->timedout || c->close) {
        ngx_stream_cms_proxy_close(s, CMS_SHARE_SILENT);
        return;
    }

    ngx_stream_cms_proxy_look(s);
}


/* TLS may have to write before it can read on */

static void
ngx_stream_cms_proxy_write_handler(ngx_event_t *wev)
{
    ngx_connection_t  *c;

    c = wev->data;

    if (c->ssl) {
        c->read->ready = 1;
        ngx_stream_cms_proxy_look(c->data);
    }
}


static void
ngx_stream_cms_proxy_look(ngx_stream_session_t *s)
{
    ngx_int_t                         rc;
    ngx_event_t                      *rev;
    ngx_connection_t                 *c;
    cms_client_hello_t                h;
    ngx_stream_cms_proxy_srv_conf_t  *scf;

    c = s->connection;
    rev = c->read;

    if (!rev->ready) {
        rc = NGX_AGAIN;

    } else if (c->ssl) {
        rc = ngx_stream_cms_proxy_peek_opened(s, &h);

    } else {
        rc = ngx_stream_cms_proxy_peek(s, &h);
    }

    if (rc == NGX_OK) {
        ngx_stream_cms_proxy_go(s, &h);
        return;
    }

    if (rc != NGX_AGAIN) {
        ngx_stream_cms_proxy_close(s, CMS_SHARE_GONE);
        return;
    }

    if (!rev->timer_set) {
        scf = ngx_stream_get_module_srv_conf(s, ngx_stream_cms_proxy_module);

        ngx_add_timer(rev, scf->timeout);

        /* the first to go when worker_connections run out */

        ngx_reusable_connection(c, 1);
    }

    if (ngx_handle_read_event(rev, 0) != NGX_OK) {
        ngx_stream_finalize_session(s, NGX_STREAM_INTERNAL_SERVER_ERROR);
    }
}


/* NGX_OK: found; NGX_AGAIN; NGX_DONE: the client is gone */

static ngx_int_t
ngx_stream_cms_proxy_peek(ngx_stream_session_t *s, cms_client_hello_t *h)
{
    int                          waiting;
    ssize_t                      n;
    ngx_err_t                    err;
    ngx_connection_t            *c;
    ngx_stream_cms_proxy_ctx_t  *ctx;

    c = s->connection;
    ctx = ngx_stream_get_module_ctx(s, ngx_stream_cms_proxy_module);

    if (ctx->need && !c->read->pending_eof
        && ngx_socket_nread(c->fd, &waiting) != -1
        && (size_t) waiting < ctx->need)
    {
        c->read->ready = 0;
        return NGX_AGAIN;
    }

    do {
        n = recv(c->fd, (char *) ngx_stream_cms_proxy_bytes,
                 sizeof(ngx_stream_cms_proxy_bytes), MSG_PEEK);

        err = (n == -1) ? ngx_socket_errno : 0;

    } while (err == NGX_EINTR);

    ngx_log_debug1(NGX_LOG_DEBUG_STREAM, c->log, 0, "cms share peek: %z", n);

    if (n == -1) {

        if (err == NGX_EAGAIN) {
            c->read->ready = 0;
            return NGX_AGAIN;
        }

        ngx_connection_error(c, err, "recv() failed");
        return NGX_DONE;
    }

    if (n == 0) {
        return NGX_DONE;
    }

    ctx->found = cms_preread_look(ngx_stream_cms_proxy_bytes, n, h);

    if (ctx->found != CMS_PREREAD_MORE) {
        return NGX_OK;
    }

    if (c->read->pending_eof) {
        return NGX_DONE;
    }

    ctx->need = h->need;
    c->read->ready = 0;

    return NGX_AGAIN;
}


/*
 * What comes out of TLS that was opened here.  Nothing is taken as long as it
 * may be HTTP, whose first byte says so.
 */

static ngx_int_t
ngx_stream_cms_proxy_peek_opened(ngx_stream_session_t *s,
    cms_client_hello_t *h)
{
    int                          n;
    u_char                       bytes[CMS_STUN_HEADER];
    ngx_connection_t            *c;
    ngx_stream_cms_proxy_ctx_t  *ctx;

    c = s->connection;
    ctx = ngx_stream_get_module_ctx(s, ngx_stream_cms_proxy_module);

    if (c->buffer) {
        return ngx_stream_cms_proxy_read_opened(s, h);
    }

    ERR_clear_error();

    n = SSL_peek(c->ssl->connection, bytes, sizeof(bytes));

    ngx_log_debug1(NGX_LOG_DEBUG_STREAM, c->log, 0, "SSL_peek: %d", n);

    if (n <= 0) {
        return ngx_stream_cms_proxy_peek_error(c, n);
    }

    ctx->found = cms_preread_look(bytes, n, h);

    if (ctx->found != CMS_PREREAD_MORE) {
        return NGX_OK;
    }

    if (cms_stun_look(bytes, n) == CMS_STUN_NO) {

        /* TLS in TLS: nobody takes it, whatever its hello says */

        ctx->found = CMS_PREREAD_OTHER;
        return NGX_OK;
    }

    /*
     * SSL_peek() goes no further than one record.  The rest of what STUN
     * begins with is read, and sent on by the stock proxy like any preread
     * data.
     */

    c->buffer = ngx_create_temp_buf(c->pool, CMS_STUN_HEADER);
    if (c->buffer == NULL) {
        return NGX_ERROR;
    }

    return ngx_stream_cms_proxy_read_opened(s, h);
}


static ngx_int_t
ngx_stream_cms_proxy_read_opened(ngx_stream_session_t *s,
    cms_client_hello_t *h)
{
    ssize_t                      n;
    ngx_buf_t                   *b;
    ngx_connection_t            *c;
    ngx_stream_cms_proxy_ctx_t  *ctx;

    c = s->connection;
    ctx = ngx_stream_get_module_ctx(s, ngx_stream_cms_proxy_module);

    b = c->buffer;

    do {

        if (b->last == b->end) {
            return NGX_ERROR;
        }

        n = c->recv(c, b->last, b->end - b->last);

        if (n == NGX_AGAIN) {
            return NGX_AGAIN;
        }

        if (n == NGX_ERROR || n == 0) {
            return NGX_DONE;
        }

        b->last += n;
        s->received += n;

        ctx->found = cms_preread_look(b->pos, b->last - b->pos, h);

    } while (ctx->found == CMS_PREREAD_MORE);

    return NGX_OK;
}


static ngx_int_t
ngx_stream_cms_proxy_peek_error(ngx_connection_t *c, int n)
{
    int        sslerr;
    ngx_err_t  err;

    sslerr = SSL_get_error(c->ssl->connection, n);

    err = (sslerr == SSL_ERROR_SYSCALL) ? ngx_errno : 0;

    ngx_log_debug1(NGX_LOG_DEBUG_STREAM, c->log, 0,
                   "SSL_get_error: %d", sslerr);

    if (sslerr == SSL_ERROR_WANT_READ) {
        c->read->ready = 0;
        return NGX_AGAIN;
    }

    if (sslerr == SSL_ERROR_WANT_WRITE) {
        c->read->ready = 0;
        c->write->ready = 0;

        if (ngx_handle_write_event(c->write, 0) != NGX_OK) {
            return NGX_ERROR;
        }

        return NGX_AGAIN;
    }

    c->ssl->no_send_shutdown = 1;

    if (sslerr != SSL_ERROR_ZERO_RETURN && ERR_peek_error() != 0) {
        ngx_ssl_error(NGX_LOG_INFO, c->log, err, "SSL_peek() failed");
    }

    ERR_clear_error();

    return NGX_DONE;
}


static ngx_int_t
ngx_stream_cms_proxy_keep_hello(ngx_stream_session_t *s,
    cms_client_hello_t *h)
{
    u_char                      *p;
    ngx_stream_cms_proxy_ctx_t  *ctx;

    if (h->server_name_len + h->alpn_len == 0) {
        return NGX_OK;
    }

    ctx = ngx_stream_get_module_ctx(s, ngx_stream_cms_proxy_module);

    p = ngx_pnalloc(s->connection->pool, h->server_name_len + h->alpn_len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ctx->server_name.data = p;
    ctx->server_name.len = h->server_name_len;

    p = ngx_cpymem(p, h->server_name, h->server_name_len);

    ctx->alpn.data = p;
    ctx->alpn.len = h->alpn_len;

    ngx_memcpy(p, h->alpn, h->alpn_len);

    return NGX_OK;
}


static void
ngx_stream_cms_proxy_go(ngx_stream_session_t *s, cms_client_hello_t *h)
{
    ngx_connection_t                 *c;
    cms_share_figures_t              *figures;
    ngx_stream_cms_proxy_ctx_t       *ctx;
    ngx_stream_cms_proxy_srv_conf_t  *scf;

    c = s->connection;
    ctx = ngx_stream_get_module_ctx(s, ngx_stream_cms_proxy_module);
    scf = ngx_stream_get_module_srv_conf(s, ngx_stream_cms_proxy_module);

    c->log->action = "sharing the port";

    if (ctx->found == CMS_PREREAD_TLS && c->ssl == NULL
        && ngx_stream_cms_proxy_keep_hello(s, h) != NGX_OK)
    {
        ngx_stream_finalize_session(s, NGX_STREAM_INTERNAL_SERVER_ERROR);
        return;
    }

    switch (cms_preread_side(ctx->found, h, c->ssl != NULL, scf->configured)) {

    case CMS_PREREAD_TO_TURN:
        ngx_stream_cms_proxy_count(s, c->ssl ? CMS_SHARE_TURN_TLS
                                             : CMS_SHARE_TURN_TCP);
        ngx_stream_cms_proxy_turn(s);
        return;

    case CMS_PREREAD_TO_TURNS:
        figures = ngx_stream_cms_proxy_figures(s);

        __atomic_fetch_add(&figures->opened, 1, __ATOMIC_RELAXED);

        ngx_stream_cms_proxy_hand_over(s, NGX_STREAM_CMS_PROXY_TURNS);
        return;

    case CMS_PREREAD_TO_HTTPS:
        ngx_stream_cms_proxy_count(s, ctx->found == CMS_PREREAD_TLS
                                      ? CMS_SHARE_HTTPS
                                      : CMS_SHARE_PLAIN_HTTP);
        ngx_stream_cms_proxy_hand_over(s, NGX_STREAM_CMS_PROXY_HTTPS);
        return;

    case CMS_PREREAD_TO_HTTP:
        ngx_stream_cms_proxy_count(s, c->ssl ? CMS_SHARE_HTTPS_OPENED
                                             : CMS_SHARE_PLAIN_HTTP);
        ngx_stream_cms_proxy_hand_over(s, NGX_STREAM_CMS_PROXY_HTTP);
        return;

    case CMS_PREREAD_TO_MISSING:
        ngx_stream_cms_proxy_close(s, CMS_SHARE_REFUSED);
        return;

    default:
        ngx_stream_cms_proxy_close(s, CMS_SHARE_UNKNOWN);
    }
}


static void
ngx_stream_cms_proxy_turn(ngx_stream_session_t *s)
{
    ngx_connection_t                 *c;
    ngx_stream_cms_proxy_srv_conf_t  *scf;

    c = s->connection;
    scf = ngx_stream_get_module_srv_conf(s, ngx_stream_cms_proxy_module);

    if (c->read->timer_set) {
        ngx_del_timer(c->read);
    }

    ngx_reusable_connection(c, 0);

    c->log->action = NULL;

    c->read->ready = 1;
    c->read->available = -1;

    scf->proxy(s);
}


/*
 * As if the listener had accepted the connection.  While its handler runs, the
 * connection has the listener's address, by which the handler tells servers
 * on one port apart; after that again the one that the client connected to.
 * As with "accept_mutex on", the handler only posts the event that begins: so
 * nothing of the new owner runs before all is in place.
 */

static void
ngx_stream_cms_proxy_hand_over(ngx_stream_session_t *s, ngx_uint_t n)
{
    socklen_t                         local_socklen;
    ngx_uint_t                        use_accept_mutex;
    ngx_event_t                      *rev;
    struct sockaddr                  *local_sockaddr;
    ngx_connection_t                 *c;
    ngx_stream_cms_proxy_target_t    *target;
    ngx_stream_cms_proxy_srv_conf_t  *scf;

    c = s->connection;
    rev = c->read;

    scf = ngx_stream_get_module_srv_conf(s, ngx_stream_cms_proxy_module);
    target = &scf->targets[n];

    s->status = NGX_STREAM_OK;
    ngx_stream_cms_proxy_log(s);

    if (rev->timer_set) {
        ngx_del_timer(rev);
    }

    ngx_reusable_connection(c, 0);

    if (c->ssl) {

        /* as for a connection whose TLS http has opened itself */

        c->ssl->buffer = 1;
        c->ssl->no_wait_shutdown = 1;
    }

    local_sockaddr = c->local_sockaddr;
    local_socklen = c->local_socklen;

    c->local_sockaddr = target->addr->sockaddr;
    c->local_socklen = target->addr->socklen;

    c->listening = target->listening;

    c->data = NULL;
    c->buffer = NULL;

    *c->log = c->listening->log;
    c->log->handler = NULL;
    c->log->data = NULL;

    rev->ready = 1;
    rev->available = -1;

    use_accept_mutex = ngx_use_accept_mutex;
    ngx_use_accept_mutex = 1;

    c->listening->handler(c);

    ngx_use_accept_mutex = use_accept_mutex;

    if (c->destroyed) {
        return;
    }

    c->local_sockaddr = local_sockaddr;
    c->local_socklen = local_socklen;
}


static void
ngx_stream_cms_proxy_close(ngx_stream_session_t *s,
    cms_share_outcome_t outcome)
{
    ngx_uint_t                   status;
    const char                  *protocol;
    ngx_connection_t            *c;
    ngx_stream_cms_proxy_ctx_t  *ctx;

    c = s->connection;
    ctx = ngx_stream_get_module_ctx(s, ngx_stream_cms_proxy_module);

    ngx_stream_cms_proxy_count(s, outcome);
    ngx_stream_cms_proxy_unserved(ngx_cycle->log);

    if (c->ssl) {
        c->ssl->no_wait_shutdown = 1;
    }

    status = NGX_STREAM_OK;

    switch (outcome) {

    case CMS_SHARE_SILENT:
        ngx_log_error(NGX_LOG_INFO, c->log, 0,
                      c->close ? "client did not say what it is before its "
                                 "connection was needed"
                               : "client did not say what it is in time");
        break;

    case CMS_SHARE_GONE:
        ngx_log_error(NGX_LOG_INFO, c->log, 0,
                      "client closed the connection before it said what "
                      "it is");
        break;

    case CMS_SHARE_REFUSED:
        protocol = cms_preread_name(ctx->found);
        ngx_log_error(NGX_LOG_INFO, c->log, 0,
                      "\"cms_share\" has no target for \"%s\"%s", protocol,
                      c->ssl ? " in TLS" : "");
        status = NGX_STREAM_BAD_REQUEST;
        break;

    default:
        ngx_log_error(NGX_LOG_INFO, c->log, 0,
                      "client speaks none of what is shared on this port");
        status = NGX_STREAM_BAD_REQUEST;
    }

    ngx_stream_finalize_session(s, status);
}


/*
 * After a flood of strangers the heap is full of holes, which malloc() keeps:
 * a worker would stay as large as it was at the worst moment.
 */

static void
ngx_stream_cms_proxy_unserved(ngx_log_t *log)
{
#if defined(__GLIBC__)

    ngx_event_t  *ev;

    ev = &ngx_stream_cms_proxy_trim;

    if (++ngx_stream_cms_proxy_left < NGX_STREAM_CMS_PROXY_MANY
        || ev->timer_set)
    {
        return;
    }

    ev->handler = ngx_stream_cms_proxy_trim_handler;
    ev->data = &ngx_stream_cms_proxy_nobody;
    ev->log = log;
    ev->cancelable = 1;

    ngx_add_timer(ev, NGX_STREAM_CMS_PROXY_TRIM_DELAY);

#endif
}


static void
ngx_stream_cms_proxy_trim_handler(ngx_event_t *ev)
{
#if defined(__GLIBC__)

    ngx_stream_cms_proxy_left = 0;

    (void) malloc_trim(0);

#endif
}


static void
ngx_stream_cms_proxy_log(ngx_stream_session_t *s)
{
    ngx_uint_t                    i, n;
    ngx_stream_handler_pt        *handler;
    ngx_stream_core_main_conf_t  *cmcf;

    cmcf = ngx_stream_get_module_main_conf(s, ngx_stream_core_module);

    handler = cmcf->phases[NGX_STREAM_LOG_PHASE].handlers.elts;
    n = cmcf->phases[NGX_STREAM_LOG_PHASE].handlers.nelts;

    for (i = 0; i < n; i++) {
        (void) handler[i](s);
    }
}


static cms_share_figures_t *
ngx_stream_cms_proxy_figures(ngx_stream_session_t *s)
{
    ngx_stream_cms_proxy_main_conf_t  *mcf;

    mcf = ngx_stream_get_module_main_conf(s, ngx_stream_cms_proxy_module);

    return mcf->shm_zone->data;
}


static void
ngx_stream_cms_proxy_count(ngx_stream_session_t *s,
    cms_share_outcome_t outcome)
{
    cms_share_figures_t  *figures;

    figures = ngx_stream_cms_proxy_figures(s);

    __atomic_fetch_add(&figures->outcomes[outcome], 1, __ATOMIC_RELAXED);
}


static ngx_int_t
ngx_stream_cms_proxy_protocol_variable(ngx_stream_session_t *s,
    ngx_stream_variable_value_t *v, uintptr_t data)
{
    const char                  *name;
    ngx_stream_cms_proxy_ctx_t  *ctx;

    ctx = ngx_stream_get_module_ctx(s, ngx_stream_cms_proxy_module);

    name = ctx ? cms_preread_name(ctx->found) : NULL;

    return ngx_stream_cms_proxy_value(v, name, name ? ngx_strlen(name) : 0);
}


static ngx_int_t
ngx_stream_cms_proxy_server_name_variable(ngx_stream_session_t *s,
    ngx_stream_variable_value_t *v, uintptr_t data)
{
    const char                  *name;
    ngx_connection_t            *c;
    ngx_stream_cms_proxy_ctx_t  *ctx;

    c = s->connection;
    ctx = ngx_stream_get_module_ctx(s, ngx_stream_cms_proxy_module);

    if (ctx && c->ssl) {
        name = SSL_get_servername(c->ssl->connection,
                                  TLSEXT_NAMETYPE_host_name);

        return ngx_stream_cms_proxy_value(v, name,
                                          name ? ngx_strlen(name) : 0);
    }

    if (ctx == NULL || ctx->server_name.len == 0) {
        return ngx_stream_cms_proxy_value(v, NULL, 0);
    }

    return ngx_stream_cms_proxy_value(v, ctx->server_name.data,
                                      ctx->server_name.len);
}


static ngx_int_t
ngx_stream_cms_proxy_alpn_variable(ngx_stream_session_t *s,
    ngx_stream_variable_value_t *v, uintptr_t data)
{
    unsigned int                 len;
    ngx_connection_t            *c;
    const unsigned char         *name;
    ngx_stream_cms_proxy_ctx_t  *ctx;

    c = s->connection;
    ctx = ngx_stream_get_module_ctx(s, ngx_stream_cms_proxy_module);

    if (ctx && c->ssl) {
        SSL_get0_alpn_selected(c->ssl->connection, &name, &len);

        return ngx_stream_cms_proxy_value(v, name, len);
    }

    if (ctx == NULL || ctx->alpn.len == 0) {
        return ngx_stream_cms_proxy_value(v, NULL, 0);
    }

    return ngx_stream_cms_proxy_value(v, ctx->alpn.data, ctx->alpn.len);
}


static ngx_int_t
ngx_stream_cms_proxy_value(ngx_stream_variable_value_t *v, const void *data,
    size_t len)
{
    if (data == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->data = (u_char *) data;
    v->len = len;

    return NGX_OK;
}


static ngx_int_t
ngx_stream_cms_proxy_add_variables(ngx_conf_t *cf)
{
    ngx_stream_variable_t  *var, *v;

    for (v = ngx_stream_cms_proxy_variables; v->name.len; v++) {
        var = ngx_stream_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


static void *
ngx_stream_cms_proxy_create_main_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_stream_cms_proxy_main_conf_t));
}


static void *
ngx_stream_cms_proxy_create_srv_conf(ngx_conf_t *cf)
{
    ngx_stream_cms_proxy_srv_conf_t  *scf;

    scf = ngx_pcalloc(cf->pool, sizeof(ngx_stream_cms_proxy_srv_conf_t));
    if (scf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     scf->configured = 0;
     *     scf->targets[] = { { 0, NULL }, NULL, 0, NULL, NULL };
     *     scf->proxy = NULL;
     *     scf->file = NULL;
     */

    scf->timeout = NGX_CONF_UNSET_MSEC;

    return scf;
}


static char *
ngx_stream_cms_proxy_merge_srv_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_stream_cms_proxy_srv_conf_t *scf = child;

    ngx_stream_core_srv_conf_t  *cscf;

    if (!scf->configured) {
        return NGX_CONF_OK;
    }

    cscf = ngx_stream_conf_get_module_srv_conf(cf, ngx_stream_core_module);

    if (cscf->handler != ngx_stream_cms_proxy_handler) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "another directive takes the connections of the server "
                      "with \"cms_share\" in %s:%ui", scf->file, scf->line);
        return NGX_CONF_ERROR;
    }

    ngx_conf_init_msec_value(scf->timeout, NGX_STREAM_CMS_PROXY_TIMEOUT);

    scf->timeout = ngx_min(scf->timeout, cscf->preread_timeout);

    return NGX_CONF_OK;
}


static char *
ngx_stream_cms_proxy_share(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_stream_cms_proxy_srv_conf_t *scf = conf;

    char                        *rv;
    ngx_url_t                    u;
    ngx_str_t                   *value, turn, proxy_protocol;
    ngx_uint_t                   i;
    ngx_stream_core_srv_conf_t  *cscf;

    if (scf->configured) {
        return "is duplicate";
    }

    cscf = ngx_stream_conf_get_module_srv_conf(cf, ngx_stream_core_module);

    if (cscf->handler) {
        return "stands beside another directive that takes the connections "
               "of this server";
    }

    ngx_str_null(&turn);
    ngx_str_null(&proxy_protocol);

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {
        rv = ngx_stream_cms_proxy_parameter(cf, scf, &value[i], &turn,
                                            &proxy_protocol);
        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    if (!scf->configured) {
        return "needs a target: https=, turns=, http= or turn=";
    }

    if (turn.data) {
        rv = ngx_stream_cms_proxy_stock(cf, "proxy_pass", &turn);
        if (rv != NGX_CONF_OK) {
            return rv;
        }

        scf->proxy = cscf->handler;

        ngx_memzero(&u, sizeof(ngx_url_t));

        u.url = turn;
        u.no_resolve = 1;

        if (ngx_parse_url(cf->pool, &u) == NGX_OK && !u.no_port) {
            scf->turn.text = turn;
            scf->turn.addrs = u.addrs;
            scf->turn.naddrs = u.naddrs;
        }
    }

    if (proxy_protocol.data) {
        rv = ngx_stream_cms_proxy_stock(cf, "proxy_protocol",
                                        &proxy_protocol);
        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    cscf->handler = ngx_stream_cms_proxy_handler;

    scf->file = cf->conf_file->file.name.data;
    scf->line = cf->conf_file->line;

    return ngx_stream_cms_proxy_add_zone(cf);
}


static char *
ngx_stream_cms_proxy_parameter(ngx_conf_t *cf,
    ngx_stream_cms_proxy_srv_conf_t *scf, ngx_str_t *value,
    ngx_str_t *turn, ngx_str_t *proxy_protocol)
{
    ngx_str_t                     s;
    ngx_uint_t                    n, duplicate;
    ngx_stream_cms_proxy_kind_t  *kind;

    for (n = 0; n < NGX_STREAM_CMS_PROXY_TARGETS; n++) {
        kind = &ngx_stream_cms_proxy_kinds[n];

        if (value->len <= kind->name.len
            || ngx_strncmp(value->data, kind->name.data, kind->name.len) != 0)
        {
            continue;
        }

        if (scf->configured & kind->to) {
            goto duplicate;
        }

        scf->configured |= kind->to;

        s.data = value->data + kind->name.len;
        s.len = value->len - kind->name.len;

        return ngx_stream_cms_proxy_target(cf, &scf->targets[n], value, &s);
    }

    if (value->len > 5 && ngx_strncmp(value->data, "turn=", 5) == 0) {

        if (turn->data) {
            goto duplicate;
        }

        scf->configured |= CMS_PREREAD_TO_TURN;

        turn->data = value->data + 5;
        turn->len = value->len - 5;

        return NGX_CONF_OK;
    }

    if (ngx_strcmp(value->data, "proxy_protocol=on") == 0
        || ngx_strcmp(value->data, "proxy_protocol=off") == 0)
    {
        if (proxy_protocol->data) {
            goto duplicate;
        }

        proxy_protocol->data = value->data + 15;
        proxy_protocol->len = value->len - 15;

        return NGX_CONF_OK;
    }

    if (ngx_strncmp(value->data, "timeout=", 8) == 0) {

        if (scf->timeout != NGX_CONF_UNSET_MSEC) {
            goto duplicate;
        }

        s.data = value->data + 8;
        s.len = value->len - 8;

        scf->timeout = ngx_parse_time(&s, 0);

        if (scf->timeout != (ngx_msec_t) NGX_ERROR && scf->timeout != 0) {
            return NGX_CONF_OK;
        }
    }

    duplicate = 0;

    goto failed;

duplicate:

    duplicate = 1;

failed:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       duplicate ? "duplicate parameter \"%V\""
                                 : "invalid parameter \"%V\"", value);
    return NGX_CONF_ERROR;
}


static char *
ngx_stream_cms_proxy_target(ngx_conf_t *cf,
    ngx_stream_cms_proxy_target_t *target, ngx_str_t *value, ngx_str_t *addr)
{
    ngx_url_t  u;

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = *addr;

    if (ngx_parse_url(cf->pool, &u) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s in \"%V\"",
                           u.err ? u.err : "invalid address", value);
        return NGX_CONF_ERROR;
    }

    if (u.no_port) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "no port in \"%V\"", value);
        return NGX_CONF_ERROR;
    }

    target->text = *addr;
    target->addrs = u.addrs;
    target->naddrs = u.naddrs;

    return NGX_CONF_OK;
}


/* a directive of the stock proxy, as if it stood in this server */

static char *
ngx_stream_cms_proxy_stock(ngx_conf_t *cf, char *name, ngx_str_t *value)
{
    char                   *rv;
    ngx_str_t              *arg;
    ngx_array_t            *args, *saved;
    ngx_module_t           *module;
    ngx_command_t          *cmd;
    ngx_stream_conf_ctx_t  *ctx;

    cmd = ngx_stream_cms_proxy_find_command(cf->cycle, name, &module);

    if (cmd == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "this nginx has no stream directive \"%s\"", name);
        return NGX_CONF_ERROR;
    }

    args = ngx_array_create(cf->pool, 2, sizeof(ngx_str_t));
    if (args == NULL) {
        return NGX_CONF_ERROR;
    }

    arg = ngx_array_push_n(args, 2);

    arg[0] = cmd->name;
    arg[1] = *value;

    saved = cf->args;
    cf->args = args;

    ctx = cf->ctx;

    rv = cmd->set(cf, cmd, ctx->srv_conf[module->ctx_index]);

    cf->args = saved;

    if (rv == NGX_CONF_OK || rv == NGX_CONF_ERROR) {
        return rv;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "\"%s\" %s, beside \"cms_share\"", name, rv);
    return NGX_CONF_ERROR;
}


static char *
ngx_stream_cms_proxy_add_zone(ngx_conf_t *cf)
{
    ngx_str_t                          name;
    ngx_stream_cms_proxy_main_conf_t  *mcf;

    mcf = ngx_stream_conf_get_module_main_conf(cf,
                                               ngx_stream_cms_proxy_module);

    ngx_str_set(&name, CMS_SHARE_ZONE_NAME);

    mcf->shm_zone = ngx_shared_memory_add(cf, &name,
                                          NGX_STREAM_CMS_PROXY_ZONE_SIZE,
                                          &ngx_stream_cms_proxy_module);
    if (mcf->shm_zone == NULL) {
        return NGX_CONF_ERROR;
    }

    mcf->shm_zone->init = ngx_stream_cms_proxy_init_zone;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_stream_cms_proxy_init_zone(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_slab_pool_t      *shpool;
    cms_share_figures_t  *figures;

    if (data) {
        shm_zone->data = data;
        return NGX_OK;
    }

    shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (shm_zone->shm.exists) {
        shm_zone->data = shpool->data;
        return NGX_OK;
    }

    figures = ngx_slab_calloc(shpool, sizeof(cms_share_figures_t));
    if (figures == NULL) {
        return NGX_ERROR;
    }

    figures->magic = CMS_SHARE_FIGURES_MAGIC;

    shpool->data = figures;
    shm_zone->data = figures;

    return NGX_OK;
}
