
/*
 * The stream side of cms-edge: one port for HTTPS and for TURN.  What its two
 * modules share: ngx_stream_cms_proxy_module has the directive "cms_share" and
 * takes connections; ngx_stream_cms_proxy_targets_module looks, when the whole
 * configuration is read, for the listeners that it names.
 */


#ifndef _NGX_STREAM_CMS_PROXY_MODULE_H_INCLUDED_
#define _NGX_STREAM_CMS_PROXY_MODULE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_stream.h>

#include "cms_preread.h"


/* a listener of this nginx, which is handed connections in the process */

typedef struct {
    ngx_str_t                      text;    /* as configured; unset: no data */
    ngx_addr_t                    *addrs;   /* what a host name stands for */
    ngx_uint_t                     naddrs;

    /* one of the addresses and its listener, from init_module on */

    ngx_addr_t                    *addr;
    ngx_listening_t               *listening;
} ngx_stream_cms_proxy_target_t;


#define NGX_STREAM_CMS_PROXY_HTTPS   0
#define NGX_STREAM_CMS_PROXY_TURNS   1
#define NGX_STREAM_CMS_PROXY_HTTP    2
#define NGX_STREAM_CMS_PROXY_TARGETS 3


typedef struct {
    /* CMS_PREREAD_TO_...; none: no "cms_share" in this server */
    ngx_uint_t                     configured;
    ngx_stream_cms_proxy_target_t  targets[NGX_STREAM_CMS_PROXY_TARGETS];

    /* turn=, where it is an address that is no name and no variable */
    ngx_stream_cms_proxy_target_t  turn;

    /* what the server listens on: with ssl, without */
    unsigned                       ssl:1;
    unsigned                       plain:1;

    /* the stock proxy's, with turn= */
    ngx_stream_content_handler_pt  proxy;
    ngx_msec_t                     timeout;

    u_char                        *file;
    ngx_uint_t                     line;
} ngx_stream_cms_proxy_srv_conf_t;


typedef struct {
    ngx_str_t                      name;    /* "https=" */
    ngx_uint_t                     to;      /* CMS_PREREAD_TO_... */
    ngx_connection_handler_pt      handler; /* of a listener of this kind */
    ngx_uint_t                     ssl;
    char                          *kind;
} ngx_stream_cms_proxy_kind_t;


/* a stock directive of a stream server, and its module */

ngx_command_t *ngx_stream_cms_proxy_find_command(ngx_cycle_t *cycle,
    char *name, ngx_module_t **module);


extern ngx_module_t  ngx_stream_cms_proxy_module;
extern ngx_module_t  ngx_stream_cms_proxy_targets_module;

/* by number of the target */
extern ngx_stream_cms_proxy_kind_t
    ngx_stream_cms_proxy_kinds[NGX_STREAM_CMS_PROXY_TARGETS];


#endif /* _NGX_STREAM_CMS_PROXY_MODULE_H_INCLUDED_ */
