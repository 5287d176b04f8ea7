
/*
 * One health probe: connect, TLS, request, answer, and the verdict in words.
 * Called by ngx_http_cms_proxy_health.c, which knows what is due.
 */


#include "ngx_http_cms_proxy_health.h"


/* a page of this size is read at once */
#define NGX_HTTP_CMS_PROXY_READ         16384

/* a worker that is so late to see a timeout knows nothing of the target */
#define NGX_HTTP_CMS_PROXY_LATE         1000


static void ngx_http_cms_proxy_probe_connect(
    ngx_http_cms_proxy_probe_t *probe);
static void ngx_http_cms_proxy_probe_event(ngx_event_t *ev);
static void ngx_http_cms_proxy_probe_timeout(ngx_event_t *ev);
static void ngx_http_cms_proxy_probe_run(ngx_http_cms_proxy_probe_t *probe);
static ngx_int_t ngx_http_cms_proxy_probe_connected(
    ngx_http_cms_proxy_probe_t *probe, ngx_http_cms_proxy_reason_t *reason);
static ngx_int_t ngx_http_cms_proxy_probe_send(
    ngx_http_cms_proxy_probe_t *probe, ngx_http_cms_proxy_reason_t *reason);
static ngx_int_t ngx_http_cms_proxy_probe_receive(
    ngx_http_cms_proxy_probe_t *probe, ngx_http_cms_proxy_reason_t *reason);
static ssize_t ngx_http_cms_proxy_probe_write(
    ngx_http_cms_proxy_probe_t *probe, u_char *data, size_t len,
    ngx_http_cms_proxy_reason_t *reason);
static ssize_t ngx_http_cms_proxy_probe_read(
    ngx_http_cms_proxy_probe_t *probe, u_char *data, size_t len,
    ngx_http_cms_proxy_reason_t *reason);
static void ngx_http_cms_proxy_probe_errno(
    ngx_http_cms_proxy_reason_t *reason, ngx_err_t err, char *when);
static void ngx_http_cms_proxy_probe_answer(ngx_http_cms_proxy_probe_t *probe,
    ngx_http_cms_proxy_reason_t *reason);
static void ngx_http_cms_proxy_probe_late(ngx_http_cms_proxy_probe_t *probe,
    ngx_http_cms_proxy_reason_t *reason);

static void ngx_http_cms_proxy_probe_end(ngx_http_cms_proxy_probe_t *probe,
    ngx_int_t rc, ngx_http_cms_proxy_reason_t *reason);
static void ngx_http_cms_proxy_probe_verdict(
    ngx_http_cms_proxy_probe_t *probe, ngx_uint_t passed,
    ngx_http_cms_proxy_reason_t *reason);
static void ngx_http_cms_proxy_probe_drop(ngx_http_cms_proxy_probe_t *probe);
static void ngx_http_cms_proxy_probe_close(ngx_http_cms_proxy_probe_t *probe,
    ngx_uint_t orderly);
static uint64_t ngx_http_cms_proxy_usec(void);


/* of this worker */

static ngx_queue_t  ngx_http_cms_proxy_probes;
static ngx_uint_t   ngx_http_cms_proxy_probes_n;
static ngx_uint_t   ngx_http_cms_proxy_probes_max;
static ngx_log_t    ngx_http_cms_proxy_probe_log;
static u_char       ngx_http_cms_proxy_probe_buffer[NGX_HTTP_CMS_PROXY_READ];


void
ngx_http_cms_proxy_init_probes(ngx_cycle_t *cycle)
{
    ngx_queue_init(&ngx_http_cms_proxy_probes);
    ngx_http_cms_proxy_probes_n = 0;
    ngx_http_cms_proxy_probes_max = ngx_max(cycle->connection_n / 8, 1);

    /* verdicts are logged, not each step on the way; but what ails nginx */

    ngx_http_cms_proxy_probe_log = *cycle->log;
    ngx_http_cms_proxy_probe_log.log_level = NGX_LOG_ALERT;
}


ngx_uint_t
ngx_http_cms_proxy_room_for_probe(void)
{
    return ngx_http_cms_proxy_probes_n < ngx_http_cms_proxy_probes_max;
}


void
ngx_http_cms_proxy_drop_probes(void)
{
    ngx_queue_t  *q;

    if (ngx_http_cms_proxy_probes.next == NULL) {
        return;
    }

    while (!ngx_queue_empty(&ngx_http_cms_proxy_probes)) {
        q = ngx_queue_head(&ngx_http_cms_proxy_probes);
        ngx_http_cms_proxy_probe_drop(
            ngx_queue_data(q, ngx_http_cms_proxy_probe_t, queue));
    }
}


void
ngx_http_cms_proxy_probe(ngx_http_cms_proxy_health_t *health,
    ngx_http_cms_proxy_slot_t *slot)
{
    ngx_pool_t                  *pool;
    ngx_http_cms_proxy_probe_t  *probe;

    static ngx_atomic_uint_t  count;

    pool = ngx_create_pool(1024, &ngx_http_cms_proxy_probe_log);
    if (pool == NULL) {
        return;
    }

    probe = ngx_pcalloc(pool, sizeof(ngx_http_cms_proxy_probe_t)
                              + NGX_SOCKADDR_STRLEN);
    if (probe == NULL) {
        ngx_destroy_pool(pool);
        return;
    }

    probe->pool = pool;
    probe->health = health;
    probe->slot = slot;
    probe->token = ((ngx_atomic_uint_t) ngx_pid << 16) + (++count & 0xffff);
    probe->started = ngx_current_msec;
    probe->started_us = ngx_http_cms_proxy_usec();
    probe->name.data = (u_char *) (probe + 1);

    cms_probe_start(&probe->answer, health->text);

    ngx_http_cms_proxy_lock();

    slot->prober = probe->token;
    slot->started = probe->started;

    probe->sockaddr = slot->sockaddr;
    probe->socklen = slot->socklen;
    probe->name.len = slot->name_len;
    ngx_memcpy(probe->name.data, slot->name, slot->name_len);

    ngx_http_cms_proxy_unlock();

    ngx_queue_insert_tail(&ngx_http_cms_proxy_probes, &probe->queue);
    ngx_http_cms_proxy_probes_n++;

    probe->timer.handler = ngx_http_cms_proxy_probe_timeout;
    probe->timer.data = probe;
    probe->timer.log = &ngx_http_cms_proxy_probe_log;
    probe->timer.cancelable = 1;

    ngx_http_cms_proxy_probe_connect(probe);
}


static void
ngx_http_cms_proxy_probe_connect(ngx_http_cms_proxy_probe_t *probe)
{
    ngx_err_t                    err;
    ngx_int_t                    rc;
    ngx_connection_t            *c;
    ngx_peer_connection_t       *peer;
    ngx_http_upstream_local_t   *local;
    ngx_http_cms_proxy_reason_t  reason;

    peer = &probe->peer;
    local = probe->health->conf->local;

    peer->sockaddr = &probe->sockaddr.sockaddr;
    peer->socklen = probe->socklen;
    peer->name = &probe->name;
    peer->get = ngx_event_get_peer;
    peer->log = &ngx_http_cms_proxy_probe_log;
    peer->log_error = NGX_ERROR_INFO;

    if (local && local->value == NULL) {
        peer->local = local->addr;
#if (NGX_HAVE_TRANSPARENT_PROXY)
        peer->transparent = local->transparent;
#endif
    }

    ngx_set_socket_errno(0);

    rc = ngx_event_connect_peer(peer);

    if (rc == NGX_DECLINED) {
        ngx_http_cms_proxy_probe_errno(&reason, ngx_socket_errno, NULL);
        ngx_http_cms_proxy_probe_end(probe, NGX_ERROR, &reason);
        return;
    }

    if (rc != NGX_OK && rc != NGX_AGAIN) {
        err = ngx_socket_errno;
        ngx_http_cms_proxy_say(&reason, NGX_HTTP_CMS_PROXY_NO_CAUSE,
                               "cannot connect from here: %s",
                               err ? strerror(err) : "no free connection");
        ngx_http_cms_proxy_probe_end(probe, NGX_ERROR, &reason);
        return;
    }

    c = peer->connection;

    c->data = probe;
    c->pool = probe->pool;
    c->read->handler = ngx_http_cms_proxy_probe_event;
    c->write->handler = ngx_http_cms_proxy_probe_event;
    c->idle = 1;

    ngx_add_timer(&probe->timer, probe->health->timeout);

    if (rc == NGX_OK) {
        ngx_http_cms_proxy_probe_run(probe);
    }
}


static void
ngx_http_cms_proxy_probe_event(ngx_event_t *ev)
{
    ngx_connection_t            *c;
    ngx_http_cms_proxy_probe_t  *probe;

    c = ev->data;
    probe = c->data;

    /* this worker is about to end */

    if (c->close || ngx_exiting) {
        ngx_http_cms_proxy_probe_drop(probe);
        return;
    }

    ngx_http_cms_proxy_probe_run(probe);
}


static void
ngx_http_cms_proxy_probe_timeout(ngx_event_t *ev)
{
    ngx_http_cms_proxy_probe_t   *probe;
    ngx_http_cms_proxy_reason_t   reason;

    probe = ev->data;

    if (ngx_exiting
        || ngx_current_msec - probe->started
           > probe->health->timeout + NGX_HTTP_CMS_PROXY_LATE)
    {
        ngx_http_cms_proxy_probe_drop(probe);
        return;
    }

    ngx_http_cms_proxy_probe_late(probe, &reason);
    ngx_http_cms_proxy_probe_end(probe, NGX_ERROR, &reason);
}


static void
ngx_http_cms_proxy_probe_run(ngx_http_cms_proxy_probe_t *probe)
{
    ngx_int_t                    rc;
    ngx_connection_t            *c;
    ngx_http_cms_proxy_reason_t  reason;

    c = probe->peer.connection;
    rc = NGX_OK;

    if (probe->step == ngx_http_cms_proxy_connecting) {
        rc = ngx_http_cms_proxy_probe_connected(probe, &reason);
    }

#if (NGX_HTTP_SSL)

    if (rc == NGX_OK && probe->step == ngx_http_cms_proxy_handshaking) {
        rc = ngx_http_cms_proxy_tls_handshake(probe, &reason);

        if (rc == NGX_OK) {
            probe->step = ngx_http_cms_proxy_sending;
        }
    }

#endif

    if (rc == NGX_OK && probe->step == ngx_http_cms_proxy_sending) {
        rc = ngx_http_cms_proxy_probe_send(probe, &reason);
    }

    if (rc == NGX_OK && probe->step == ngx_http_cms_proxy_receiving) {
        rc = ngx_http_cms_proxy_probe_receive(probe, &reason);
    }

    if (rc == NGX_AGAIN
        && ngx_handle_read_event(c->read, 0) == NGX_OK
        && ngx_handle_write_event(c->write, 0) == NGX_OK)
    {
        return;
    }

    if (rc == NGX_AGAIN) {
        ngx_http_cms_proxy_probe_drop(probe);
        return;
    }

    ngx_http_cms_proxy_probe_end(probe, rc, &reason);
}


static ngx_int_t
ngx_http_cms_proxy_probe_connected(ngx_http_cms_proxy_probe_t *probe,
    ngx_http_cms_proxy_reason_t *reason)
{
    int                err;
    socklen_t          len;
    ngx_connection_t  *c;

    c = probe->peer.connection;

    if (!c->write->ready && !c->read->ready) {
        return NGX_AGAIN;
    }

    err = 0;
    len = sizeof(int);

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, (void *) &err, &len) == -1) {
        err = ngx_socket_errno;
    }

    if (err) {
        ngx_http_cms_proxy_probe_errno(reason, err, NULL);
        return NGX_ERROR;
    }

#if (NGX_HTTP_SSL)

    if (probe->health->webbridge->tls) {
        probe->step = ngx_http_cms_proxy_handshaking;
        return ngx_http_cms_proxy_tls_start(probe, reason);
    }

#endif

    probe->step = ngx_http_cms_proxy_sending;

    return NGX_OK;
}


static ngx_int_t
ngx_http_cms_proxy_probe_send(ngx_http_cms_proxy_probe_t *probe,
    ngx_http_cms_proxy_reason_t *reason)
{
    ssize_t     n;
    ngx_str_t  *request;

    request = &probe->health->request;

    while (probe->sent < request->len) {

        n = ngx_http_cms_proxy_probe_write(probe, request->data + probe->sent,
                                           request->len - probe->sent, reason);
        if (n <= 0) {
            return n;
        }

        probe->sent += n;
    }

    probe->step = ngx_http_cms_proxy_receiving;

    return NGX_OK;
}


/* the answer's parser has limits of its own, so this ends */

static ngx_int_t
ngx_http_cms_proxy_probe_receive(ngx_http_cms_proxy_probe_t *probe,
    ngx_http_cms_proxy_reason_t *reason)
{
    ssize_t              n;
    cms_probe_verdict_t  verdict;

    do {
        n = ngx_http_cms_proxy_probe_read(probe,
                                          ngx_http_cms_proxy_probe_buffer,
                                          NGX_HTTP_CMS_PROXY_READ, reason);
        if (n < 0) {
            return n;
        }

        probe->received += n;

        verdict = n ? cms_probe_feed(&probe->answer,
                                     ngx_http_cms_proxy_probe_buffer, n)
                    : cms_probe_end(&probe->answer);

    } while (verdict == CMS_PROBE_MORE);

    if (verdict == CMS_PROBE_PASSED) {
        return NGX_OK;
    }

    ngx_http_cms_proxy_probe_answer(probe, reason);

    return NGX_ERROR;
}


static ssize_t
ngx_http_cms_proxy_probe_write(ngx_http_cms_proxy_probe_t *probe, u_char *data,
    size_t len, ngx_http_cms_proxy_reason_t *reason)
{
    ssize_t            n;
    ngx_connection_t  *c;

    c = probe->peer.connection;

#if (NGX_HTTP_SSL)
    if (c->ssl) {
        return ngx_http_cms_proxy_tls_write(probe, data, len, reason);
    }
#endif

    n = send(c->fd, data, len, 0);

    if (n > 0) {
        return n;
    }

    if (n == 0 || ngx_socket_errno == NGX_EAGAIN
        || ngx_socket_errno == NGX_EINTR)
    {
        c->write->ready = 0;
        return NGX_AGAIN;
    }

    ngx_http_cms_proxy_probe_errno(reason, ngx_socket_errno,
                                   "before the request");
    return NGX_ERROR;
}


static ssize_t
ngx_http_cms_proxy_probe_read(ngx_http_cms_proxy_probe_t *probe, u_char *data,
    size_t len, ngx_http_cms_proxy_reason_t *reason)
{
    ssize_t            n;
    ngx_connection_t  *c;

    c = probe->peer.connection;

#if (NGX_HTTP_SSL)
    if (c->ssl) {
        return ngx_http_cms_proxy_tls_read(probe, data, len, reason);
    }
#endif

    do {
        n = recv(c->fd, data, len, 0);
    } while (n == -1 && ngx_socket_errno == NGX_EINTR);

    if (n >= 0) {
        return n;
    }

    if (ngx_socket_errno == NGX_EAGAIN) {
        c->read->ready = 0;
        return NGX_AGAIN;
    }

    ngx_http_cms_proxy_probe_errno(reason, ngx_socket_errno,
                                   probe->received
                                   ? "in the middle of the answer"
                                   : "without an answer");
    return NGX_ERROR;
}


/* ---- in words ---- */


void
ngx_http_cms_proxy_say(ngx_http_cms_proxy_reason_t *reason, ngx_uint_t cause,
    const char *fmt, ...)
{
    u_char   *p;
    va_list   args;

    va_start(args, fmt);
    p = ngx_vslprintf(reason->text, reason->text + sizeof(reason->text), fmt,
                      args);
    va_end(args);

    reason->cause = cause;
    reason->len = p - reason->text;
}


/* when: where a connection was there, what it was closed in or before */

static void
ngx_http_cms_proxy_probe_errno(ngx_http_cms_proxy_reason_t *reason,
    ngx_err_t err, char *when)
{
    switch (err) {

    case NGX_ECONNREFUSED:
        ngx_http_cms_proxy_say(reason, NGX_HTTP_CMS_PROXY_REFUSED,
                               "connection refused");
        return;

    case NGX_ENOENT:
        ngx_http_cms_proxy_say(reason, NGX_HTTP_CMS_PROXY_REFUSED,
                               "there is no such socket (is the tunnel up?)");
        return;

    case NGX_EAGAIN:
        ngx_http_cms_proxy_say(reason, NGX_HTTP_CMS_PROXY_REFUSED,
                               "accepts no connection, its queue is full");
        return;

    case NGX_ECONNRESET:
    case NGX_EPIPE:
        ngx_http_cms_proxy_say(reason, NGX_HTTP_CMS_PROXY_CLOSED,
                               "closed the connection %s",
                               when ? when : "without an answer");
        return;

    case NGX_EACCES:
    case NGX_EPERM:
        ngx_http_cms_proxy_say(reason, NGX_HTTP_CMS_PROXY_UNREACHABLE,
                               "cannot connect: this host does not permit it "
                               "(%s)", strerror(err));
        return;

    /* too little of something here says nothing of the target */

    case EADDRNOTAVAIL:
    case ENOBUFS:
    case NGX_ENOMEM:
        ngx_http_cms_proxy_say(reason, NGX_HTTP_CMS_PROXY_NO_CAUSE,
                               "cannot connect from here: %s", strerror(err));
        return;

    case NGX_ETIMEDOUT:
        ngx_http_cms_proxy_say(reason, NGX_HTTP_CMS_PROXY_TIMED_OUT,
                               "no answer");
        return;

    case NGX_ENETUNREACH:
    case NGX_ENETDOWN:
        ngx_http_cms_proxy_say(reason, NGX_HTTP_CMS_PROXY_UNREACHABLE,
                               "unreachable: there is no route to it");
        return;

    case NGX_EHOSTUNREACH:
    case NGX_EHOSTDOWN:
        ngx_http_cms_proxy_say(reason, NGX_HTTP_CMS_PROXY_UNREACHABLE,
                               "unreachable: no such host, or a firewall "
                               "refuses");
        return;

    default:
        ngx_http_cms_proxy_say(reason, NGX_HTTP_CMS_PROXY_UNREACHABLE,
                               "cannot connect: %s", strerror(err));
        return;
    }
}


/* an answer that is none of the good ones */

static void
ngx_http_cms_proxy_probe_answer(ngx_http_cms_proxy_probe_t *probe,
    ngx_http_cms_proxy_reason_t *reason)
{
    ngx_str_t     text;
    cms_probe_t  *answer;

    answer = &probe->answer;

    switch (answer->verdict) {

    case CMS_PROBE_STATUS:
        ngx_http_cms_proxy_say(reason, NGX_HTTP_CMS_PROXY_STATUS,
                               "status %ui", (ngx_uint_t) answer->status);

        if (answer->status == 400) {
            ngx_http_cms_proxy_say(reason, NGX_HTTP_CMS_PROXY_STATUS,
                                   "status 400: the web bridge does not "
                                   "accept the name %V (upstream_host)",
                                   &probe->health->host);
        }

        return;

    case CMS_PROBE_TEXT:
        text.data = (u_char *) answer->text->data;
        text.len = ngx_min(answer->text->len, 80);

        ngx_http_cms_proxy_say(reason, NGX_HTTP_CMS_PROXY_TEXT,
                               "text \"%V\" is missing: %s", &text,
                               answer->problem ? answer->problem
                               : "the link to the Call Bridge is probably "
                                 "down");
        return;

    case CMS_PROBE_CLOSED:
        ngx_http_cms_proxy_say(reason, NGX_HTTP_CMS_PROXY_CLOSED, "%s",
                               answer->problem);
        return;

    default:
        ngx_http_cms_proxy_say(reason, NGX_HTTP_CMS_PROXY_PROTOCOL, "%s",
                               answer->problem);
        return;
    }
}


static void
ngx_http_cms_proxy_probe_late(ngx_http_cms_proxy_probe_t *probe,
    ngx_http_cms_proxy_reason_t *reason)
{
    char        *what;
    u_char       within[NGX_TIME_T_LEN + sizeof("ms")];
    ngx_msec_t   timeout;

    timeout = probe->health->timeout;

    *ngx_sprintf(within, timeout % 1000 ? "%Mms" : "%Ms",
                 timeout % 1000 ? timeout : timeout / 1000)
        = '\0';

    switch (probe->step) {

    case ngx_http_cms_proxy_connecting:
        what = "no answer within %s: nobody takes the connection";
        break;

    case ngx_http_cms_proxy_handshaking:
        what = "no answer within %s in the TLS handshake";
        break;

    default:
        what = probe->received ? "the answer is not complete within %s"
                               : "no answer within %s";
        break;
    }

    ngx_http_cms_proxy_say(reason, NGX_HTTP_CMS_PROXY_TIMED_OUT, what, within);
}


/* ---- its end ---- */


/* rc is NGX_OK if it passed, or NGX_ERROR and the reason says why not */

static void
ngx_http_cms_proxy_probe_end(ngx_http_cms_proxy_probe_t *probe, ngx_int_t rc,
    ngx_http_cms_proxy_reason_t *reason)
{
    static time_t  said;

    if (rc != NGX_OK && reason->cause == NGX_HTTP_CMS_PROXY_NO_CAUSE) {

        /* our own trouble says nothing of the target */

        if (ngx_time() - said >= 60) {
            said = ngx_time();
            ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                          "cannot probe target %V of cms_webbridge \"%V\": "
                          "%*s", &probe->name,
                          &probe->health->webbridge->name, reason->len,
                          reason->text);
        }

        ngx_http_cms_proxy_probe_drop(probe);
        return;
    }

    ngx_http_cms_proxy_probe_verdict(probe, rc == NGX_OK, reason);
    ngx_http_cms_proxy_probe_close(probe, rc == NGX_OK);
}


static void
ngx_http_cms_proxy_probe_verdict(ngx_http_cms_proxy_probe_t *probe,
    ngx_uint_t passed, ngx_http_cms_proxy_reason_t *reason)
{
    ngx_str_t                       why;
    ngx_uint_t                      n, state;
    ngx_http_cms_proxy_slot_t      *slot;
    ngx_http_cms_proxy_health_t    *health;
    ngx_http_cms_proxy_srv_conf_t  *wb;

    slot = probe->slot;
    health = probe->health;
    wb = health->webbridge;

    if (passed) {
        reason->cause = NGX_HTTP_CMS_PROXY_NO_CAUSE;
        reason->len = 0;
    }

    ngx_http_cms_proxy_lock();

    if (slot->prober != probe->token) {
        ngx_http_cms_proxy_unlock();
        return;
    }

    slot->prober = 0;

    /* of an address that is no longer there */

    if (!wb->record->probed
        || slot->state == NGX_HTTP_CMS_PROXY_UNUSED
        || ngx_cmp_sockaddr(&slot->sockaddr.sockaddr, slot->socklen,
                            &probe->sockaddr.sockaddr, probe->socklen, 1)
           != NGX_OK)
    {
        ngx_http_cms_proxy_unlock();
        return;
    }

    slot->probed = ngx_time();

    state = slot->state;

    if (passed) {
        slot->fails = 0;
        slot->passes++;

        if (state == NGX_HTTP_CMS_PROXY_UNKNOWN
            || slot->passes >= health->passes)
        {
            state = NGX_HTTP_CMS_PROXY_ACTIVE;
        }

    } else if (reason->cause == NGX_HTTP_CMS_PROXY_TIMED_OUT
               && probe->step != ngx_http_cms_proxy_connecting
               && (ngx_msec_int_t) (slot->answered - probe->started) > 0)
    {
        /* slow, here or there, but guests have been answered meanwhile */

    } else {
        slot->passes = 0;
        slot->fails++;

        if (slot->fails >= health->fails) {
            state = NGX_HTTP_CMS_PROXY_FAILED;
        }
    }

    if (passed || probe->received) {
        slot->latency_us = ngx_http_cms_proxy_usec() - probe->started_us;
    }

    ngx_http_cms_proxy_unlock();

    why.data = reason->text;
    why.len = reason->len;

    ngx_http_cms_proxy_set_state(wb, slot, state, reason->cause, &why);

    /* one page that failed takes the target from nobody for long */

    n = slot - wb->record->slots;

    if (passed && state == NGX_HTTP_CMS_PROXY_ACTIVE && wb->peers
        && wb->peers[n]->fails)
    {
        ngx_http_cms_proxy_clear_fails(wb, slot);
    }
}


/* no verdict: the slot is as if nobody had asked */

static void
ngx_http_cms_proxy_probe_drop(ngx_http_cms_proxy_probe_t *probe)
{
    /* whoever has seen it is not at the claim now, and another token stays */

    if (ngx_atomic_cmp_set(&probe->slot->prober, probe->token, 0)
        && (ngx_exiting || ngx_terminate))
    {
        probe->slot->due = ngx_current_msec;
    }

    ngx_http_cms_proxy_probe_close(probe, 0);
}


static void
ngx_http_cms_proxy_probe_close(ngx_http_cms_proxy_probe_t *probe,
    ngx_uint_t orderly)
{
    ngx_connection_t             *c;
    ngx_http_cms_proxy_health_t  *health;

    ngx_queue_remove(&probe->queue);
    ngx_http_cms_proxy_probes_n--;

    if (probe->timer.timer_set) {
        ngx_del_timer(&probe->timer);
    }

    c = probe->peer.connection;

    if (c) {
#if (NGX_HTTP_SSL)
        ngx_http_cms_proxy_tls_end(probe, orderly);
#endif
        ngx_close_connection(c);
    }

    health = probe->health;
    ngx_destroy_pool(probe->pool);

    ngx_http_cms_proxy_health_ended(health);
}


static uint64_t
ngx_http_cms_proxy_usec(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}
