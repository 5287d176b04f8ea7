/* sources: ngx_cms_proxy_module/cms_turn_file.c */
/* sources: ngx_cms_proxy_module/cms_status_html.c */
/* sources: ngx_cms_proxy_module/cms_status_share.c */
/* sources: ngx_cms_proxy_module/cms_status_problems.c */
/* sources: ngx_cms_proxy_module/cms_status_prometheus.c */
/* sources: ngx_cms_proxy_module/cms_text.c */

/*
 * Whatever the coturn plugin's files hold: reading turn.json ends, what was
 * taken of it makes a page without markup of its own, and turn.prom is passed
 * on whole or not at all.
 */

#define _GNU_SOURCE

#include "cms_status.h"
#include "cms_turn_file.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void
check_page(json_t *turn)
{
    json_t *status = json_pack("{s:f, s:o}", "generated", 1e9, "turn", turn);
    cms_text_t page = {0};

    cms_status_problems(status);
    cms_status_html(status, &page);
    if (memmem(page.data, page.len, "<x", 2) ||
        memmem(page.data, page.len, "<script", 7)) {
        abort();
    }
    free(page.data);
    json_decref(status);
}

static void
check_figures(const char *text, size_t size)
{
    json_t *status = json_object();
    cms_text_t with = {0}, without = {0};

    cms_status_prometheus(status, text, size, &with);
    cms_status_prometheus(status, NULL, 0, &without);
    if (with.len != without.len &&
        (with.len != without.len + size || text[size - 1] != '\n')) {
        abort();
    }
    free(with.data);
    free(without.data);
    json_decref(status);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char error[CMS_TURN_ERROR] = "";
    json_t *turn = cms_turn_file((const char *)data, size, 1e9, error);

    if (turn) {
        check_page(turn);
    } else if (!*error || strlen(error) >= sizeof(error)) {
        abort();
    }
    check_figures((const char *)data, size);
    return 0;
}
