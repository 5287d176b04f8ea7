
/*
 * The nginx side of cms-edge: a web bridge is an upstream that knows its
 * public names. Structures and calls shared by the files of the module.
 *
 * Configuration: "cms_webbridge NAME { }" is the stock upstream block with our
 * directives in it; its settings are the module's srv conf of that upstream.
 * "cms_proxy NAME ...;" gives its location one hidden child location for each
 * name (as "if" does), which holds the stock proxy's configuration for that
 * web bridge and inherits the rest from the location. A request passes the
 * gate and is then run with the child's configuration.
 */


#ifndef _NGX_HTTP_CMS_PROXY_MODULE_H_INCLUDED_
#define _NGX_HTTP_CMS_PROXY_MODULE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cms_authority.h"
#include "cms_rewrite.h"
#include "ngx_http_cms_proxy_zone.h"


typedef struct ngx_http_cms_proxy_health_s  ngx_http_cms_proxy_health_t;
typedef struct ngx_http_cms_proxy_hashes_s  ngx_http_cms_proxy_hashes_t;
typedef struct ngx_http_cms_proxy_pages_s  ngx_http_cms_proxy_pages_t;


typedef struct {
    ngx_str_t                        file;
    ngx_uint_t                       line;
} ngx_http_cms_proxy_where_t;


/* a name from the configuration: text as written, host in lower case */

typedef struct {
    ngx_str_t                        text;
    ngx_str_t                        host;
    in_port_t                        port;   /* 0 if none was given */
} ngx_http_cms_proxy_name_t;


typedef struct {
    ngx_str_t                        inside;
    ngx_str_t                        outside;
} ngx_http_cms_proxy_domain_t;


/* a stock proxy_... directive as it stood in the configuration */

typedef struct {
    ngx_command_t                   *cmd;
    ngx_array_t                     *args;   /* ngx_str_t */
    ngx_http_cms_proxy_where_t       where;
} ngx_http_cms_proxy_directive_t;


/* "cms_webbridge": srv conf of every upstream, "named" tells ours */

struct ngx_http_cms_proxy_srv_conf_s {
    ngx_str_t                        name;
    ngx_http_cms_proxy_where_t       where;
    ngx_http_upstream_srv_conf_t    *upstream;
    ngx_str_t                        url;         /* https://NAME */
    ngx_str_t                        ssl_name;    /* SNI, and to verify */

    ngx_array_t                      guest_uris;    /* ..._name_t */
    ngx_array_t                      internal_uris; /* ..._name_t */
    ngx_array_t                      domains;       /* ..._domain_t */
    ngx_array_t                      targets;       /* ..._directive_t */
    ngx_array_t                      directives;    /* ..._directive_t */

    ngx_flag_t                       tls;
    ngx_flag_t                       verify;
    ngx_str_t                        trusted_certificate;
    ngx_uint_t                       upstream_host;
    ngx_uint_t                       methods;
    ngx_str_t                        allow;         /* for 405 */
    ngx_msec_t                       websocket_timeout;
    ngx_http_cms_proxy_health_t     *health;        /* never NULL */

    /* ngx_http_cms_proxy_rewrite.c; the sets may be empty, never NULL */
    ngx_flag_t                       rewrite_body;
    ngx_flag_t                       rewrite_websocket;
    ngx_array_t                     *rewrite_types_keys;
    ngx_hash_t                       rewrite_types;  /* size 0: all types */
    uint64_t                         rewrite_hints;  /* of those, see there */
    cms_rewrite_set_t               *rewrite_set;    /* to the guest */
    cms_rewrite_set_t               *rewrite_back;   /* from the guest */
    ngx_http_cms_proxy_pages_t      *pages_hashed;   /* ..._once.c */
    ngx_http_cms_proxy_pages_t      *pages_encoded;

    /* ngx_http_cms_proxy_balance.c */
    ngx_array_t                      keepalive;   /* ..._directive_t */
    ngx_http_upstream_init_pt        balancer_init;
    ngx_http_upstream_init_peer_pt   balancer_init_peer;

    /* what the upstream's servers stand for, one for one */

    ngx_array_t                      lines;         /* ..._line_t */

    ngx_resolver_t                  *resolver;      /* NULL: no names */
    ngx_uint_t                       hosts;         /* /etc/hosts first */

    ngx_uint_t                       index;         /* of the record */
    ngx_http_cms_proxy_record_t     *record;        /* shared memory */
    ngx_http_upstream_rr_peer_t    **peers;         /* by slot, or NULL */
    ngx_uint_t                       applied;       /* generation */

    /* ngx_http_cms_proxy_affinity.c: the IDs by slot, of this worker */
    ngx_uint_t                       affinity;
    u_char                          *affinity_key;   /* NULL: the zone's */
    u_char                          *affinity_ids;
    ngx_uint_t                       affinity_known;
    ngx_uint_t                       affinity_generation;


    ngx_uint_t                       placeholder; /* its index + 1, or 0 */
    unsigned                         named:1;
    unsigned                         foreign:1;   /* not nginx's balancer */
    unsigned                         random:1;    /* nginx's "random" */
};


/* how we sign CDN-Loop (RFC 8586) */

#define NGX_HTTP_CMS_PROXY_CDN_ID    "cms-edge"


#define NGX_HTTP_CMS_PROXY_GUEST     0
#define NGX_HTTP_CMS_PROXY_INTERNAL  1


/* one name of "cms_proxy": the web bridge and its hidden location */

typedef struct {
    ngx_str_t                        name;
    ngx_uint_t                       index;       /* among the names */
    ngx_http_cms_proxy_srv_conf_t   *webbridge;
    void                           **hidden;      /* loc_conf of that */
    unsigned                         trust:1;     /* see ..._trust.c */
} ngx_http_cms_proxy_route_t;


/* what a host stands for in one "cms_proxy"; several with different ports */

typedef struct ngx_http_cms_proxy_guest_s  ngx_http_cms_proxy_guest_t;

struct ngx_http_cms_proxy_guest_s {
    ngx_http_cms_proxy_name_t       *uri;
    ngx_http_cms_proxy_route_t      *route;
    ngx_http_cms_proxy_guest_t      *next;
};


typedef struct ngx_http_cms_proxy_loc_conf_s  ngx_http_cms_proxy_loc_conf_t;
typedef struct ngx_http_cms_proxy_status_s  ngx_http_cms_proxy_status_t;

struct ngx_http_cms_proxy_loc_conf_s {
    ngx_http_cms_proxy_where_t       where;
    ngx_array_t                     *routes;      /* ..._route_t, or NULL */
    ngx_hash_t                       guests;      /* host: ..._guest_t */
    ngx_array_t                      directives;  /* ..._directive_t */
    ngx_http_cms_proxy_loc_conf_t   *parent;      /* the level above */

    ngx_http_core_srv_conf_t        *server;      /* where routes are set */
    ngx_uint_t                       certificate_check;
    ngx_uint_t                       unchecked;   /* said so once */
    ngx_http_cms_proxy_status_t     *status;      /* cms_status, or NULL */

    /* for each route: this location's loc_conf with the route's proxy */
    void                          ***routed;

    ngx_http_cms_proxy_route_t      *child_of;    /* in a hidden location */
};


typedef struct {
    ngx_array_t                      webbridges;  /* ..._srv_conf_t * */
    ngx_array_t                      locations;   /* core loc conf * */
    ngx_array_t                      stores;      /* see ..._trust.c */
    ngx_array_t                      certificates; /* ..._certificate_t * */
    ngx_array_t                      statuses;    /* ..._status_t * */
    ngx_resolver_t                  *resolver;    /* of /etc/resolv.conf */
    ngx_shm_zone_t                  *zone;        /* or NULL: no web bridge */
    ngx_shm_zone_t                  *old_zone;    /* before this reload */
    ngx_http_cms_proxy_root_t       *root;        /* in that zone */
    unsigned                         used:1;      /* some cms_proxy exists */
} ngx_http_cms_proxy_main_conf_t;


typedef struct ngx_http_cms_proxy_balance_s  ngx_http_cms_proxy_balance_t;
typedef struct ngx_http_cms_proxy_frames_s  ngx_http_cms_proxy_frames_t;


/* the gate's verdict on a request */

typedef struct {
    ngx_array_t                     *routes;      /* it was made for */
    ngx_http_cms_proxy_route_t      *route;       /* NULL if refused */
    ngx_http_cms_proxy_name_t       *guest_uri;
    ngx_str_t                        asked;       /* guest host[:port] */
    in_port_t                        asked_port;  /* 0 if none was sent */
    cms_rewrite_to_t                 to;          /* see ..._rewrite_to() */
    ngx_str_t                        refusal;     /* why, or empty */
    ngx_uint_t                       status;      /* 400, 405, 508 if refused */
    ngx_str_t                       *allow;       /* methods, with 405 */
    ngx_str_t                       *loop;        /* CDN-Loop, or NULL */
    ngx_http_upstream_t             *refused;     /* its 101 was refused */
    ngx_http_cms_proxy_balance_t    *balance;     /* or NULL */
    ngx_http_cms_proxy_frames_t     *frames;      /* or NULL */
    unsigned                         websocket:1; /* Upgrade is let through */
    unsigned                         waited:1;    /* for a first address */
    unsigned                         main:1;      /* of a main request */
} ngx_http_cms_proxy_ctx_t;


/* what stands between the balancer and keepalive, for one request */

struct ngx_http_cms_proxy_balance_s {
    ngx_http_request_t              *request;
    ngx_http_cms_proxy_srv_conf_t   *webbridge;
    ngx_http_cms_proxy_ctx_t        *ctx;      /* NULL: not by cms_proxy */

    ngx_uint_t                       current;  /* slot asked + 1, or 0 */
    ngx_atomic_uint_t                key;      /* of its address */
    ngx_uint_t                       wanted;   /* slot of the cookie + 1 */
    ngx_uint_t                       stale;    /* closed when reused */
    uintptr_t                       *tried;    /* bits by slot */
    uintptr_t                        bits;
    unsigned                         moved:1;  /* to backup peers, by us */

    /* ngx_http_cms_proxy_watch.c */
    ngx_queue_t                      queue;
    ngx_msec_t                       since;    /* its target last lived */
    unsigned                         watched:1;

    ngx_http_upstream_rr_peer_data_t  *data;   /* of the stock balancer */
    ngx_event_get_peer_pt            get;
    ngx_event_free_peer_pt           free;
    ngx_event_notify_peer_pt         notify;
#if (NGX_HTTP_SSL)
    ngx_event_set_peer_session_pt    set_session;
    ngx_event_save_peer_session_pt   save_session;
#endif
};


extern ngx_module_t  ngx_http_cms_proxy_module;
extern ngx_module_t  ngx_http_cms_proxy_filter_module;
extern ngx_module_t  ngx_http_proxy_module;             /* nginx's own */


/* ngx_http_cms_proxy_module.c */

ngx_http_cms_proxy_where_t ngx_http_cms_proxy_here(ngx_conf_t *cf);
char *ngx_http_cms_proxy_conf_error(ngx_conf_t *cf,
    ngx_http_cms_proxy_where_t *where, char *fmt, ...);

/* ngx_http_cms_proxy_webbridge.c: the block and its directives */

char *ngx_http_cms_proxy_own(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_http_cms_proxy_srv_conf_t *wb);
void *ngx_http_cms_proxy_create_srv_conf(ngx_conf_t *cf);
char *ngx_http_cms_proxy_webbridge(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_cms_proxy_upstream_default(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb, char *name, ngx_str_t *first,
    char *second);
char *ngx_http_cms_proxy_flag(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_cms_proxy_enum(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_cms_proxy_str(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_cms_proxy_msec(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_cms_proxy_uris(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_cms_proxy_domain(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_cms_proxy_methods(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* ngx_http_cms_proxy_rewrite.c: names of the inside and of the outside */

char *ngx_http_cms_proxy_types(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_cms_proxy_init_rewrite(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb);

/* for the mappings of wb->rewrite_set without a name; NULL: no memory */

cms_rewrite_to_t *ngx_http_cms_proxy_rewrite_to(ngx_http_request_t *r,
    ngx_http_cms_proxy_ctx_t *ctx);

/* whether a type without parameters is one of wb->rewrite_types */

ngx_uint_t ngx_http_cms_proxy_is_rewrite_type(
    ngx_http_cms_proxy_srv_conf_t *wb, ngx_str_t *type);

/* ngx_http_cms_proxy_filter_module.c */

/* the verdict on a request for a web bridge, else NULL */

ngx_http_cms_proxy_ctx_t *ngx_http_cms_proxy_verdict(ngx_http_request_t *r);

/* ngx_http_cms_proxy_body.c */

/* whether the body of this response is one that is rewritten */

ngx_uint_t ngx_http_cms_proxy_rewrites_body(ngx_http_request_t *r,
    ngx_http_cms_proxy_ctx_t *ctx);

ngx_int_t ngx_http_cms_proxy_body_header(ngx_http_request_t *r,
    ngx_http_cms_proxy_ctx_t *ctx);
void ngx_http_cms_proxy_body_init(void);

/* ngx_http_cms_proxy_once.c: pages that the log tells of */

ngx_http_cms_proxy_pages_t *ngx_http_cms_proxy_create_pages(ngx_pool_t *pool);

/* 0: it was asked for this page within the hour, or ten lines were said */

ngx_uint_t ngx_http_cms_proxy_to_look_at(ngx_http_request_t *r,
    ngx_http_cms_proxy_pages_t *pages);
void ngx_http_cms_proxy_line_said(ngx_http_cms_proxy_pages_t *pages);

/* ngx_http_cms_proxy_hashes.c: scripts that browsers may refuse */

/* for the body of this response; NULL: it is not looked at */

ngx_http_cms_proxy_hashes_t *ngx_http_cms_proxy_hashes(ngx_http_request_t *r,
    ngx_http_cms_proxy_srv_conf_t *wb);
void ngx_http_cms_proxy_find_hashes(ngx_http_cms_proxy_hashes_t *h,
    u_char *p, u_char *last);
void ngx_http_cms_proxy_report_hashes(ngx_http_request_t *r,
    ngx_http_cms_proxy_srv_conf_t *wb, ngx_http_cms_proxy_hashes_t *h,
    ngx_uint_t replaced);

/* ngx_http_cms_proxy_frames.c: "rewrite_websocket" */

ngx_int_t ngx_http_cms_proxy_rewrite_frames(ngx_http_request_t *r,
    ngx_http_cms_proxy_ctx_t *ctx);

/* ngx_http_cms_proxy_stock.c: the stock proxy module's directives */

ngx_int_t ngx_http_cms_proxy_stock_commands(ngx_conf_t *cf,
    ngx_command_t *commands, ngx_uint_t n, ngx_uint_t max);
ngx_command_t *ngx_http_cms_proxy_stock_command(ngx_conf_t *cf, char *name,
    ngx_uint_t context, ngx_module_t **module);
char *ngx_http_cms_proxy_record(ngx_conf_t *cf, ngx_array_t *list,
    ngx_command_t *stock);
char *ngx_http_cms_proxy_call(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_array_t *args, ngx_http_cms_proxy_where_t *where, ngx_uint_t cmd_type,
    void *conf);
char *ngx_http_cms_proxy_check_location(ngx_conf_t *cf,
    ngx_http_core_loc_conf_t *clcf, ngx_http_cms_proxy_loc_conf_t *plcf);
char *ngx_http_cms_proxy_expand(ngx_conf_t *cf,
    ngx_http_cms_proxy_loc_conf_t *location,
    ngx_http_cms_proxy_route_t *route);
ngx_int_t ngx_http_cms_proxy_build_routed(ngx_conf_t *cf,
    ngx_http_core_loc_conf_t *clcf, ngx_http_cms_proxy_loc_conf_t *plcf);

/* ngx_http_cms_proxy_trust.c: the CA files, each read once */

ngx_int_t ngx_http_cms_proxy_init_trust(ngx_conf_t *cf,
    ngx_http_cms_proxy_main_conf_t *mcf);
ngx_uint_t ngx_http_cms_proxy_says_verify(ngx_array_t *directives);
char *ngx_http_cms_proxy_trust(ngx_conf_t *cf,
    ngx_http_cms_proxy_route_t *route);

/* ngx_http_cms_proxy_health.c: "health_check" */

char *ngx_http_cms_proxy_health_directive(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
ngx_http_cms_proxy_health_t *ngx_http_cms_proxy_create_health(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb);
ngx_int_t ngx_http_cms_proxy_init_health(ngx_conf_t *cf,
    ngx_http_cms_proxy_route_t *route);
void ngx_http_cms_proxy_init_health_module(ngx_cycle_t *cycle);
void ngx_http_cms_proxy_init_health_process(ngx_cycle_t *cycle);
void ngx_http_cms_proxy_exit_health_process(ngx_cycle_t *cycle);

/* ngx_http_cms_proxy_targets.c */

char *ngx_http_cms_proxy_target(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_cms_proxy_random(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_cms_proxy_add_targets(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb);

/* ngx_http_cms_proxy_balance.c */

char *ngx_http_cms_proxy_keepalive(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_cms_proxy_interpose(ngx_conf_t *cf,
    ngx_http_cms_proxy_srv_conf_t *wb);
ngx_http_cms_proxy_slot_t *ngx_http_cms_proxy_balance_slot(
    ngx_http_cms_proxy_balance_t *bp);
void ngx_http_cms_proxy_balance_answered(ngx_http_cms_proxy_balance_t *bp);
ngx_int_t ngx_http_cms_proxy_balance_websocket(ngx_http_request_t *r,
    ngx_http_cms_proxy_balance_t *bp);

/* ngx_http_cms_proxy_watch.c */

void ngx_http_cms_proxy_watch(ngx_http_cms_proxy_balance_t *bp);
void ngx_http_cms_proxy_unwatch(ngx_http_cms_proxy_balance_t *bp);

/* ngx_http_cms_proxy_affinity.c */

char *ngx_http_cms_proxy_affinity(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
ngx_uint_t ngx_http_cms_proxy_affinity_wanted(ngx_http_request_t *r,
    ngx_http_cms_proxy_ctx_t *ctx);
ngx_int_t ngx_http_cms_proxy_affinity_set(ngx_http_request_t *r,
    ngx_http_cms_proxy_ctx_t *ctx);

/* ngx_http_cms_proxy_page.c */

ngx_uint_t ngx_http_cms_proxy_has_page(ngx_http_request_t *r,
    ngx_uint_t status);
ngx_buf_t *ngx_http_cms_proxy_page(ngx_http_request_t *r, char *title,
    char *text);
ngx_int_t ngx_http_cms_proxy_send(ngx_http_request_t *r, ngx_buf_t *b);
ngx_int_t ngx_http_cms_proxy_add_header(ngx_http_request_t *r, char *name,
    ngx_str_t *value);

/* ngx_http_cms_proxy_resolve.c */

char *ngx_http_cms_proxy_resolver(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
ngx_int_t ngx_http_cms_proxy_set_resolvers(ngx_conf_t *cf);
ngx_int_t ngx_http_cms_proxy_init_resolve_process(ngx_cycle_t *cycle);

/* ngx_http_cms_proxy_gate.c */

ngx_int_t ngx_http_cms_proxy_handler(ngx_http_request_t *r);
ngx_http_cms_proxy_ctx_t *ngx_http_cms_proxy_get_ctx(ngx_http_request_t *r);

/*
 * Walks a list of headers, of those with this name (lower case) or, where it
 * is NULL, all: start with part at &list->part and i at 0; NULL at the end.
 */

ngx_table_elt_t *ngx_http_cms_proxy_next_header(ngx_list_part_t **part,
    ngx_uint_t *i, ngx_str_t *name);

ngx_uint_t ngx_http_cms_proxy_is_header(ngx_table_elt_t *h, ngx_str_t *name);

/* whether there is one Upgrade header, and it says just "websocket" */

ngx_uint_t ngx_http_cms_proxy_is_websocket(ngx_list_t *headers);

/* ngx_http_cms_proxy_wait.c */

ngx_int_t ngx_http_cms_proxy_wait(ngx_http_request_t *r,
    ngx_http_cms_proxy_ctx_t *ctx);

/* ngx_http_cms_proxy_log.c */

ngx_int_t ngx_http_cms_proxy_mask_logs(ngx_cycle_t *cycle);

/* ngx_http_cms_proxy_certificate.c */

/*
 * How closely a server_name fits a host in lower case: 0 not at all, 1 by an
 * expression, more by a wildcard, most by the name itself.
 */

ngx_uint_t ngx_http_cms_proxy_name_fits(ngx_http_server_name_t *name,
    ngx_str_t *host);

/* ngx_http_cms_proxy_status.c */

char *ngx_http_cms_proxy_status(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
ngx_int_t ngx_http_cms_proxy_status_names(ngx_conf_t *cf);

/* ngx_http_cms_proxy_variables.c */

ngx_int_t ngx_http_cms_proxy_add_variables(ngx_conf_t *cf);


#endif /* _NGX_HTTP_CMS_PROXY_MODULE_H_INCLUDED_ */
