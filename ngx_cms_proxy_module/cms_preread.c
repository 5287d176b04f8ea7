/*
 * Tells STUN, TLS and HTTP apart by their first bytes, which no two of them
 * share, and picks a target.
 */

#include "cms_preread.h"

#include "cms_stun.h"

static cms_preread_t
look_for_stun(const unsigned char *p, size_t len, cms_client_hello_t *h)
{
    switch (cms_stun_look(p, len)) {
    case CMS_STUN_YES:
        return CMS_PREREAD_STUN;
    case CMS_STUN_MORE:
        h->need = len + 1; /* the next byte can say that it is none */
        return CMS_PREREAD_MORE;
    default:
        return CMS_PREREAD_OTHER;
    }
}

cms_preread_t
cms_preread_look(const unsigned char *p, size_t len, cms_client_hello_t *h)
{
    switch (cms_client_hello_read(h, p, len)) {
    case CMS_CLIENT_HELLO_OK:
    case CMS_CLIENT_HELLO_BAD:
        return CMS_PREREAD_TLS;
    case CMS_CLIENT_HELLO_MORE:
        if (len == 0) {
            h->need = 1;
        }
        return CMS_PREREAD_MORE;
    default:
        break;
    }
    if (p[0] >= 'A' && p[0] <= 'Z') {
        return CMS_PREREAD_HTTP;
    }
    return look_for_stun(p, len, h);
}

const char *
cms_preread_name(cms_preread_t found)
{
    switch (found) {
    case CMS_PREREAD_STUN:
        return "stun";
    case CMS_PREREAD_TLS:
        return "tls";
    case CMS_PREREAD_HTTP:
        return "http";
    default:
        return NULL;
    }
}

/* The first that is configured. */
static cms_preread_to_t
first_of(cms_preread_to_t a, cms_preread_to_t b, unsigned targets)
{
    if (targets & a) {
        return a;
    }
    return (targets & b) ? b : CMS_PREREAD_TO_MISSING;
}

static cms_preread_to_t
side_of_tls(const cms_client_hello_t *h, unsigned targets)
{
    if (h->alpn_stun || (!h->alpn_present && !h->broken)) {
        return first_of(CMS_PREREAD_TO_TURNS, CMS_PREREAD_TO_HTTPS, targets);
    }
    return first_of(CMS_PREREAD_TO_HTTPS, CMS_PREREAD_TO_TURNS, targets);
}

cms_preread_to_t
cms_preread_side(cms_preread_t found, const cms_client_hello_t *h, int opened,
                 unsigned targets)
{
    switch (found) {
    case CMS_PREREAD_STUN:
        return first_of(CMS_PREREAD_TO_TURN, CMS_PREREAD_TO_TURN, targets);
    case CMS_PREREAD_HTTP:
        return first_of(opened ? CMS_PREREAD_TO_HTTP : CMS_PREREAD_TO_HTTPS,
                        CMS_PREREAD_TO_HTTP, targets);
    case CMS_PREREAD_TLS:
        return opened ? CMS_PREREAD_TO_NONE : side_of_tls(h, targets);
    default:
        return CMS_PREREAD_TO_NONE;
    }
}
