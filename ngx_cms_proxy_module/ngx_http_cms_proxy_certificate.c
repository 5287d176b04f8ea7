
/*
 * The certificate check: for each guest URI the servers that TLS clients reach
 * with this name, by SNI as nginx tells servers apart, and the certificates
 * that they show.  Called when the whole configuration is read.
 */


#include "ngx_http_cms_proxy_certificate.h"


#if (NGX_HTTP_SSL)


/* a chain of certificates is far smaller */
#define NGX_HTTP_CMS_PROXY_PEM_MAX       1048576

/* of the names of a certificate so many are told in a message */
#define NGX_HTTP_CMS_PROXY_NAMES_TOLD    4


static ngx_int_t ngx_http_cms_proxy_check_location_on(ngx_conf_t *cf,
    ngx_http_cms_proxy_loc_conf_t *plcf, ngx_http_conf_addr_t *addr);
static ngx_uint_t ngx_http_cms_proxy_has_tls(ngx_http_conf_addr_t *addr,
    ngx_http_ssl_srv_conf_t *sscf);
static ngx_http_core_srv_conf_t *ngx_http_cms_proxy_server_of(
    ngx_http_conf_addr_t *addr, ngx_str_t *host);
static ngx_int_t ngx_http_cms_proxy_check_server(ngx_conf_t *cf,
    ngx_http_cms_proxy_loc_conf_t *plcf, ngx_http_ssl_srv_conf_t *sscf,
    ngx_http_cms_proxy_name_t *uri);
static ngx_http_cms_proxy_certificate_t *ngx_http_cms_proxy_get_certificate(
    ngx_conf_t *cf, ngx_str_t *file);
static ngx_int_t ngx_http_cms_proxy_read_certificate(ngx_conf_t *cf,
    ngx_http_cms_proxy_certificate_t *crt);
static ngx_int_t ngx_http_cms_proxy_read_pem(ngx_conf_t *cf, ngx_str_t *file,
    ngx_str_t *pem);
static void ngx_http_cms_proxy_free_certificate(void *data);
static ngx_int_t ngx_http_cms_proxy_check_use(ngx_conf_t *cf,
    ngx_http_cms_proxy_loc_conf_t *plcf, ngx_http_cms_proxy_certificate_t *crt,
    ngx_http_cms_proxy_name_t *uri);
static ngx_int_t ngx_http_cms_proxy_check_faults(ngx_conf_t *cf,
    ngx_http_cms_proxy_loc_conf_t *plcf, ngx_http_cms_proxy_certificate_t *crt,
    ngx_http_cms_proxy_name_t *uri);
static u_char *ngx_http_cms_proxy_tell_names(
    ngx_http_cms_proxy_certificate_t *crt, u_char *p, u_char *last);
static ngx_int_t ngx_http_cms_proxy_complain(ngx_conf_t *cf,
    ngx_http_cms_proxy_loc_conf_t *plcf, ngx_uint_t may_fail, char *fmt, ...);


ngx_int_t
ngx_http_cms_proxy_check_certificates(ngx_conf_t *cf)
{
    ngx_uint_t                        p, a, i;
    ngx_http_conf_addr_t             *addr;
    ngx_http_conf_port_t             *port;
    ngx_http_core_loc_conf_t        **clcfp;
    ngx_http_core_main_conf_t        *cmcf;
    ngx_http_cms_proxy_loc_conf_t    *plcf;
    ngx_http_cms_proxy_main_conf_t   *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cms_proxy_module);
    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    if (cmcf->ports == NULL) {
        return NGX_OK;
    }

    clcfp = mcf->locations.elts;
    port = cmcf->ports->elts;

    for (p = 0; p < cmcf->ports->nelts; p++) {
        addr = port[p].addrs.elts;

        for (a = 0; a < port[p].addrs.nelts; a++) {

            for (i = 0; i < mcf->locations.nelts; i++) {

                if (clcfp[i]->loc_conf == NULL) {
                    continue;                      /* a server, no location */
                }

                plcf = clcfp[i]->loc_conf[ngx_http_cms_proxy_module.ctx_index];

                if (plcf->server == NULL
                    || plcf->certificate_check
                       == NGX_HTTP_CMS_PROXY_CHECK_OFF)
                {
                    continue;
                }

                if (ngx_http_cms_proxy_check_location_on(cf, plcf, &addr[a])
                    != NGX_OK)
                {
                    return NGX_ERROR;
                }
            }
        }
    }

    return NGX_OK;
}


/* the guest URIs of one "cms_proxy", as clients of one address see them */

static ngx_int_t
ngx_http_cms_proxy_check_location_on(ngx_conf_t *cf,
    ngx_http_cms_proxy_loc_conf_t *plcf, ngx_http_conf_addr_t *addr)
{
    ngx_uint_t                   i, k;
    ngx_http_ssl_srv_conf_t     *sscf;
    ngx_http_cms_proxy_name_t   *uri;
    ngx_http_cms_proxy_route_t  *route;

    sscf = plcf->server->ctx->srv_conf[ngx_http_ssl_module.ctx_index];

    if (sscf->certificates == NULL || !ngx_http_cms_proxy_has_tls(addr, sscf))
    {
        return NGX_OK;
    }

    route = plcf->routes->elts;

    for (i = 0; i < plcf->routes->nelts; i++) {
        uri = route[i].webbridge->guest_uris.elts;

        for (k = 0; k < route[i].webbridge->guest_uris.nelts; k++) {

            if (ngx_http_cms_proxy_server_of(addr, &uri[k].host)
                != plcf->server)
            {
                continue;
            }

            if (ngx_http_cms_proxy_check_server(cf, plcf, sscf, &uri[k])
                != NGX_OK)
            {
                return NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_http_cms_proxy_has_tls(ngx_http_conf_addr_t *addr,
    ngx_http_ssl_srv_conf_t *sscf)
{
#if (nginx_version >= 1025000)
    if (addr->opt.quic) {
        return 1;
    }
#endif

#if (nginx_version < 1025001)
    if (sscf->enable) {
        return 1;
    }
#endif

    return addr->opt.ssl;
}


/*
 * The server that nginx chooses for this name.  Its hashes of names are built
 * later; so here is the same order: a name, the longest wildcard in front, the
 * longest at the end, the first expression, the default.
 */

static ngx_http_core_srv_conf_t *
ngx_http_cms_proxy_server_of(ngx_http_conf_addr_t *addr, ngx_str_t *host)
{
    ngx_uint_t                  i, k, fits, best;
    ngx_http_server_name_t     *name;
    ngx_http_core_srv_conf_t  **cscfp, *found;

    best = 0;
    found = addr->default_server;
    cscfp = addr->servers.elts;

    for (i = 0; i < addr->servers.nelts; i++) {
        name = cscfp[i]->server_names.elts;

        for (k = 0; k < cscfp[i]->server_names.nelts; k++) {

            fits = ngx_http_cms_proxy_name_fits(&name[k], host);

            if (fits > best) {
                best = fits;
                found = cscfp[i];
            }
        }
    }

    return found;
}


static ngx_int_t
ngx_http_cms_proxy_check_server(ngx_conf_t *cf,
    ngx_http_cms_proxy_loc_conf_t *plcf, ngx_http_ssl_srv_conf_t *sscf,
    ngx_http_cms_proxy_name_t *uri)
{
    ngx_str_t                         *file;
    ngx_uint_t                         i;
    ngx_http_cms_proxy_certificate_t  *crt;

    if (sscf->certificate_values) {

        if (!plcf->unchecked) {
            ngx_log_error(NGX_LOG_NOTICE, cf->log, 0,
                          "certificates with variables in their names are not "
                          "checked for guest URIs, in %V:%ui",
                          &plcf->where.file, plcf->where.line);
            plcf->unchecked = 1;
        }

        return NGX_OK;
    }

    file = sscf->certificates->elts;

    for (i = 0; i < sscf->certificates->nelts; i++) {

        crt = ngx_http_cms_proxy_get_certificate(cf, &file[i]);
        if (crt == NULL) {
            return NGX_ERROR;
        }

        if (crt->read.leaf
            && ngx_http_cms_proxy_check_use(cf, plcf, crt, uri) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* each file is read once */

static ngx_http_cms_proxy_certificate_t *
ngx_http_cms_proxy_get_certificate(ngx_conf_t *cf, ngx_str_t *file)
{
    ngx_str_t                          name;
    ngx_uint_t                         i;
    ngx_pool_cleanup_t                *cln;
    ngx_http_cms_proxy_main_conf_t    *mcf;
    ngx_http_cms_proxy_certificate_t  *crt, **crtp;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_cms_proxy_module);

    name = *file;

    if (ngx_strncmp(name.data, "data:", 5) != 0
        && ngx_strncmp(name.data, "store:", 6) != 0
        && ngx_conf_full_name(cf->cycle, &name, 1) != NGX_OK)
    {
        return NULL;
    }

    crtp = mcf->certificates.elts;

    for (i = 0; i < mcf->certificates.nelts; i++) {
        if (crtp[i]->source.len == name.len
            && ngx_memcmp(crtp[i]->source.data, name.data, name.len) == 0)
        {
            return crtp[i];
        }
    }

    crt = ngx_pcalloc(cf->pool, sizeof(ngx_http_cms_proxy_certificate_t));
    if (crt == NULL) {
        return NULL;
    }

    crt->source = name;
    crt->file = name;

    if (ngx_strncmp(name.data, "data:", 5) == 0) {
        crt->file.len = 5;
    }

    if (ngx_array_init(&crt->names, cf->pool, 2, sizeof(ngx_str_t)) != NGX_OK
        || ngx_array_init(&crt->uses, cf->pool, 2,
                          sizeof(ngx_http_cms_proxy_certificate_use_t))
           != NGX_OK)
    {
        return NULL;
    }

    crtp = ngx_array_push(&mcf->certificates);
    cln = ngx_pool_cleanup_add(cf->temp_pool, 0);

    if (crtp == NULL || cln == NULL) {
        return NULL;
    }

    *crtp = crt;

    cln->handler = ngx_http_cms_proxy_free_certificate;
    cln->data = &crt->read;

    if (ngx_http_cms_proxy_read_certificate(cf, crt) == NGX_ERROR) {
        return NULL;
    }

    return crt;
}


/* NGX_DECLINED: it cannot be looked at, though nginx could load it */

static ngx_int_t
ngx_http_cms_proxy_read_certificate(ngx_conf_t *cf,
    ngx_http_cms_proxy_certificate_t *crt)
{
    int                   i;
    char                  text[256];
    size_t                len;
    ngx_str_t             pem, *name;
    const unsigned char  *p;

    if (ngx_http_cms_proxy_read_pem(cf, &crt->source, &pem) != NGX_OK
        || cms_certificate_parse((char *) pem.data, pem.len, &crt->read) != 0)
    {
        ngx_log_error(NGX_LOG_NOTICE, cf->log, 0,
                      "certificate \"%V\" cannot be checked for guest URIs",
                      &crt->file);
        return NGX_DECLINED;
    }

    crt->not_before = (time_t) crt->read.not_before;
    crt->not_after = (time_t) crt->read.not_after;
    crt->faults = crt->read.faults;

    i = 0;

    while (cms_certificate_name(&crt->read, &i, &p, &len)) {

        name = ngx_array_push(&crt->names);
        if (name == NULL) {
            return NGX_ERROR;
        }

        name->len = len;
        name->data = ngx_pnalloc(cf->pool, len + 1);
        if (name->data == NULL) {
            return NGX_ERROR;
        }

        while (len--) {
            name->data[len] = (p[len] > ' ' && p[len] <= '~') ? p[len] : '?';
        }
    }

    cms_certificate_subject(&crt->read, text, sizeof(text));

    crt->subject.len = ngx_strlen(text);
    crt->subject.data = ngx_pnalloc(cf->pool, crt->subject.len + 1);
    if (crt->subject.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(crt->subject.data, text, crt->subject.len);

    cms_certificate_issuer(&crt->read, text, sizeof(text));

    crt->issuer.len = ngx_strlen(text);
    crt->issuer.data = ngx_pnalloc(cf->pool, crt->issuer.len + 1);
    if (crt->issuer.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(crt->issuer.data, text, crt->issuer.len);

    return NGX_OK;
}


static ngx_int_t
ngx_http_cms_proxy_read_pem(ngx_conf_t *cf, ngx_str_t *file, ngx_str_t *pem)
{
    ssize_t          n;
    ngx_fd_t         fd;
    ngx_file_info_t  fi;

    if (ngx_strncmp(file->data, "data:", 5) == 0) {
        pem->data = file->data + 5;
        pem->len = file->len - 5;
        return NGX_OK;
    }

    fd = ngx_open_file(file->data, NGX_FILE_RDONLY|NGX_FILE_NONBLOCK,
                       NGX_FILE_OPEN, 0);
    if (fd == NGX_INVALID_FILE) {
        return NGX_DECLINED;
    }

    pem->len = 0;
    pem->data = NULL;

    if (ngx_fd_info(fd, &fi) != NGX_FILE_ERROR && ngx_is_file(&fi)
        && ngx_file_size(&fi) <= NGX_HTTP_CMS_PROXY_PEM_MAX)
    {
        pem->data = ngx_palloc(cf->temp_pool, (size_t) ngx_file_size(&fi) + 1);
    }

    if (pem->data) {
        n = ngx_read_fd(fd, pem->data, (size_t) ngx_file_size(&fi));
        pem->len = (n > 0) ? (size_t) n : 0;
    }

    (void) ngx_close_file(fd);

    return pem->len ? NGX_OK : NGX_DECLINED;
}


static void
ngx_http_cms_proxy_free_certificate(void *data)
{
    cms_certificate_free(data);
}


/* one guest URI that is served with this certificate */

static ngx_int_t
ngx_http_cms_proxy_check_use(ngx_conf_t *cf,
    ngx_http_cms_proxy_loc_conf_t *plcf, ngx_http_cms_proxy_certificate_t *crt,
    ngx_http_cms_proxy_name_t *uri)
{
    u_char                                 names[512], *p;
    ngx_uint_t                             i;
    ngx_http_cms_proxy_certificate_use_t  *use;

    use = crt->uses.elts;

    for (i = 0; i < crt->uses.nelts; i++) {
        if (use[i].guest_uri->host.len == uri->host.len
            && ngx_memcmp(use[i].guest_uri->host.data, uri->host.data,
                          uri->host.len)
               == 0)
        {
            return NGX_OK;                 /* of another address or location */
        }
    }

    use = ngx_array_push(&crt->uses);
    if (use == NULL) {
        return NGX_ERROR;
    }

    use->guest_uri = uri;
    use->covered = cms_certificate_covers(&crt->read, (char *) uri->host.data,
                                          uri->host.len);

    if (i == 0
        && ngx_http_cms_proxy_check_faults(cf, plcf, crt, uri) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (use->covered) {
        return NGX_OK;
    }

    p = ngx_http_cms_proxy_tell_names(crt, names, names + sizeof(names));

    return ngx_http_cms_proxy_complain(cf, plcf, 1,
               "guest_uri \"%V\" is not covered by its certificate \"%V\", "
               "%*s: browsers will refuse it",
               &uri->host, &crt->file, (size_t) (p - names), names);
}


/* what is wrong with it whatever the name: told once */

static ngx_int_t
ngx_http_cms_proxy_check_faults(ngx_conf_t *cf,
    ngx_http_cms_proxy_loc_conf_t *plcf, ngx_http_cms_proxy_certificate_t *crt,
    ngx_http_cms_proxy_name_t *uri)
{
    char        words[128];
    time_t      now;
    ngx_uint_t  i, faults;

    now = ngx_time();

    faults = crt->faults | cms_certificate_when(crt->not_before,
                                                crt->not_after, now);

    for (i = 0; i < CMS_CERTIFICATE_FAULTS; i++) {

        if (!(faults & (1 << i))) {
            continue;
        }

        cms_certificate_words(1 << i, crt->not_before, crt->not_after, now,
                              words, sizeof(words));

        /* one that is still good must not keep an edge from starting */

        if (ngx_http_cms_proxy_complain(cf, plcf,
                (1 << i) != CMS_CERTIFICATE_SOON,
                "certificate \"%V\" of guest_uri \"%V\" %s",
                &crt->file, &uri->host, words)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static u_char *
ngx_http_cms_proxy_tell_names(ngx_http_cms_proxy_certificate_t *crt, u_char *p,
    u_char *last)
{
    ngx_str_t   *name;
    ngx_uint_t   i, n;

    name = crt->names.elts;
    n = ngx_min(crt->names.nelts, NGX_HTTP_CMS_PROXY_NAMES_TOLD);

    if (n == 0) {
        return ngx_slprintf(p, last,
                            "which has no DNS name as subject alternative name "
                            "(its common name \"%V\" does not count)",
                            &crt->subject);
    }

    for (i = 0; i < n; i++) {
        p = ngx_slprintf(p, last, "%s\"%V\"", i ? ", " : "which is for ",
                         &name[i]);
    }

    if (crt->names.nelts > n) {
        p = ngx_slprintf(p, last, " and %ui more", crt->names.nelts - n);
    }

    return p;
}


static ngx_int_t
ngx_http_cms_proxy_complain(ngx_conf_t *cf,
    ngx_http_cms_proxy_loc_conf_t *plcf, ngx_uint_t may_fail, char *fmt, ...)
{
    u_char      *p, text[NGX_MAX_CONF_ERRSTR];
    va_list      args;
    ngx_uint_t   level;

    va_start(args, fmt);
    p = ngx_vslprintf(text, text + NGX_MAX_CONF_ERRSTR, fmt, args);
    va_end(args);

    level = (may_fail && plcf->certificate_check
                         == NGX_HTTP_CMS_PROXY_CHECK_STRICT)
            ? NGX_LOG_EMERG : NGX_LOG_WARN;

    ngx_log_error(level, cf->log, 0, "%*s, in %V:%ui", (size_t) (p - text),
                  text, &plcf->where.file, plcf->where.line);

    return (level == NGX_LOG_EMERG) ? NGX_ERROR : NGX_OK;
}


#else


ngx_int_t
ngx_http_cms_proxy_check_certificates(ngx_conf_t *cf)
{
    return NGX_OK;
}


#endif


ngx_uint_t
ngx_http_cms_proxy_name_fits(ngx_http_server_name_t *name, ngx_str_t *host)
{
    size_t      len;
    u_char     *p;
    ngx_str_t  *n;

    enum { EXPRESSION = 1, TAIL = 1000, HEAD = 2000, EXACT = 3000 };

    n = &name->name;

#if (NGX_PCRE)
    if (name->regex) {
        return ngx_regex_exec(name->regex->regex, host, NULL, 0) >= 0
               ? EXPRESSION : 0;
    }
#endif

    if (n->len == 0) {
        return 0;
    }

    if (n->len == host->len
        && ngx_strncasecmp(n->data, host->data, host->len) == 0)
    {
        return EXACT;
    }

    p = n->data;
    len = n->len;

    if (p[0] == '.' && len - 1 == host->len
        && ngx_strncasecmp(p + 1, host->data, host->len) == 0)
    {
        return EXACT;
    }

    if (p[0] == '*') {
        p++;
        len--;
    }

    if (p[0] == '.') {
        return host->len > len
               && ngx_strncasecmp(p, host->data + host->len - len, len) == 0
               ? HEAD + len : 0;
    }

    if (len > 2 && p[len - 1] == '*' && p[len - 2] == '.') {
        len--;
        return host->len > len && ngx_strncasecmp(p, host->data, len) == 0
               ? TAIL + len : 0;
    }

    return 0;
}
