/*
 * What the stream module counted on the shared port, as a part of the status
 * document; see cms_status.h. One table says what is counted; the page and the
 * figures for Prometheus are made by it as well.
 */

#include "cms_status.h"

const cms_status_outcome_t cms_status_outcomes[CMS_SHARE_OUTCOMES] = {
    [CMS_SHARE_HTTPS] = {"https", "HTTPS"},
    [CMS_SHARE_HTTPS_OPENED] = {"https_opened", "HTTPS without ALPN"},
    [CMS_SHARE_TURN_TCP] = {"turn_tcp", "TURN over TCP"},
    [CMS_SHARE_TURN_TLS] = {"turn_tls", "TURN over TLS"},
    [CMS_SHARE_PLAIN_HTTP] = {"plain_http", "HTTP without TLS, told so"},
    [CMS_SHARE_UNKNOWN] = {"unknown", "None of these, closed"},
    [CMS_SHARE_SILENT] = {"silent", "Silent too long, closed"},
    [CMS_SHARE_GONE] = {"gone", "Left before it was known"},
    [CMS_SHARE_REFUSED] = {"refused", "Not served here, closed"},
};

json_t *
cms_status_share(const cms_share_figures_t *figures)
{
    json_t *connections;
    uint64_t n;
    size_t i;

    if (figures->magic != CMS_SHARE_FIGURES_MAGIC) {
        return NULL;
    }
    connections = json_object();
    for (i = 0; i < CMS_SHARE_OUTCOMES; i++) {
        n = __atomic_load_n(&figures->outcomes[i], __ATOMIC_RELAXED);
        json_object_set_new(connections, cms_status_outcomes[i].name,
                            json_integer((json_int_t)n));
    }
    n = __atomic_load_n(&figures->opened, __ATOMIC_RELAXED);
    return json_pack("{s:o, s:I}", "connections", connections, "tls_opened",
                     (json_int_t)n);
}
