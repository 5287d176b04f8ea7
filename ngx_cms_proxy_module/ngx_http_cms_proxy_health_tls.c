
/*
 * The TLS leg of a health probe, as guests' requests have it: the stock
 * proxy's SSL context, SNI and verification.  Always a full handshake, since
 * a resumed session shows no certificate.  OpenSSL is called directly: nginx
 * would log each fault where a reason is wanted.
 */


#include "ngx_http_cms_proxy_health.h"

#if (NGX_HTTP_SSL)

#include <openssl/x509v3.h>


#define NGX_HTTP_CMS_PROXY_NAMES_SHOWN  3


static ngx_int_t ngx_http_cms_proxy_tls_wait(ngx_connection_t *c, int error);
static void ngx_http_cms_proxy_tls_fault(ngx_http_cms_proxy_reason_t *reason,
    int error, char *when);
static ngx_int_t ngx_http_cms_proxy_tls_verify(
    ngx_http_cms_proxy_probe_t *probe, ngx_http_cms_proxy_reason_t *reason);
static void ngx_http_cms_proxy_tls_untrusted(
    ngx_http_cms_proxy_probe_t *probe, X509 *cert, long error,
    ngx_http_cms_proxy_reason_t *reason);
static X509 *ngx_http_cms_proxy_tls_out_of_date(SSL *ssl, X509 *cert);
static void ngx_http_cms_proxy_tls_date(X509 *cert, X509 *leaf,
    ngx_http_cms_proxy_reason_t *reason);
static void ngx_http_cms_proxy_tls_names(X509 *cert, ngx_str_t *expected,
    ngx_http_cms_proxy_reason_t *reason);
static u_char *ngx_http_cms_proxy_tls_printable(u_char *p, u_char *last,
    ASN1_STRING *s);
static void ngx_http_cms_proxy_tls_common_name(X509_NAME *name, u_char *buf,
    size_t size);


ngx_int_t
ngx_http_cms_proxy_tls_start(ngx_http_cms_proxy_probe_t *probe,
    ngx_http_cms_proxy_reason_t *reason)
{
    u_char                       *name;
    ngx_connection_t             *c;
    ngx_http_cms_proxy_health_t  *health;

    c = probe->peer.connection;
    health = probe->health;

    if (ngx_ssl_create_connection(health->conf->ssl, c,
                                  NGX_SSL_BUFFER|NGX_SSL_CLIENT)
        != NGX_OK)
    {
        ngx_http_cms_proxy_say(reason, NGX_HTTP_CMS_PROXY_NO_CAUSE,
                               "no memory for TLS");
        return NGX_ERROR;
    }

    if (!health->conf->ssl_server_name || health->tls_name.len == 0
        || ngx_inet_addr(health->tls_name.data, health->tls_name.len)
           != INADDR_NONE)
    {
        return NGX_OK;
    }

    name = ngx_pnalloc(probe->pool, health->tls_name.len + 1);

    if (name) {
        ngx_cpystrn(name, health->tls_name.data, health->tls_name.len + 1);
    }

    if (name == NULL
        || SSL_set_tlsext_host_name(c->ssl->connection, (char *) name) == 0)
    {
        ERR_clear_error();
        ngx_http_cms_proxy_say(reason, NGX_HTTP_CMS_PROXY_NO_CAUSE,
                               "no memory for TLS");
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_cms_proxy_tls_handshake(ngx_http_cms_proxy_probe_t *probe,
    ngx_http_cms_proxy_reason_t *reason)
{
    int                n, error;
    ngx_connection_t  *c;

    c = probe->peer.connection;

    ERR_clear_error();
    ngx_set_socket_errno(0);

    n = SSL_do_handshake(c->ssl->connection);

    if (n == 1) {
        c->ssl->handshaked = 1;

        return probe->health->conf->ssl_verify
               ? ngx_http_cms_proxy_tls_verify(probe, reason) : NGX_OK;
    }

    error = SSL_get_error(c->ssl->connection, n);

    if (ngx_http_cms_proxy_tls_wait(c, error) == NGX_AGAIN) {
        return NGX_AGAIN;
    }

    ngx_http_cms_proxy_tls_fault(reason, error, "in the TLS handshake");

    return NGX_ERROR;
}


ssize_t
ngx_http_cms_proxy_tls_write(ngx_http_cms_proxy_probe_t *probe, u_char *data,
    size_t len, ngx_http_cms_proxy_reason_t *reason)
{
    int                n, error;
    ngx_connection_t  *c;

    c = probe->peer.connection;

    ERR_clear_error();
    ngx_set_socket_errno(0);

    n = SSL_write(c->ssl->connection, data, (int) len);

    if (n > 0) {
        return n;
    }

    error = SSL_get_error(c->ssl->connection, n);

    if (ngx_http_cms_proxy_tls_wait(c, error) == NGX_AGAIN) {
        return NGX_AGAIN;
    }

    ngx_http_cms_proxy_tls_fault(reason, error, "before the request");

    return NGX_ERROR;
}


ssize_t
ngx_http_cms_proxy_tls_read(ngx_http_cms_proxy_probe_t *probe, u_char *data,
    size_t len, ngx_http_cms_proxy_reason_t *reason)
{
    int                n, error;
    ngx_connection_t  *c;

    c = probe->peer.connection;

    ERR_clear_error();
    ngx_set_socket_errno(0);

    n = SSL_read(c->ssl->connection, data, (int) len);

    if (n > 0) {
        return n;
    }

    error = SSL_get_error(c->ssl->connection, n);

    if (ngx_http_cms_proxy_tls_wait(c, error) == NGX_AGAIN) {
        return NGX_AGAIN;
    }

    /* many end without close_notify; the answer says whether it is whole */

    if (error == SSL_ERROR_ZERO_RETURN
        || (error == SSL_ERROR_SYSCALL && ngx_socket_errno == 0)
#ifdef SSL_R_UNEXPECTED_EOF_WHILE_READING
        || (error == SSL_ERROR_SSL
            && ERR_GET_REASON(ERR_peek_error())
               == SSL_R_UNEXPECTED_EOF_WHILE_READING)
#endif
        )
    {
        ERR_clear_error();
        return 0;
    }

    ngx_http_cms_proxy_tls_fault(reason, error,
                                 probe->received ? "in the middle of the answer"
                                                 : "without an answer");

    return NGX_ERROR;
}


/* frees it; close_notify is sent only where all went well, and not awaited */

void
ngx_http_cms_proxy_tls_end(ngx_http_cms_proxy_probe_t *probe,
    ngx_uint_t orderly)
{
    ngx_connection_t  *c;

    c = probe->peer.connection;

    if (c->ssl == NULL || c->ssl->connection == NULL) {
        return;
    }

    if (orderly) {
        (void) SSL_shutdown(c->ssl->connection);
    }

    ERR_clear_error();

    c->ssl->no_wait_shutdown = 1;
    c->ssl->no_send_shutdown = 1;

    (void) ngx_ssl_shutdown(c);
}


static ngx_int_t
ngx_http_cms_proxy_tls_wait(ngx_connection_t *c, int error)
{
    if (error == SSL_ERROR_WANT_READ) {
        c->read->ready = 0;
        return NGX_AGAIN;
    }

    if (error == SSL_ERROR_WANT_WRITE) {
        c->write->ready = 0;
        return NGX_AGAIN;
    }

    return NGX_ERROR;
}


static void
ngx_http_cms_proxy_tls_fault(ngx_http_cms_proxy_reason_t *reason, int error,
    char *when)
{
    int            code;
    const char    *text;
    unsigned long  queued;

    queued = ERR_peek_error();
    code = ERR_GET_REASON(queued);

    if (error == SSL_ERROR_ZERO_RETURN || error == SSL_ERROR_SYSCALL
        || queued == 0
#ifdef SSL_R_UNEXPECTED_EOF_WHILE_READING
        || code == SSL_R_UNEXPECTED_EOF_WHILE_READING
#endif
        )
    {
        ngx_http_cms_proxy_say(reason, NGX_HTTP_CMS_PROXY_CLOSED,
                               "closed the connection %s", when);

    } else if (code >= SSL_AD_REASON_OFFSET
               && ERR_GET_LIB(queued) == ERR_LIB_SSL)
    {
        ngx_http_cms_proxy_say(reason, NGX_HTTP_CMS_PROXY_TLS_FAILED,
            "TLS: the web bridge refuses it: %s",
            SSL_alert_desc_string_long(code - SSL_AD_REASON_OFFSET));

    } else if (code == SSL_R_WRONG_VERSION_NUMBER
               || code == SSL_R_PACKET_LENGTH_TOO_LONG)
    {
        ngx_http_cms_proxy_say(reason, NGX_HTTP_CMS_PROXY_TLS_FAILED,
                               "TLS: what answers on this port is not TLS");

    } else {
        text = ERR_reason_error_string(queued);
        ngx_http_cms_proxy_say(reason, NGX_HTTP_CMS_PROXY_TLS_FAILED,
                               "TLS: %s", text ? text : "unknown error");
    }

    ERR_clear_error();
}


static ngx_int_t
ngx_http_cms_proxy_tls_verify(ngx_http_cms_proxy_probe_t *probe,
    ngx_http_cms_proxy_reason_t *reason)
{
    X509              *cert;
    long               error;
    ngx_connection_t  *c;

    c = probe->peer.connection;

    cert = SSL_get_peer_certificate(c->ssl->connection);

    if (cert == NULL) {
        ngx_http_cms_proxy_say(reason, NGX_HTTP_CMS_PROXY_CERTIFICATE,
                               "certificate: there is none");
        return NGX_ERROR;
    }

    error = SSL_get_verify_result(c->ssl->connection);

    if (error != X509_V_OK) {
        ngx_http_cms_proxy_tls_untrusted(probe, cert, error, reason);

    } else if (ngx_ssl_check_host(c, &probe->health->tls_name) != NGX_OK) {
        ngx_http_cms_proxy_tls_names(cert, &probe->health->tls_name, reason);
        error = X509_V_ERR_HOSTNAME_MISMATCH;
    }

    X509_free(cert);
    ERR_clear_error();

    return error == X509_V_OK ? NGX_OK : NGX_ERROR;
}


static void
ngx_http_cms_proxy_tls_untrusted(ngx_http_cms_proxy_probe_t *probe, X509 *cert,
    long error, ngx_http_cms_proxy_reason_t *reason)
{
    X509       *old;
    u_char      issuer[64];
    ngx_str_t  *ca, unnamed = ngx_string("proxy_ssl_trusted_certificate");

    ca = &probe->health->ca_file;

    if (ca->len == 0) {
        ca = &unnamed;
    }

    switch (error) {

    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
        old = ngx_http_cms_proxy_tls_out_of_date(
                              probe->peer.connection->ssl->connection, cert);
        if (old) {
            ngx_http_cms_proxy_tls_date(old, cert, reason);
            return;
        }

        break;

    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        ngx_http_cms_proxy_say(reason, NGX_HTTP_CMS_PROXY_CERTIFICATE,
                               "certificate: self-signed, not in %V", ca);
        return;

    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        ngx_http_cms_proxy_tls_common_name(X509_get_issuer_name(cert), issuer,
                                           sizeof(issuer));
        ngx_http_cms_proxy_say(reason, NGX_HTTP_CMS_PROXY_CERTIFICATE,
                               "certificate: issued by \"%s\", and no chain "
                               "from there to a CA in %V", issuer, ca);
        return;

    default:
        break;
    }

    ngx_http_cms_proxy_say(reason, NGX_HTTP_CMS_PROXY_CERTIFICATE,
                           "certificate: %s",
                           X509_verify_cert_error_string(error));
}


/* the first certificate that was sent and does not hold now */

static X509 *
ngx_http_cms_proxy_tls_out_of_date(SSL *ssl, X509 *cert)
{
    int              i;
    X509            *x;
    STACK_OF(X509)  *chain;

    chain = SSL_get_peer_cert_chain(ssl);

    for (i = -1; i < (chain ? sk_X509_num(chain) : 0); i++) {

        x = (i == -1) ? cert : sk_X509_value(chain, i);

        if (X509_cmp_current_time(X509_get0_notAfter(x)) < 0
            || X509_cmp_current_time(X509_get0_notBefore(x)) > 0)
        {
            return x;
        }
    }

    return NULL;
}


static void
ngx_http_cms_proxy_tls_date(X509 *cert, X509 *leaf,
    ngx_http_cms_proxy_reason_t *reason)
{
    int               days, seconds, after;
    u_char            whose[80], ago[sizeof(" 100000 days ago")], cn[64];
    struct tm         tm;
    const ASN1_TIME  *t;

    after = X509_cmp_current_time(X509_get0_notAfter(cert)) < 0;
    t = after ? X509_get0_notAfter(cert) : X509_get0_notBefore(cert);

    if (ASN1_TIME_to_tm(t, &tm) != 1
        || ASN1_TIME_diff(&days, &seconds, after ? t : NULL, after ? NULL : t)
           != 1)
    {
        ngx_http_cms_proxy_say(reason, NGX_HTTP_CMS_PROXY_CERTIFICATE,
                               "certificate: not valid at this time");
        return;
    }

    whose[0] = '\0';

    if (X509_cmp(cert, leaf) != 0) {
        ngx_http_cms_proxy_tls_common_name(X509_get_subject_name(cert), cn,
                                           sizeof(cn));
        *ngx_snprintf(whose, sizeof(whose) - 1, " of its CA \"%s\"", cn)
            = '\0';
    }

    if (days == 0) {
        *ngx_snprintf(ago, sizeof(ago) - 1, " today") = '\0';

    } else {
        *ngx_snprintf(ago, sizeof(ago) - 1, after ? " %d day%s ago"
                      : " for %d day%s", days, days == 1 ? "" : "s")
            = '\0';
    }

    ngx_http_cms_proxy_say(reason, NGX_HTTP_CMS_PROXY_CERTIFICATE,
        after ? "certificate%s: expired%s (%04d-%02d-%02d)"
              : "certificate%s: not yet valid%s (from %04d-%02d-%02d)",
        whose, (days == 0 && !after) ? (u_char *) "" : ago,
        tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
}


static void
ngx_http_cms_proxy_tls_names(X509 *cert, ngx_str_t *expected,
    ngx_http_cms_proxy_reason_t *reason)
{
    int              i, n;
    u_char          *p, *last, names[120];
    ngx_uint_t       shown, left;
    GENERAL_NAME    *name;
    GENERAL_NAMES   *sans;

    p = names;
    last = names + sizeof(names) - sizeof(" and 10000 more");
    shown = 0;
    left = 0;

    sans = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    n = sans ? sk_GENERAL_NAME_num(sans) : 0;

    for (i = 0; i < n; i++) {
        name = sk_GENERAL_NAME_value(sans, i);

        if (name->type != GEN_DNS) {
            continue;
        }

        if (shown == NGX_HTTP_CMS_PROXY_NAMES_SHOWN) {
            left++;
            continue;
        }

        p = ngx_slprintf(p, last, "%s", shown++ ? ", " : "");
        p = ngx_http_cms_proxy_tls_printable(p, last, name->d.dNSName);
    }

    if (left) {
        p = ngx_slprintf(p, names + sizeof(names), " and %ui more", left);
    }

    *p = '\0';

    if (shown) {
        ngx_http_cms_proxy_say(reason, NGX_HTTP_CMS_PROXY_CERTIFICATE,
                               "certificate: names %s, not %V", names,
                               expected);

    } else {
        ngx_http_cms_proxy_tls_common_name(X509_get_subject_name(cert), names,
                                           64);
        ngx_http_cms_proxy_say(reason, NGX_HTTP_CMS_PROXY_CERTIFICATE,
                               "certificate: has no DNS name (CN \"%s\"), "
                               "not %V", names, expected);
    }

    GENERAL_NAMES_free(sans);
}


/* what others wrote goes into logs and pages */

static u_char *
ngx_http_cms_proxy_tls_printable(u_char *p, u_char *last, ASN1_STRING *s)
{
    int                   i, len;
    const unsigned char  *data;

    data = ASN1_STRING_get0_data(s);
    len = ASN1_STRING_length(s);

    for (i = 0; i < len && p < last; i++) {
        *p++ = (data[i] < 0x20 || data[i] > 0x7e) ? '?' : data[i];
    }

    return p;
}


static void
ngx_http_cms_proxy_tls_common_name(X509_NAME *name, u_char *buf, size_t size)
{
    int      i;
    u_char  *p;

    p = buf;

    i = X509_NAME_get_index_by_NID(name, NID_commonName, -1);

    if (i < 0) {
        i = X509_NAME_get_index_by_NID(name, NID_organizationName, -1);
    }

    if (i >= 0) {
        p = ngx_http_cms_proxy_tls_printable(p, buf + size - 1,
                X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, i)));
    }

    *p = '\0';
}


#endif
