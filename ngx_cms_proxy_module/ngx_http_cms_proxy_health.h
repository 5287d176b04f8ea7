
/*
 * Health probes: what the directive says and what one probe knows, for
 * ngx_http_cms_proxy_health.c (the directive, what is due), _health_probe.c
 * (one probe and its verdict) and _health_tls.c (its TLS leg and the faults of
 * certificates in words).
 */


#ifndef _NGX_HTTP_CMS_PROXY_HEALTH_H_INCLUDED_
#define _NGX_HTTP_CMS_PROXY_HEALTH_H_INCLUDED_


#include "ngx_http_cms_proxy_module.h"
#include "cms_probe.h"


/* "health_check" of a web bridge, and what follows from the rest of it */

struct ngx_http_cms_proxy_health_s {
    ngx_http_cms_proxy_srv_conf_t   *webbridge;
    ngx_flag_t                       on;
    ngx_str_t                        uri;
    ngx_msec_t                       interval;
    ngx_msec_t                       timeout;
    ngx_uint_t                       fails;
    ngx_uint_t                       passes;
    cms_probe_text_t                *text;       /* or NULL */

    /* how guests' requests reach it; NULL: no cms_proxy names it */

    ngx_http_upstream_conf_t        *conf;
    ngx_str_t                        ca_file;    /* "" where nginx knows it */
    ngx_str_t                        host;       /* Host, as guests' */
    ngx_str_t                        tls_name;   /* SNI, and to verify */
    ngx_str_t                        request;

    /* of this worker */

    ngx_event_t                      timer;
    ngx_queue_t                      queue;      /* of those that wait */
    unsigned                         waiting:1;  /* in the queue */
    unsigned                         turn:1;     /* it was its head */
};


typedef enum {
    ngx_http_cms_proxy_connecting = 0,
    ngx_http_cms_proxy_handshaking,
    ngx_http_cms_proxy_sending,
    ngx_http_cms_proxy_receiving
} ngx_http_cms_proxy_probe_step_e;


/* a probe under way; lives in a pool of its own */

typedef struct {
    ngx_queue_t                      queue;
    ngx_pool_t                      *pool;
    ngx_http_cms_proxy_health_t     *health;
    ngx_http_cms_proxy_slot_t       *slot;
    ngx_atomic_uint_t                token;      /* whose slot->prober is it */
    ngx_msec_t                       started;
    uint64_t                         started_us;

    ngx_sockaddr_t                   sockaddr;   /* as the slot had it */
    socklen_t                        socklen;
    ngx_str_t                        name;

    ngx_peer_connection_t            peer;
    ngx_event_t                      timer;
    ngx_http_cms_proxy_probe_step_e  step;
    size_t                           sent;
    size_t                           received;
    cms_probe_t                      answer;
} ngx_http_cms_proxy_probe_t;


/* a verdict: why it failed, in the words of the problem */

typedef struct {
    ngx_uint_t                       cause;
    size_t                           len;
    u_char                           text[192];
} ngx_http_cms_proxy_reason_t;


/* ngx_http_cms_proxy_health.c: a probe of this web bridge has ended */

void ngx_http_cms_proxy_health_ended(ngx_http_cms_proxy_health_t *health);

/*
 * ngx_http_cms_proxy_health_probe.c.  A worker has at most an eighth of its
 * connections for probes.  Those that are dropped have no verdict.
 */

void ngx_http_cms_proxy_init_probes(ngx_cycle_t *cycle);
ngx_uint_t ngx_http_cms_proxy_room_for_probe(void);
void ngx_http_cms_proxy_probe(ngx_http_cms_proxy_health_t *health,
    ngx_http_cms_proxy_slot_t *slot);
void ngx_http_cms_proxy_drop_probes(void);

void ngx_http_cms_proxy_say(ngx_http_cms_proxy_reason_t *reason,
    ngx_uint_t cause, const char *fmt, ...);


/*
 * ngx_http_cms_proxy_health_tls.c.  Each returns NGX_OK, NGX_AGAIN (the
 * events' "ready" is as it must be) or NGX_ERROR with the reason said; read
 * and write return a number of bytes in place of NGX_OK, read 0 at the end.
 */

#if (NGX_HTTP_SSL)

ngx_int_t ngx_http_cms_proxy_tls_start(ngx_http_cms_proxy_probe_t *probe,
    ngx_http_cms_proxy_reason_t *reason);
ngx_int_t ngx_http_cms_proxy_tls_handshake(ngx_http_cms_proxy_probe_t *probe,
    ngx_http_cms_proxy_reason_t *reason);
ssize_t ngx_http_cms_proxy_tls_write(ngx_http_cms_proxy_probe_t *probe,
    u_char *data, size_t len, ngx_http_cms_proxy_reason_t *reason);
ssize_t ngx_http_cms_proxy_tls_read(ngx_http_cms_proxy_probe_t *probe,
    u_char *data, size_t len, ngx_http_cms_proxy_reason_t *reason);
void ngx_http_cms_proxy_tls_end(ngx_http_cms_proxy_probe_t *probe,
    ngx_uint_t orderly);

#endif


#endif /* _NGX_HTTP_CMS_PROXY_HEALTH_H_INCLUDED_ */
