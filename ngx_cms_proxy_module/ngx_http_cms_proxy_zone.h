
/*
 * What is known of every web bridge's targets: one zone of shared memory for
 * all workers, kept over reloads.
 *
 * A "target" line stands for one or more slots, an address each.  Slot i of a
 * record is peer i of the upstream's stock round-robin peers, the primary ones
 * first, then the backup ones; what the slot says is written into the peer
 * (apply), and stock balancers do the rest.  Nobody leads: each worker looks
 * for what is due and claims it by compare-and-swap of "due".
 *
 * ngx_http_cms_proxy_zone.c makes the zone, _targets.c reads the lines,
 * _peers.c writes the stock peers, _websockets.c counts.
 */


#ifndef _NGX_HTTP_CMS_PROXY_ZONE_H_INCLUDED_
#define _NGX_HTTP_CMS_PROXY_ZONE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


/* addresses that a line may have at a time */

#define NGX_HTTP_CMS_PROXY_NAME_SLOTS   8
#define NGX_HTTP_CMS_PROXY_SRV_SLOTS    16


/* state of a slot */

#define NGX_HTTP_CMS_PROXY_UNUSED       0  /* holds no address now */
#define NGX_HTTP_CMS_PROXY_UNKNOWN      1  /* not probed: gets guests */
#define NGX_HTTP_CMS_PROXY_ACTIVE       2
#define NGX_HTTP_CMS_PROXY_FAILED       3


/* why a slot failed */

#define NGX_HTTP_CMS_PROXY_NO_CAUSE     0
#define NGX_HTTP_CMS_PROXY_REFUSED      1
#define NGX_HTTP_CMS_PROXY_UNREACHABLE  2
#define NGX_HTTP_CMS_PROXY_TIMED_OUT    3
#define NGX_HTTP_CMS_PROXY_CERTIFICATE  4
#define NGX_HTTP_CMS_PROXY_TLS_FAILED   5
#define NGX_HTTP_CMS_PROXY_STATUS       6
#define NGX_HTTP_CMS_PROXY_TEXT         7
#define NGX_HTTP_CMS_PROXY_PROTOCOL     8
#define NGX_HTTP_CMS_PROXY_CLOSED       9


/* kind of a line */

#define NGX_HTTP_CMS_PROXY_LITERAL      0  /* addresses, unix sockets */
#define NGX_HTTP_CMS_PROXY_NAME         1  /* A and AAAA */
#define NGX_HTTP_CMS_PROXY_SRV          2


typedef struct ngx_http_cms_proxy_srv_conf_s  ngx_http_cms_proxy_srv_conf_t;


/*
 * One address.  Times: "due" by ngx_current_msec, which is the same in all
 * processes; the others in seconds of Unix time, 0 is never.
 */

typedef struct {
    ngx_sockaddr_t                   sockaddr;
    socklen_t                        socklen;
    size_t                           name_len;
    u_char                           name[NGX_SOCKADDR_STRLEN];
    size_t                           host_len;  /* SRV: its host; or "" */
    u_char                           host[256];

    ngx_uint_t                       target;    /* of the record's targets */
    ngx_uint_t                       priority;  /* of SRV, or 0 */
    ngx_uint_t                       weight;    /* of SRV, or the line's */
    ngx_uint_t                       backup;
    ngx_uint_t                       config_down;

    ngx_atomic_t                     state;
    ngx_atomic_t                     idle;      /* a better priority lives */

    /* health; written by who probed, under the lock */

    ngx_atomic_t                     due;       /* next probe; 0: first */
    ngx_atomic_t                     prober;    /* who probes now, or 0 */
    ngx_atomic_t                     started;   /* last probe, like due */
    ngx_uint_t                       passes;    /* in a row */
    ngx_uint_t                       fails;
    time_t                           probed;
    time_t                           changed;   /* of state */
    ngx_uint_t                       latency_us; /* last answered probe */
    ngx_uint_t                       cause;
    size_t                           reason_len; /* for people, no secrets */
    u_char                           reason[192];

    /* since this address is in the slot */

    ngx_atomic_t                     requests;
    ngx_atomic_t                     failures;
    ngx_atomic_t                     answered;  /* a guest; see due */

    ngx_atomic_uint_t                key;       /* of its WebSockets */
    ngx_uint_t                       epoch;     /* counts its addresses */
} ngx_http_cms_proxy_slot_t;


/* one line, as configured, and what DNS said of it */

typedef struct {
    ngx_str_t                        text;      /* as written */
    ngx_uint_t                       kind;
    ngx_uint_t                       first;     /* of the record's slots */
    ngx_uint_t                       nslots;

    ngx_atomic_t                     due;       /* next query */
    ngx_atomic_t                     answered;  /* 0: DNS never said a word */
    time_t                           resolved;  /* last good answer */
    time_t                           valid;     /* until then */
    ngx_uint_t                       failures;  /* queries in a row */
    ngx_uint_t                       addresses; /* in the last good answer */
    size_t                           error_len; /* "NXDOMAIN" or "" */
    u_char                           error[128];
} ngx_http_cms_proxy_target_t;


typedef struct {
    ngx_str_t                        name;      /* of the cms_webbridge */
    ngx_uint_t                       ntargets;
    ngx_uint_t                       nslots;
    ngx_http_cms_proxy_target_t     *targets;
    ngx_http_cms_proxy_slot_t       *slots;

    ngx_atomic_t                     live;      /* slots that get guests */
    ngx_atomic_t                     cold;      /* targets not answered */
    ngx_atomic_t                     generation; /* of all that peers get */
    ngx_uint_t                       probed;    /* health_check is on */
} ngx_http_cms_proxy_record_t;


typedef struct {
    ngx_uint_t                       version;   /* sizes, for one */
    u_char                           layout[16]; /* MD5 of all lines */
    u_char                           key[32];   /* random, kept on reload */
    /* peers that are being written, under the mutex, and in which cycle */

    ngx_http_upstream_rr_peers_t    *written;
    ngx_uint_t                       writer;
    ngx_uint_t                       cycles;

    ngx_uint_t                       nrecords;
    ngx_http_cms_proxy_record_t     *records;
} ngx_http_cms_proxy_root_t;


/* a line on the side of the configuration, in the order of the servers */

typedef struct {
    ngx_str_t                        text;
    ngx_uint_t                       kind;
    ngx_str_t                        host;      /* to ask for, not literal */
    ngx_str_t                        service;   /* SRV: "_cms-web._tls" */
    in_port_t                        port;
    ngx_uint_t                       fallback;  /* no SRV: A and AAAA */
    ngx_uint_t                       down;      /* as the line says */
} ngx_http_cms_proxy_line_t;


/* ngx_http_cms_proxy_zone.c */

ngx_int_t ngx_http_cms_proxy_add_zone(ngx_conf_t *cf);
ngx_int_t ngx_http_cms_proxy_init_zone_module(ngx_cycle_t *cycle);

ngx_http_cms_proxy_root_t *ngx_http_cms_proxy_root(ngx_cycle_t *cycle);

/*
 * The zone's mutex, for texts and states.  Never held across I/O, not taken
 * while a request goes its usual way; freed by the master if its holder dies.
 */

void ngx_http_cms_proxy_lock(void);
void ngx_http_cms_proxy_unlock(void);

/* notes, under the lock, what peers are written now; NULL: none any more */

void ngx_http_cms_proxy_note_written(ngx_http_upstream_rr_peers_t *peers);

/*
 * Sets the state of a slot and why; takes the lock.  A change is applied to
 * the peers at once and logged in one line.  The reason is cut to fit.
 */

void ngx_http_cms_proxy_set_state(ngx_http_cms_proxy_srv_conf_t *wb,
    ngx_http_cms_proxy_slot_t *slot, ngx_uint_t state, ngx_uint_t cause,
    ngx_str_t *reason);

/*
 * A request has failed there: it is probed at once, but not if that was done
 * in the last 500 ms.  In ngx_http_cms_proxy_health.c.
 */

void ngx_http_cms_proxy_probe_soon(ngx_http_cms_proxy_slot_t *slot);

/* claims what is due until now + lease; 0: not due, or another was faster */

ngx_uint_t ngx_http_cms_proxy_claim(ngx_atomic_t *due, ngx_msec_t lease);


/* ngx_http_cms_proxy_websockets.c */

ngx_int_t ngx_http_cms_proxy_add_websockets(ngx_conf_t *cf);
void ngx_http_cms_proxy_init_websockets_process(void);
void ngx_http_cms_proxy_exit_websockets_process(void);

ngx_atomic_uint_t ngx_http_cms_proxy_websocket_key(ngx_str_t *webbridge,
    u_char *address, size_t len);

/* a WebSocket of this worker: "closed" takes what "opened" has returned */

ngx_int_t ngx_http_cms_proxy_websocket_opened(ngx_http_cms_proxy_slot_t *slot);
void ngx_http_cms_proxy_websocket_closed(ngx_int_t place);

/* how many are live at the slot's address, in all workers of all cycles */

ngx_uint_t ngx_http_cms_proxy_websockets(ngx_http_cms_proxy_slot_t *slot);


/* ngx_http_cms_proxy_peers.c */

/* finds the stock peers; the number of slots decides whether they are ours */

ngx_int_t ngx_http_cms_proxy_init_peers(ngx_cycle_t *cycle,
    ngx_http_cms_proxy_srv_conf_t *wb);

/*
 * Which slots wait for a better priority, and how many get guests; the lock
 * is held.  Counts a new generation.
 */

void ngx_http_cms_proxy_update(ngx_http_cms_proxy_record_t *record);

/* writes the slots into the stock peers, and again is as well */

void ngx_http_cms_proxy_apply(ngx_http_cms_proxy_srv_conf_t *wb);
void ngx_http_cms_proxy_apply_locked(ngx_http_cms_proxy_srv_conf_t *wb);

/*
 * For who has just got the lock and finds root->written set: its writer was
 * killed, and left the peers' own lock, which nginx does not free.
 */

void ngx_http_cms_proxy_mend_peers(ngx_http_cms_proxy_root_t *root,
    ngx_uint_t cycle);

/* whether this worker's peers are those of an older generation */

#define ngx_http_cms_proxy_stale(wb)                                          \
    ((wb)->record && (wb)->applied != (wb)->record->generation)

/* the slot of a stock peer, by the POINTER of its sockaddr; NULL: not ours */

ngx_http_cms_proxy_slot_t *ngx_http_cms_proxy_slot(
    ngx_http_cms_proxy_srv_conf_t *wb, struct sockaddr *sockaddr);

/*
 * For a balancer's choice: copies the peer's address and name, which may
 * change at any time, into the pool and lets pc point to the copies.  slot is
 * that of the peer, or NULL.
 */

ngx_int_t ngx_http_cms_proxy_copy_peer(ngx_http_cms_proxy_srv_conf_t *wb,
    ngx_peer_connection_t *pc, ngx_pool_t *pool,
    ngx_http_cms_proxy_slot_t **slot);

/* whether it is alive, as far as anybody knows, and wanted */

ngx_uint_t ngx_http_cms_proxy_usable(ngx_http_cms_proxy_slot_t *slot);

/* how many slots may get guests */

ngx_uint_t ngx_http_cms_proxy_live(ngx_http_cms_proxy_srv_conf_t *wb);

/* forgets the stock balancer's passive failures: of one slot, or NULL, all */

void ngx_http_cms_proxy_clear_fails(ngx_http_cms_proxy_srv_conf_t *wb,
    ngx_http_cms_proxy_slot_t *slot);


#endif /* _NGX_HTTP_CMS_PROXY_ZONE_H_INCLUDED_ */
