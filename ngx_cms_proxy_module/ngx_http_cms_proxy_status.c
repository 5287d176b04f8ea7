
/*
 * "cms_status": answers with the status page, as HTML, JSON or figures for
 * Prometheus.  A page in a guest's or administrator's browser must not be able
 * to read it through a name of its own that leads here (DNS rebinding), so
 * only names and addresses that this server really has are answered.
 */


#include "ngx_http_cms_proxy_status.h"

#include <openssl/sha.h>


typedef struct {
    ngx_str_t                        name;
    ngx_str_t                        type;
} ngx_http_cms_proxy_status_format_t;


static char *ngx_http_cms_proxy_status_policy(ngx_conf_t *cf,
    ngx_http_cms_proxy_status_t *status);
static char *ngx_http_cms_proxy_status_files(ngx_conf_t *cf,
    ngx_http_cms_proxy_status_t *status, ngx_str_t *turn);
static ngx_int_t ngx_http_cms_proxy_status_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_cms_proxy_status_refuse(ngx_http_request_t *r,
    ngx_uint_t code);
static ngx_uint_t ngx_http_cms_proxy_status_is_ours(ngx_http_request_t *r);
static ngx_uint_t ngx_http_cms_proxy_status_is_address(ngx_http_request_t *r,
    ngx_str_t *host);
static ngx_http_cms_proxy_status_format_t *ngx_http_cms_proxy_status_format(
    ngx_http_request_t *r);
static ngx_int_t ngx_http_cms_proxy_status_render(ngx_http_request_t *r,
    ngx_http_cms_proxy_status_t *status,
    ngx_http_cms_proxy_status_format_t *format, cms_text_t *text);
static int ngx_http_cms_proxy_status_json(const char *p, size_t len,
    void *text);
static void ngx_http_cms_proxy_status_free(void *data);
static ngx_int_t ngx_http_cms_proxy_status_send(ngx_http_request_t *r,
    ngx_http_cms_proxy_status_t *status,
    ngx_http_cms_proxy_status_format_t *format, cms_text_t *text);


#define NGX_HTTP_CMS_PROXY_HTML        0
#define NGX_HTTP_CMS_PROXY_JSON        1
#define NGX_HTTP_CMS_PROXY_PROMETHEUS  2


static ngx_http_cms_proxy_status_format_t
    ngx_http_cms_proxy_status_formats[] = {
    { ngx_string("html"), ngx_string("text/html; charset=utf-8") },
    { ngx_string("json"), ngx_string("application/json") },
    { ngx_string("prometheus"),
      ngx_string("text/plain; version=0.0.4; charset=utf-8") },
    { ngx_null_string, ngx_null_string }
};


/* cms_status [turn=FILE] */

char *
ngx_http_cms_proxy_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_cms_proxy_loc_conf_t *plcf = conf;

    ngx_str_t                        *value, turn;
    ngx_http_core_loc_conf_t         *clcf;
    ngx_http_cms_proxy_status_t     **statusp;
    ngx_http_cms_proxy_main_conf_t   *mcf;

    if (plcf->status) {
        return "is duplicate";
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler) {
        return "is not the only handler of this location";
    }

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cms_proxy_module);

    plcf->status = ngx_pcalloc(cf->pool, sizeof(ngx_http_cms_proxy_status_t));
    statusp = ngx_array_push(&mcf->statuses);

    if (plcf->status == NULL || statusp == NULL) {
        return NGX_CONF_ERROR;
    }

    *statusp = plcf->status;

    plcf->status->server = ngx_http_conf_get_module_srv_conf(cf,
                                                         ngx_http_core_module);

    value = cf->args->elts;

    if (cf->args->nelts > 1) {

        if (ngx_strncmp(value[1].data, "turn=", 5) != 0 || value[1].len == 5) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" in \"cms_status\" is unknown; expected "
                               "is turn=FILE, the turn.json of the coturn "
                               "plugin", &value[1]);
            return NGX_CONF_ERROR;
        }

        turn.data = value[1].data + 5;
        turn.len = value[1].len - 5;

        if (ngx_http_cms_proxy_status_files(cf, plcf->status, &turn)
            != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    clcf->handler = ngx_http_cms_proxy_status_handler;

    return ngx_http_cms_proxy_status_policy(cf, plcf->status);
}


/* nothing but the one style, by its hash */

static char *
ngx_http_cms_proxy_status_policy(ngx_conf_t *cf,
    ngx_http_cms_proxy_status_t *status)
{
    u_char     hash[SHA256_DIGEST_LENGTH];
    u_char     text[ngx_base64_encoded_length(SHA256_DIGEST_LENGTH)];
    ngx_str_t  src, base64;

    static char  policy[] = "default-src 'none'; style-src 'sha256-%V'; "
                            "base-uri 'none'; form-action 'none'; "
                            "frame-ancestors 'none'";

    SHA256((u_char *) cms_status_style, ngx_strlen(cms_status_style), hash);

    src.data = hash;
    src.len = sizeof(hash);
    base64.data = text;

    ngx_encode_base64(&base64, &src);

    status->policy.data = ngx_pnalloc(cf->pool, sizeof(policy) + base64.len);
    if (status->policy.data == NULL) {
        return NGX_CONF_ERROR;
    }

    status->policy.len = ngx_sprintf(status->policy.data, policy, &base64)
                         - status->policy.data;

    return NGX_CONF_OK;
}


static char *
ngx_http_cms_proxy_status_files(ngx_conf_t *cf,
    ngx_http_cms_proxy_status_t *status, ngx_str_t *turn)
{
    size_t      len;
    ngx_str_t  *prom;

    status->turn = *turn;

    if (ngx_conf_full_name(cf->cycle, &status->turn, 0) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    len = status->turn.len;

    if (len > 5 && ngx_strncmp(status->turn.data + len - 5, ".json", 5) == 0) {
        len -= 5;
    }

    prom = &status->prom;

    prom->data = ngx_pnalloc(cf->pool, len + sizeof(".prom"));
    if (prom->data == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memcpy(prom->data, status->turn.data, len);
    ngx_memcpy(prom->data + len, ".prom", sizeof(".prom"));
    prom->len = len + sizeof(".prom") - 1;

    return NGX_CONF_OK;
}


/*
 * All servers are read: nginx drops the lists of their names once it has made
 * its hashes.  An expression may match anything, so it names nothing.
 */

ngx_int_t
ngx_http_cms_proxy_status_names(ngx_conf_t *cf)
{
    ngx_uint_t                        i, k;
    ngx_http_server_name_t           *name, *copy;
    ngx_http_core_srv_conf_t         *cscf;
    ngx_http_cms_proxy_status_t     **statusp;
    ngx_http_cms_proxy_main_conf_t   *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cms_proxy_module);
    statusp = mcf->statuses.elts;

    for (i = 0; i < mcf->statuses.nelts; i++) {

        cscf = statusp[i]->server;
        name = cscf->server_names.elts;

        if (ngx_array_init(&statusp[i]->names, cf->pool,
                           cscf->server_names.nelts + 1,
                           sizeof(ngx_http_server_name_t))
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        for (k = 0; k < cscf->server_names.nelts; k++) {

#if (NGX_PCRE)
            if (name[k].regex) {
                continue;
            }
#endif

            copy = ngx_array_push(&statusp[i]->names);
            *copy = name[k];
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_cms_proxy_status_handler(ngx_http_request_t *r)
{
    ngx_int_t                            rc;
    cms_text_t                          *text;
    ngx_pool_cleanup_t                  *cln;
    ngx_http_cms_proxy_loc_conf_t       *plcf;
    ngx_http_cms_proxy_status_format_t  *format;

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    if (!ngx_http_cms_proxy_status_is_ours(r)) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "cms_status refused the request: Host is no server_name "
                      "or address of this server");
        return ngx_http_cms_proxy_status_refuse(r, NGX_HTTP_FORBIDDEN);
    }

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return ngx_http_cms_proxy_status_refuse(r, NGX_HTTP_NOT_ALLOWED);
    }

    format = ngx_http_cms_proxy_status_format(r);

    if (format == NULL) {
        return NGX_HTTP_BAD_REQUEST;
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(cms_text_t));
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln->handler = ngx_http_cms_proxy_status_free;
    text = cln->data;
    ngx_memzero(text, sizeof(cms_text_t));

    plcf = ngx_http_get_module_loc_conf(r, ngx_http_cms_proxy_module);

    if (ngx_http_cms_proxy_status_render(r, plcf->status, format, text)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_cms_proxy_status_send(r, plcf->status, format, text);
}


/* without a word: who asks may be another's page */

static ngx_int_t
ngx_http_cms_proxy_status_refuse(ngx_http_request_t *r, ngx_uint_t code)
{
    ngx_int_t  rc;

    static ngx_str_t  methods = ngx_string("GET, HEAD");

    r->headers_out.status = code;
    r->headers_out.content_length_n = 0;

    if (code == NGX_HTTP_NOT_ALLOWED
        && ngx_http_cms_proxy_add_header(r, "Allow", &methods) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    return ngx_http_send_special(r, NGX_HTTP_LAST);
}


/*
 * A server_name of this server, but no expression, which may match anything;
 * "localhost", which no resolver leads elsewhere; the address itself.
 */

static ngx_uint_t
ngx_http_cms_proxy_status_is_ours(ngx_http_request_t *r)
{
    ngx_str_t                      *host;
    ngx_uint_t                      i;
    ngx_http_server_name_t         *name;
    ngx_http_cms_proxy_loc_conf_t  *plcf;

    host = &r->headers_in.server;

    if (host->len == 0) {
        return 0;
    }

    if (host->len == sizeof("localhost") - 1
        && ngx_strncmp(host->data, "localhost", host->len) == 0)
    {
        return 1;
    }

    plcf = ngx_http_get_module_loc_conf(r, ngx_http_cms_proxy_module);
    name = plcf->status->names.elts;

    for (i = 0; i < plcf->status->names.nelts; i++) {
        if (ngx_http_cms_proxy_name_fits(&name[i], host)) {
            return 1;
        }
    }

    return ngx_http_cms_proxy_status_is_address(r, host);
}


static ngx_uint_t
ngx_http_cms_proxy_status_is_address(ngx_http_request_t *r, ngx_str_t *host)
{
    ngx_str_t             text;
    ngx_addr_t            addr;
    struct sockaddr      *local;
    struct sockaddr_in   *sin;
#if (NGX_HAVE_INET6)
    struct sockaddr_in6  *sin6;
#endif

    text = *host;

    if (text.len > 2 && text.data[0] == '[') {
        text.data++;
        text.len -= 2;
    }

    if (ngx_parse_addr(r->pool, &addr, text.data, text.len) != NGX_OK
        || ngx_connection_local_sockaddr(r->connection, NULL, 0) != NGX_OK)
    {
        return 0;
    }

    local = r->connection->local_sockaddr;

#if (NGX_HAVE_INET6)

    /* a socket for both families sees IPv4 mapped */

    if (local->sa_family == AF_INET6 && addr.sockaddr->sa_family == AF_INET) {
        sin = (struct sockaddr_in *) addr.sockaddr;
        sin6 = (struct sockaddr_in6 *) local;

        return IN6_IS_ADDR_V4MAPPED(&sin6->sin6_addr)
               && ngx_memcmp(&sin6->sin6_addr.s6_addr[12], &sin->sin_addr, 4)
                  == 0;
    }

#endif

    return ngx_cmp_sockaddr(addr.sockaddr, addr.socklen, local,
                            r->connection->local_socklen, 0)
           == NGX_OK;
}


/* by the argument "format"; NULL: there is no such */

static ngx_http_cms_proxy_status_format_t *
ngx_http_cms_proxy_status_format(ngx_http_request_t *r)
{
    ngx_str_t                            value;
    ngx_http_cms_proxy_status_format_t  *format;

    format = ngx_http_cms_proxy_status_formats;

    if (ngx_http_arg(r, (u_char *) "format", 6, &value) != NGX_OK) {
        return format;
    }

    for ( /* void */ ; format->name.len; format++) {
        if (value.len == format->name.len
            && ngx_strncmp(value.data, format->name.data, value.len) == 0)
        {
            return format;
        }
    }

    return NULL;
}


static ngx_int_t
ngx_http_cms_proxy_status_render(ngx_http_request_t *r,
    ngx_http_cms_proxy_status_t *status,
    ngx_http_cms_proxy_status_format_t *format, cms_text_t *text)
{
    char    *turn;
    size_t   len;
    json_t  *doc;

    doc = ngx_http_cms_proxy_status_document(r, status);
    if (doc == NULL) {
        return NGX_ERROR;
    }

    switch (format - ngx_http_cms_proxy_status_formats) {

    case NGX_HTTP_CMS_PROXY_JSON:

        if (json_dump_callback(doc, ngx_http_cms_proxy_status_json, text,
                               JSON_INDENT(1)|JSON_REAL_PRECISION(15))
            != 0)
        {
            text->failed = 1;
        }

        cms_text_add(text, "\n", 1);
        break;

    case NGX_HTTP_CMS_PROXY_PROMETHEUS:

        turn = NULL;
        len = 0;

        /* of a turnserver that has ended they would be taken for the present */

        if (ngx_strcmp(cms_status_string(json_object_get(doc, "turn"),
                                         "state"), "running")
            == 0)
        {
            turn = ngx_http_cms_proxy_status_turn_prom(&status->prom, &len,
                                                       r->connection->log);
        }

        cms_status_prometheus(doc, turn, len, text);

        if (turn) {
            ngx_free(turn);
        }

        break;

    default:
        cms_status_html(doc, text);
        break;
    }

    json_decref(doc);

    return text->failed ? NGX_ERROR : NGX_OK;
}


static int
ngx_http_cms_proxy_status_json(const char *p, size_t len, void *text)
{
    cms_text_add(text, p, len);

    return 0;
}


static void
ngx_http_cms_proxy_status_free(void *data)
{
    cms_text_t  *text = data;

    free(text->data);
}


static ngx_int_t
ngx_http_cms_proxy_status_send(ngx_http_request_t *r,
    ngx_http_cms_proxy_status_t *status,
    ngx_http_cms_proxy_status_format_t *format, cms_text_t *text)
{
    ngx_buf_t  *b;

    static ngx_str_t  no_store = ngx_string("no-store");
    static ngx_str_t  no_sniff = ngx_string("nosniff");
    static ngx_str_t  no_referrer = ngx_string("no-referrer");

    if (ngx_http_cms_proxy_add_header(r, "Cache-Control", &no_store) != NGX_OK
        || ngx_http_cms_proxy_add_header(r, "Content-Security-Policy",
                                         &status->policy)
           != NGX_OK
        || ngx_http_cms_proxy_add_header(r, "X-Content-Type-Options",
                                         &no_sniff)
           != NGX_OK
        || ngx_http_cms_proxy_add_header(r, "Referrer-Policy", &no_referrer)
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b->pos = (u_char *) text->data;
    b->last = b->pos + text->len;
    b->memory = 1;
    b->last_buf = (r == r->main) ? 1 : 0;
    b->last_in_chain = 1;

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = text->len;
    r->headers_out.content_type = format->type;
    r->headers_out.content_type_len = format->type.len;

    return ngx_http_cms_proxy_send(r, b);
}
