
/*
 * Names of targets are followed here, by TTL, with nginx's own resolver.
 * Every worker looks for names that are due; one of them asks, and what it
 * learns goes into the shared slots and from there into everybody's peers.
 * The last good answer stays until there is a better one.
 *
 * Which resolver: the "resolver" of the cms_webbridge block, or of http, or
 * the name servers of /etc/resolv.conf, and then /etc/hosts comes first.
 */


#include "ngx_http_cms_proxy_module.h"

#include "cms_name_files.h"
#include "cms_slots.h"


/* queries of a worker at a time: thousands of names are not asked at once */

#define NGX_HTTP_CMS_PROXY_QUERIES        64

/* for each try; what a worker that dies meanwhile costs is the lease */

#define NGX_HTTP_CMS_PROXY_QUERY_TIMEOUT  2000
#define NGX_HTTP_CMS_PROXY_RETRY_TIMEOUT  1000
#define NGX_HTTP_CMS_PROXY_QUERY_LEASE    3000

/* after a failure that came at once, and how often /etc/hosts is looked at */

#define NGX_HTTP_CMS_PROXY_PAUSE          1000
#define NGX_HTTP_CMS_PROXY_HOSTS_TTL      5

#define NGX_HTTP_CMS_PROXY_TTL_MAX        86400

/* behind the end of a TTL; the promise is TTL + 1 s */

#define NGX_HTTP_CMS_PROXY_JITTER         800

/* addresses of one answer that are looked at */

#define NGX_HTTP_CMS_PROXY_ANSWERS        64

#define NGX_HTTP_CMS_PROXY_FILE_MAX       (1024 * 1024)


/* a name to follow */

typedef struct {
    ngx_http_cms_proxy_srv_conf_t   *wb;
    ngx_http_cms_proxy_line_t       *line;
    ngx_http_cms_proxy_target_t     *target;
    ngx_str_t                        service;   /* of what is asked now */
    ngx_uint_t                       again;     /* some hosts are missing */
    ngx_uint_t                       odd;       /* some answers are no use */
} ngx_http_cms_proxy_follow_t;


typedef struct {
    ngx_sockaddr_t                   sockaddr;
    socklen_t                        socklen;
    ngx_str_t                        host;
    ngx_uint_t                       priority;
    ngx_uint_t                       weight;
} ngx_http_cms_proxy_answer_t;


typedef struct {
    ngx_uint_t                       n;
    ngx_uint_t                       srv;       /* with weights */
    ngx_http_cms_proxy_answer_t      list[NGX_HTTP_CMS_PROXY_ANSWERS];
} ngx_http_cms_proxy_answers_t;


static ngx_resolver_t *ngx_http_cms_proxy_own_resolver(ngx_conf_t *cf,
    ngx_resolver_t *resolver);
static ngx_resolver_t *ngx_http_cms_proxy_default_resolver(ngx_conf_t *cf);
static u_char *ngx_http_cms_proxy_read_file(char *name, ngx_pool_t *pool,
    size_t *len, ngx_log_t *log);
static ngx_uint_t ngx_http_cms_proxy_names(
    ngx_http_cms_proxy_main_conf_t *mcf, ngx_http_cms_proxy_follow_t *follow);
static void ngx_http_cms_proxy_resolve_tick(ngx_event_t *ev);
static void ngx_http_cms_proxy_ask(ngx_http_cms_proxy_follow_t *follow);
static void ngx_http_cms_proxy_forget(ngx_http_cms_proxy_follow_t *follow);
static void ngx_http_cms_proxy_forget_name(ngx_rbtree_t *tree,
    ngx_str_t *name);
static void ngx_http_cms_proxy_query(ngx_http_cms_proxy_follow_t *follow);
static void ngx_http_cms_proxy_resolved(ngx_resolver_ctx_t *ctx);
static ngx_uint_t ngx_http_cms_proxy_ask_hosts(
    ngx_http_cms_proxy_follow_t *follow, ngx_http_cms_proxy_answers_t *answers);
static ngx_str_t *ngx_http_cms_proxy_hosts(void);
static void ngx_http_cms_proxy_add_answers(
    ngx_http_cms_proxy_answers_t *answers, ngx_http_cms_proxy_follow_t *follow,
    ngx_resolver_ctx_t *ctx);
static void ngx_http_cms_proxy_add_srv(ngx_http_cms_proxy_answers_t *answers,
    ngx_http_cms_proxy_follow_t *follow, ngx_resolver_srv_name_t *srv);
static void ngx_http_cms_proxy_drop_odd(ngx_http_cms_proxy_follow_t *follow,
    ngx_http_cms_proxy_answers_t *answers);
static ngx_http_cms_proxy_answer_t *ngx_http_cms_proxy_add_answer(
    ngx_http_cms_proxy_answers_t *answers, struct sockaddr *sockaddr,
    socklen_t socklen);
static void ngx_http_cms_proxy_take_answers(
    ngx_http_cms_proxy_follow_t *follow, ngx_http_cms_proxy_answers_t *answers,
    time_t valid);
static ngx_uint_t ngx_http_cms_proxy_place(ngx_http_cms_proxy_srv_conf_t *wb,
    ngx_http_cms_proxy_target_t *target, ngx_http_cms_proxy_answers_t *answers,
    ngx_uint_t *left);
static ngx_uint_t ngx_http_cms_proxy_fill_slot(ngx_str_t *webbridge,
    ngx_http_cms_proxy_slot_t *slot, ngx_http_cms_proxy_answer_t *answer);
static void ngx_http_cms_proxy_log_addresses(
    ngx_http_cms_proxy_follow_t *follow);
static void ngx_http_cms_proxy_resolve_failed(
    ngx_http_cms_proxy_follow_t *follow, ngx_int_t state);


static ngx_log_t                      ngx_http_cms_proxy_quiet_log;
static ngx_event_t                    ngx_http_cms_proxy_resolve_event;
static ngx_connection_t               ngx_http_cms_proxy_resolve_dummy;

static ngx_http_cms_proxy_follow_t   *ngx_http_cms_proxy_followed;
static ngx_uint_t                     ngx_http_cms_proxy_nfollowed;
static ngx_uint_t                     ngx_http_cms_proxy_queries;


/*
 * In a cms_webbridge block.  Newer nginx knows "resolver" in any upstream
 * block: there it stays nginx's.
 */

char *
ngx_http_cms_proxy_resolver(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_cms_proxy_srv_conf_t *wb = conf;

    void           **confp;
    ngx_str_t       *value;
    ngx_module_t    *module;
    ngx_command_t   *stock;

    stock = ngx_http_cms_proxy_stock_command(cf, "resolver", NGX_HTTP_UPS_CONF,
                                             &module);

    if (!wb->named && stock) {
        confp = *(void **) ((char *) cf->ctx + stock->conf);
        return stock->set(cf, stock, confp[module->ctx_index]);
    }

    if (ngx_http_cms_proxy_own(cf, cmd, wb) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    if (wb->resolver) {
        return "is duplicate";
    }

    value = cf->args->elts;

    wb->resolver = ngx_resolver_create(cf, &value[1], cf->args->nelts - 1);

    return wb->resolver ? NGX_CONF_OK : NGX_CONF_ERROR;
}


/* all is read: each web bridge with names gets its resolver */

ngx_int_t
ngx_http_cms_proxy_set_resolvers(ngx_conf_t *cf)
{
    ngx_uint_t                       i, k, hosts;
    ngx_http_core_loc_conf_t        *clcf;
    ngx_http_cms_proxy_line_t       *line;
    ngx_http_cms_proxy_srv_conf_t  **wbp;
    ngx_http_cms_proxy_main_conf_t  *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cms_proxy_module);
    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    wbp = mcf->webbridges.elts;

    for (i = 0; i < mcf->webbridges.nelts; i++) {

        line = wbp[i]->lines.elts;

        for (k = 0; k < wbp[i]->lines.nelts; k++) {
            if (line[k].kind != NGX_HTTP_CMS_PROXY_LITERAL) {
                break;
            }
        }

        if (k == wbp[i]->lines.nelts || wbp[i]->resolver) {
            continue;
        }

        /* where there is no line, nginx keeps one without servers */

        hosts = (clcf->resolver == NULL
                 || clcf->resolver->connections.nelts == 0);

        if (mcf->resolver == NULL) {
            mcf->resolver = hosts
                            ? ngx_http_cms_proxy_default_resolver(cf)
                            : ngx_http_cms_proxy_own_resolver(cf,
                                                              clcf->resolver);
            if (mcf->resolver == NULL) {
                return NGX_ERROR;
            }
        }

        wbp[i]->resolver = mcf->resolver;
        wbp[i]->hosts = hosts;
    }

    return NGX_OK;
}


/* the same servers, but no log: a dead DNS is told once for each name */

static ngx_resolver_t *
ngx_http_cms_proxy_own_resolver(ngx_conf_t *cf, ngx_resolver_t *resolver)
{
    ngx_str_t                  *names;
    ngx_uint_t                  i;
    ngx_resolver_t             *own;
    ngx_resolver_connection_t  *rec;

    rec = resolver->connections.elts;

    names = ngx_palloc(cf->pool, resolver->connections.nelts
                                 * sizeof(ngx_str_t));
    if (names == NULL) {
        return NULL;
    }

    for (i = 0; i < resolver->connections.nelts; i++) {
        names[i] = rec[i].server;
    }

    own = ngx_resolver_create(cf, names, i);
    if (own == NULL) {
        return NULL;
    }

    own->valid = resolver->valid;
#if (nginx_version >= 1023001)
    own->ipv4 = resolver->ipv4;
#endif
#if (NGX_HAVE_INET6)
    own->ipv6 = resolver->ipv6;
#endif

    return own;
}


static ngx_resolver_t *
ngx_http_cms_proxy_default_resolver(ngx_conf_t *cf)
{
    u_char        *text, *p;
    size_t         len, pos, n;
    ngx_str_t     *name;
    ngx_array_t    names;
    const u_char  *address;

    if (ngx_array_init(&names, cf->pool, 3, sizeof(ngx_str_t)) != NGX_OK) {
        return NULL;
    }

    text = ngx_http_cms_proxy_read_file("/etc/resolv.conf", cf->pool, &len,
                                        cf->log);
    pos = 0;

    while (text && cms_nameserver_next(text, len, &pos, &address, &n)) {

        /* nginx cannot be told the link of an address */

        if (ngx_strlchr((u_char *) address, (u_char *) address + n, '%')) {
            continue;
        }

        name = ngx_array_push(&names);
        p = ngx_pnalloc(cf->pool, n + sizeof("[]"));

        if (name == NULL || p == NULL) {
            return NULL;
        }

        name->data = p;
        name->len = ngx_strlchr((u_char *) address, (u_char *) address + n,
                                ':')
                    ? (size_t) (ngx_sprintf(p, "[%*s]%Z", n, address) - p - 1)
                    : (size_t) (ngx_sprintf(p, "%*s%Z", n, address) - p - 1);
    }

    /* as the C library does */

    if (names.nelts == 0) {
        name = ngx_array_push(&names);
        if (name == NULL) {
            return NULL;
        }

        ngx_str_set(name, "127.0.0.1");
    }

    return ngx_resolver_create(cf, names.elts, names.nelts);
}


/* NULL: there is none that can be read, or not enough memory */

static u_char *
ngx_http_cms_proxy_read_file(char *name, ngx_pool_t *pool, size_t *len,
    ngx_log_t *log)
{
    u_char           *text;
    ssize_t           n;
    ngx_fd_t          fd;
    ngx_file_info_t   fi;

    fd = ngx_open_file(name, NGX_FILE_RDONLY|NGX_FILE_NONBLOCK, NGX_FILE_OPEN,
                       0);
    if (fd == NGX_INVALID_FILE) {
        return NULL;
    }

    text = NULL;

    if (ngx_fd_info(fd, &fi) == NGX_FILE_ERROR || !ngx_is_file(&fi)) {
        goto done;
    }

    *len = ngx_min(ngx_file_size(&fi), NGX_HTTP_CMS_PROXY_FILE_MAX);

    text = pool ? ngx_pnalloc(pool, *len + 1) : ngx_alloc(*len + 1, log);
    if (text == NULL) {
        goto done;
    }

    n = ngx_read_fd(fd, text, *len);

    *len = (n > 0) ? (size_t) n : 0;

done:

    (void) ngx_close_file(fd);

    return text;
}


/* names are asked for by workers only: a dead DNS keeps none from starting */

ngx_int_t
ngx_http_cms_proxy_init_resolve_process(ngx_cycle_t *cycle)
{
    ngx_uint_t                       i;
    ngx_event_t                     *ev;
    ngx_http_cms_proxy_main_conf_t  *mcf;

    mcf = ngx_http_cycle_get_module_main_conf(cycle,
                                              ngx_http_cms_proxy_module);

    ngx_http_cms_proxy_queries = 0;
    ngx_http_cms_proxy_nfollowed = ngx_http_cms_proxy_names(mcf, NULL);

    if (ngx_http_cms_proxy_nfollowed == 0) {
        return NGX_OK;
    }

    ngx_http_cms_proxy_followed = ngx_pcalloc(cycle->pool,
                                       ngx_http_cms_proxy_nfollowed
                                       * sizeof(ngx_http_cms_proxy_follow_t));
    if (ngx_http_cms_proxy_followed == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_http_cms_proxy_names(mcf, ngx_http_cms_proxy_followed);

    ngx_http_cms_proxy_quiet_log = *cycle->log;
    ngx_http_cms_proxy_quiet_log.log_level = NGX_LOG_ALERT;
    ngx_http_cms_proxy_quiet_log.next = NULL;

    for (i = 0; i < ngx_http_cms_proxy_nfollowed; i++) {
        ngx_http_cms_proxy_followed[i].wb->resolver->log =
                                                &ngx_http_cms_proxy_quiet_log;
    }

    ngx_http_cms_proxy_resolve_dummy.fd = (ngx_socket_t) -1;

    ev = &ngx_http_cms_proxy_resolve_event;

    ngx_memzero(ev, sizeof(ngx_event_t));

    ev->handler = ngx_http_cms_proxy_resolve_tick;
    ev->data = &ngx_http_cms_proxy_resolve_dummy;
    ev->log = cycle->log;
    ev->cancelable = 1;

    ngx_add_timer(ev, 1);

    return NGX_OK;
}


/* counts the names, and, where there is room for them, notes them */

static ngx_uint_t
ngx_http_cms_proxy_names(ngx_http_cms_proxy_main_conf_t *mcf,
    ngx_http_cms_proxy_follow_t *follow)
{
    ngx_uint_t                       i, k, n;
    ngx_http_cms_proxy_line_t       *line;
    ngx_http_cms_proxy_srv_conf_t  **wbp;

    wbp = mcf->webbridges.elts;
    n = 0;

    for (i = 0; i < mcf->webbridges.nelts; i++) {

        line = wbp[i]->lines.elts;

        for (k = 0; k < wbp[i]->lines.nelts; k++) {

            if (line[k].kind == NGX_HTTP_CMS_PROXY_LITERAL) {
                continue;
            }

            if (follow) {
                follow[n].wb = wbp[i];
                follow[n].line = &line[k];
                follow[n].target = &wbp[i]->record->targets[k];
            }

            n++;
        }
    }

    return n;
}


static void
ngx_http_cms_proxy_resolve_tick(ngx_event_t *ev)
{
    ngx_uint_t                    i;
    ngx_msec_int_t                left, next;
    ngx_http_cms_proxy_follow_t  *follow;

    if (ngx_exiting || ngx_quit || ngx_terminate) {
        return;
    }

    follow = ngx_http_cms_proxy_followed;
    next = 1000;

    for (i = 0; i < ngx_http_cms_proxy_nfollowed; i++) {

        left = (ngx_msec_int_t) (follow[i].target->due - ngx_current_msec);

        if (left > 0) {
            next = ngx_min(next, left);
            continue;
        }

        if (ngx_http_cms_proxy_queries >= NGX_HTTP_CMS_PROXY_QUERIES) {
            next = 10;
            break;
        }

        if (ngx_http_cms_proxy_claim(&follow[i].target->due,
                                     NGX_HTTP_CMS_PROXY_QUERY_LEASE))
        {
            ngx_http_cms_proxy_ask(&follow[i]);
        }
    }

    ngx_add_timer(ev, ngx_max(next, 10));
}


static void
ngx_http_cms_proxy_ask(ngx_http_cms_proxy_follow_t *follow)
{
    ngx_http_cms_proxy_answers_t  answers;

    ngx_str_null(&follow->service);
    follow->again = 0;

    if (ngx_http_cms_proxy_ask_hosts(follow, &answers)) {
        ngx_http_cms_proxy_take_answers(follow, &answers,
                                  ngx_time() + NGX_HTTP_CMS_PROXY_HOSTS_TTL);
        return;
    }

    follow->service = follow->line->service;

    ngx_http_cms_proxy_forget(follow);
    ngx_http_cms_proxy_query(follow);
}


/*
 * The resolver, which nobody else uses, keeps an answer for the rest of the
 * second in which it expires.  That is for too long: up to 1 s of a TTL of 1 s.
 */

static void
ngx_http_cms_proxy_forget(ngx_http_cms_proxy_follow_t *follow)
{
    u_char                      name[512];
    ngx_str_t                   n;
    ngx_uint_t                  i;
    ngx_resolver_t             *r;
    ngx_http_cms_proxy_line_t  *line;
    ngx_http_cms_proxy_slot_t  *slot;

    r = follow->wb->resolver;
    line = follow->line;

    ngx_http_cms_proxy_forget_name(&r->name_rbtree, &line->host);

    if (line->service.len == 0) {
        return;
    }

    n.data = name;
    n.len = ngx_snprintf(name, sizeof(name), "%V.%V", &line->service,
                         &line->host)
            - name;

    ngx_http_cms_proxy_forget_name(&r->srv_rbtree, &n);

    slot = &follow->wb->record->slots[follow->target->first];

    for (i = 0; i < follow->target->nslots; i++) {
        n.data = slot[i].host;
        n.len = slot[i].host_len;

        ngx_http_cms_proxy_forget_name(&r->name_rbtree, &n);
    }
}


static void
ngx_http_cms_proxy_forget_name(ngx_rbtree_t *tree, ngx_str_t *name)
{
    u_char                low[512];
    uint32_t              hash;
    ngx_int_t             rc;
    ngx_rbtree_node_t    *node;
    ngx_resolver_node_t  *rn;

    if (name->len == 0 || name->len > sizeof(low)) {
        return;
    }

    ngx_strlow(low, name->data, name->len);
    hash = ngx_crc32_short(low, name->len);

    node = tree->root;

    while (node != tree->sentinel) {

        if (hash != node->key) {
            node = (hash < node->key) ? node->left : node->right;
            continue;
        }

        rn = (ngx_resolver_node_t *) node;

        rc = ngx_memn2cmp(low, rn->name, name->len, rn->nlen);

        if (rc == 0) {
            if (rn->valid <= ngx_time()) {
                rn->valid = 0;
            }

            return;
        }

        node = (rc < 0) ? node->left : node->right;
    }
}


static void
ngx_http_cms_proxy_query(ngx_http_cms_proxy_follow_t *follow)
{
    ngx_resolver_ctx_t  *ctx;

    ctx = ngx_resolve_start(follow->wb->resolver, NULL);

    if (ctx == NULL || ctx == NGX_NO_RESOLVER) {
        ngx_http_cms_proxy_resolve_failed(follow, NGX_ERROR);
        return;
    }

    ctx->name = follow->line->host;
    ctx->service = follow->service;
    ctx->handler = ngx_http_cms_proxy_resolved;
    ctx->data = follow;
    ctx->cancelable = 1;
    ctx->timeout = follow->target->failures ? NGX_HTTP_CMS_PROXY_RETRY_TIMEOUT
                                            : NGX_HTTP_CMS_PROXY_QUERY_TIMEOUT;

    ngx_http_cms_proxy_queries++;

    if (ngx_resolve_name(ctx) != NGX_OK) {
        ngx_http_cms_proxy_queries--;
        ngx_http_cms_proxy_resolve_failed(follow, NGX_ERROR);
    }
}


static void
ngx_http_cms_proxy_resolved(ngx_resolver_ctx_t *ctx)
{
    ngx_int_t                      state;
    ngx_http_cms_proxy_follow_t   *follow;
    ngx_http_cms_proxy_answers_t   answers;

    follow = ctx->data;

    ngx_http_cms_proxy_queries--;

    state = ctx->state;

    if (state == NGX_OK) {
        answers.n = 0;
        answers.srv = (follow->service.len != 0);
        follow->again = 0;

        ngx_http_cms_proxy_add_answers(&answers, follow, ctx);
        ngx_http_cms_proxy_drop_odd(follow, &answers);

        if (answers.n) {
            ngx_http_cms_proxy_take_answers(follow, &answers, ctx->valid);

        } else {
            state = NGX_RESOLVE_FORMERR;
        }
    }

    ngx_resolve_name_done(ctx);

    if (state == NGX_RESOLVE_NXDOMAIN && follow->line->fallback
        && follow->service.len)
    {
        ngx_str_null(&follow->service);
        ngx_http_cms_proxy_query(follow);
        return;
    }

    if (state != NGX_OK) {
        ngx_http_cms_proxy_resolve_failed(follow, state);
    }
}


static ngx_uint_t
ngx_http_cms_proxy_ask_hosts(ngx_http_cms_proxy_follow_t *follow,
    ngx_http_cms_proxy_answers_t *answers)
{
    size_t                      pos, len;
    ngx_str_t                  *hosts, *name;
    const u_char               *address;
    ngx_sockaddr_t              sockaddr;
    socklen_t                   socklen;
    ngx_http_cms_proxy_line_t  *line;

    line = follow->line;
    name = &line->host;

    answers->n = 0;
    answers->srv = 0;

    if ((line->service.len && !line->fallback)
        || !(follow->wb->hosts
             || cms_authority_same_host(name->data, name->len,
                                        (u_char *) "localhost", 9)))
    {
        return 0;
    }

    hosts = ngx_http_cms_proxy_hosts();
    pos = 0;

    while (cms_hosts_next(hosts->data, hosts->len, &pos, name->data,
                          name->len, &address, &len))
    {
        ngx_memzero(&sockaddr, sizeof(sockaddr));

        sockaddr.sockaddr_in.sin_addr.s_addr = ngx_inet_addr(
                                                    (u_char *) address, len);

        if (sockaddr.sockaddr_in.sin_addr.s_addr != INADDR_NONE) {
            sockaddr.sockaddr_in.sin_family = AF_INET;
            socklen = sizeof(struct sockaddr_in);

#if (NGX_HAVE_INET6)
        } else if (ngx_inet6_addr((u_char *) address, len,
                                  sockaddr.sockaddr_in6.sin6_addr.s6_addr)
                   == NGX_OK)
        {
            sockaddr.sockaddr_in6.sin6_family = AF_INET6;
            socklen = sizeof(struct sockaddr_in6);
#endif

        } else {
            continue;
        }

        ngx_inet_set_port(&sockaddr.sockaddr, line->port);

        (void) ngx_http_cms_proxy_add_answer(answers, &sockaddr.sockaddr,
                                             socklen);
    }

    return answers->n > 0;
}


/* the text of /etc/hosts, read again when the file has changed */

static ngx_str_t *
ngx_http_cms_proxy_hosts(void)
{
    ngx_file_info_t  fi;

    static ngx_str_t  text;
    static time_t     mtime;
    static off_t      size;

    if (ngx_file_info("/etc/hosts", &fi) == NGX_FILE_ERROR
        || (text.data && ngx_file_mtime(&fi) == mtime
            && ngx_file_size(&fi) == size))
    {
        return &text;
    }

    if (text.data) {
        ngx_free(text.data);
    }

    text.len = 0;
    text.data = ngx_http_cms_proxy_read_file("/etc/hosts", NULL, &text.len,
                                             ngx_cycle->log);
    if (text.data == NULL) {
        text.len = 0;
    }

    mtime = ngx_file_mtime(&fi);
    size = ngx_file_size(&fi);

    return &text;
}


static void
ngx_http_cms_proxy_add_answers(ngx_http_cms_proxy_answers_t *answers,
    ngx_http_cms_proxy_follow_t *follow, ngx_resolver_ctx_t *ctx)
{
    ngx_uint_t                    i;
    ngx_http_cms_proxy_answer_t  *answer;

    if (follow->service.len) {

        for (i = 0; i < ctx->nsrvs; i++) {
            ngx_http_cms_proxy_add_srv(answers, follow, &ctx->srvs[i]);
        }

        return;
    }

    for (i = 0; i < ctx->naddrs; i++) {
        answer = ngx_http_cms_proxy_add_answer(answers, ctx->addrs[i].sockaddr,
                                               ctx->addrs[i].socklen);
        if (answer == NULL) {
            return;
        }

        ngx_inet_set_port(&answer->sockaddr.sockaddr, follow->line->port);
    }
}


/*
 * Of a record's hosts some may not resolve while others do: those keep the
 * addresses that they had, and are asked for again soon.
 */

static void
ngx_http_cms_proxy_add_srv(ngx_http_cms_proxy_answers_t *answers,
    ngx_http_cms_proxy_follow_t *follow, ngx_resolver_srv_name_t *srv)
{
    ngx_uint_t                    i;
    ngx_http_cms_proxy_slot_t    *slot;
    ngx_http_cms_proxy_answer_t  *answer;

    for (i = 0; i < srv->naddrs; i++) {
        answer = ngx_http_cms_proxy_add_answer(answers, srv->addrs[i].sockaddr,
                                               srv->addrs[i].socklen);
        if (answer == NULL) {
            return;
        }

        answer->host = srv->name;
        answer->priority = srv->priority;
        answer->weight = srv->weight;
    }

    if (srv->naddrs || srv->state == NGX_RESOLVE_NXDOMAIN) {
        return;
    }

    follow->again = 1;

    slot = &follow->wb->record->slots[follow->target->first];

    for (i = 0; i < follow->target->nslots; i++) {

        if (slot[i].state == NGX_HTTP_CMS_PROXY_UNUSED
            || slot[i].host_len != srv->name.len
            || ngx_strncasecmp(slot[i].host, srv->name.data, srv->name.len)
               != 0)
        {
            continue;
        }

        answer = ngx_http_cms_proxy_add_answer(answers,
                                               &slot[i].sockaddr.sockaddr,
                                               slot[i].socklen);
        if (answer == NULL) {
            return;
        }

        answer->host = srv->name;
        answer->priority = srv->priority;
        answer->weight = srv->weight;
    }
}


/* 0.0.0.0 and :: are the edge itself, and nothing listens on port 0 */

static void
ngx_http_cms_proxy_drop_odd(ngx_http_cms_proxy_follow_t *follow,
    ngx_http_cms_proxy_answers_t *answers)
{
    ngx_uint_t                    i, n, odd;
    ngx_http_cms_proxy_answer_t  *list;

    list = answers->list;
    n = 0;

    for (i = 0; i < answers->n; i++) {

        if (ngx_inet_wildcard(&list[i].sockaddr.sockaddr)
            || ngx_inet_get_port(&list[i].sockaddr.sockaddr) == 0)
        {
            continue;
        }

        list[n++] = list[i];
    }

    odd = answers->n - n;
    answers->n = n;

    if (odd && !follow->odd) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "DNS gives target \"%V\" of cms_webbridge \"%V\" %ui "
                      "address(es) with port 0 or of no host: not used",
                      &follow->line->text, &follow->wb->name, odd);
    }

    follow->odd = (odd != 0);
}


/* NULL: there are more than anybody can use */

static ngx_http_cms_proxy_answer_t *
ngx_http_cms_proxy_add_answer(ngx_http_cms_proxy_answers_t *answers,
    struct sockaddr *sockaddr, socklen_t socklen)
{
    ngx_http_cms_proxy_answer_t  *answer;

    if (answers->n == NGX_HTTP_CMS_PROXY_ANSWERS) {
        return NULL;
    }

    answer = &answers->list[answers->n++];

    ngx_memzero(answer, sizeof(ngx_http_cms_proxy_answer_t));

    ngx_memcpy(&answer->sockaddr, sockaddr, socklen);
    answer->socklen = socklen;

    return answer;
}


/* a good answer; the next query is when its TTL has passed */

static void
ngx_http_cms_proxy_take_answers(ngx_http_cms_proxy_follow_t *follow,
    ngx_http_cms_proxy_answers_t *answers, time_t valid)
{
    time_t                        now;
    ngx_time_t                   *tp;
    ngx_uint_t                    changed, left, many, failures;
    ngx_msec_int_t                wait;
    ngx_http_cms_proxy_record_t  *record;
    ngx_http_cms_proxy_target_t  *target;

    record = follow->wb->record;
    target = follow->target;

    tp = ngx_timeofday();
    now = tp->sec;

    /* names that were asked for at once are not for ever */

    wait = ngx_min(valid - now, NGX_HTTP_CMS_PROXY_TTL_MAX) * 1000
           + ngx_random() % NGX_HTTP_CMS_PROXY_JITTER;

    /* of a cache; it asks itself when the second is over */

    if (valid <= now) {
        wait = 1001 - tp->msec;
    }

    if (follow->again) {
        wait = NGX_HTTP_CMS_PROXY_PAUSE;
    }

    ngx_http_cms_proxy_lock();

    changed = ngx_http_cms_proxy_place(follow->wb, target, answers, &left);

    many = left && target->addresses != answers->n;
    failures = target->failures;

    target->answered = 1;
    target->resolved = now;
    target->valid = valid;
    target->failures = 0;
    target->error_len = 0;
    target->addresses = answers->n;

    if (changed || record->cold) {
        ngx_http_cms_proxy_update(record);
        ngx_http_cms_proxy_apply_locked(follow->wb);
    }

    target->due = ngx_current_msec + wait;

    ngx_http_cms_proxy_unlock();

    if (changed) {
        ngx_http_cms_proxy_log_addresses(follow);
    }

    if (failures) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "target \"%V\" of cms_webbridge \"%V\" resolves again",
                      &follow->line->text, &follow->wb->name);
    }

    if (many) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "target \"%V\" of cms_webbridge \"%V\" has more than "
                      "%ui addresses, %ui get no guests",
                      &follow->line->text, &follow->wb->name, target->nslots,
                      left);
    }
}


/* the lock is held; whether anything is different now */

static ngx_uint_t
ngx_http_cms_proxy_place(ngx_http_cms_proxy_srv_conf_t *wb,
    ngx_http_cms_proxy_target_t *target, ngx_http_cms_proxy_answers_t *answers,
    ngx_uint_t *left)
{
    ngx_uint_t                   i, changed, weight;
    cms_slots_address_t          held[CMS_SLOTS_MAX];
    cms_slots_address_t          places[NGX_HTTP_CMS_PROXY_ANSWERS];
    ngx_http_cms_proxy_slot_t   *slot;
    ngx_http_upstream_server_t  *us;

    us = wb->upstream->servers->elts;
    weight = us[target - wb->record->targets].weight;

    slot = &wb->record->slots[target->first];

    for (i = 0; i < target->nslots; i++) {
        held[i].p = (u_char *) &slot[i].sockaddr;
        held[i].len = (slot[i].state == NGX_HTTP_CMS_PROXY_UNUSED)
                      ? 0 : slot[i].socklen;
    }

    for (i = 0; i < answers->n; i++) {
        places[i].p = (u_char *) &answers->list[i].sockaddr;
        places[i].len = answers->list[i].socklen;
        places[i].priority = answers->list[i].priority;
        places[i].weight = answers->list[i].weight ? answers->list[i].weight
                                                   : weight;
    }

    if (answers->srv) {
        cms_slots_scale(places, answers->n);
    }

    *left = cms_slots_place(held, target->nslots, places, answers->n);

    changed = 0;

    for (i = 0; i < target->nslots; i++) {
        held[i].slot = 0;
    }

    for (i = 0; i < answers->n; i++) {

        if (places[i].slot == CMS_SLOTS_NONE) {
            continue;
        }

        answers->list[i].weight = places[i].weight;

        held[places[i].slot].slot = 1;
        changed |= ngx_http_cms_proxy_fill_slot(&wb->name,
                                                &slot[places[i].slot],
                                                &answers->list[i]);
    }

    for (i = 0; i < target->nslots; i++) {
        if (!held[i].slot && slot[i].state != NGX_HTTP_CMS_PROXY_UNUSED) {
            slot[i].state = NGX_HTTP_CMS_PROXY_UNUSED;
            changed = 1;
        }
    }

    return changed;
}


/* WebSockets to the address before stay counted until they end */

static ngx_uint_t
ngx_http_cms_proxy_fill_slot(ngx_str_t *webbridge,
    ngx_http_cms_proxy_slot_t *slot, ngx_http_cms_proxy_answer_t *answer)
{
    ngx_uint_t  changed;

    changed = slot->priority != answer->priority
              || slot->weight != answer->weight;

    slot->priority = answer->priority;
    slot->weight = answer->weight;

    slot->host_len = ngx_min(answer->host.len, sizeof(slot->host));

    if (slot->host_len) {
        ngx_memcpy(slot->host, answer->host.data, slot->host_len);
    }

    if (slot->state != NGX_HTTP_CMS_PROXY_UNUSED
        && slot->socklen == answer->socklen
        && ngx_memcmp(&slot->sockaddr, &answer->sockaddr, slot->socklen) == 0)
    {
        return changed;
    }

    slot->sockaddr = answer->sockaddr;
    slot->socklen = answer->socklen;
    slot->name_len = ngx_sock_ntop(&slot->sockaddr.sockaddr, slot->socklen,
                                   slot->name, NGX_SOCKADDR_STRLEN, 1);

    slot->state = NGX_HTTP_CMS_PROXY_UNKNOWN;
    slot->due = ngx_current_msec;
    slot->prober = 0;
    slot->started = 0;
    slot->passes = 0;
    slot->fails = 0;
    slot->probed = 0;
    slot->changed = ngx_time();
    slot->latency_us = 0;
    slot->cause = NGX_HTTP_CMS_PROXY_NO_CAUSE;
    slot->reason_len = 0;
    slot->requests = 0;
    slot->failures = 0;

    slot->epoch++;
    slot->key = ngx_http_cms_proxy_websocket_key(webbridge, slot->name,
                                                 slot->name_len);

    ngx_http_cms_proxy_probe_soon(slot);

    return 1;
}


static void
ngx_http_cms_proxy_log_addresses(ngx_http_cms_proxy_follow_t *follow)
{
    u_char                     *p, *last, text[NGX_MAX_ERROR_STR / 2];
    ngx_uint_t                  i;
    ngx_http_cms_proxy_slot_t  *slot;

    p = text;
    last = text + sizeof(text);

    ngx_http_cms_proxy_lock();

    slot = &follow->wb->record->slots[follow->target->first];

    for (i = 0; i < follow->target->nslots; i++) {

        if (slot[i].state == NGX_HTTP_CMS_PROXY_UNUSED) {
            continue;
        }

        p = ngx_slprintf(p, last, "%s%*s", p == text ? "" : ", ",
                         slot[i].name_len, slot[i].name);

        if (follow->service.len) {
            p = ngx_slprintf(p, last, " (priority %ui, weight %ui)",
                             slot[i].priority, slot[i].weight);
        }
    }

    ngx_http_cms_proxy_unlock();

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "target \"%V\" of cms_webbridge \"%V\" is now %*s",
                  &follow->line->text, &follow->wb->name,
                  (size_t) (p - text), text);
}


/*
 * What is known stays.  "No such name" is an answer, too: guests need not
 * wait for another one.
 */

static void
ngx_http_cms_proxy_resolve_failed(ngx_http_cms_proxy_follow_t *follow,
    ngx_int_t state)
{
    u_char                       *p;
    ngx_uint_t                    i, first, known;
    ngx_msec_t                    pause;
    ngx_array_t                  *servers;
    ngx_resolver_connection_t    *rec;
    ngx_http_cms_proxy_target_t  *target;

    target = follow->target;

    servers = &follow->wb->resolver->connections;
    rec = servers->elts;

    /* a try that timed out was the pause */

    pause = (state == NGX_RESOLVE_TIMEDOUT) ? 0 : NGX_HTTP_CMS_PROXY_PAUSE;
    pause += ngx_random() % 200;

    ngx_http_cms_proxy_lock();

    first = (target->failures++ == 0);
    known = target->resolved != 0;

    p = ngx_slprintf(target->error, target->error + sizeof(target->error),
                     "%s", (state == NGX_RESOLVE_NXDOMAIN) ? "no such name"
                     : (state == NGX_RESOLVE_TIMEDOUT) ? "no answer from DNS at"
                     : (state == NGX_ERROR) ? "out of memory or sockets"
                     : (state == NGX_RESOLVE_FORMERR) ? "no usable address"
                     : ngx_resolver_strerror(state));

    for (i = 0; state == NGX_RESOLVE_TIMEDOUT && i < servers->nelts; i++) {
        p = ngx_slprintf(p, target->error + sizeof(target->error), "%s%V",
                         i ? ", " : " ", &rec[i].server);
    }

    target->error_len = p - target->error;

    if (state == NGX_RESOLVE_NXDOMAIN && !target->answered) {
        target->answered = 1;
        ngx_http_cms_proxy_update(follow->wb->record);
    }

    target->due = ngx_current_msec + pause;

    ngx_http_cms_proxy_unlock();

    if (first) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "target \"%V\" of cms_webbridge \"%V\" does not "
                      "resolve: %*s; %s",
                      &follow->line->text, &follow->wb->name,
                      (size_t) (p - target->error), target->error,
                      known ? "the addresses known so far stay in use"
                            : "no guest gets there until it does");
    }
}
