/*
 * The status document and what is made of it: problems in words, a page for
 * people, figures for Prometheus. The document is JSON, as "format=json" gives
 * it; conf-examples/nginx/status.schema.json says what is in it. It is made by
 * ngx_http_cms_proxy_status_document.c. Pure but for libjansson and malloc().
 */

#ifndef CMS_STATUS_H
#define CMS_STATUS_H

#include "cms_share_figures.h"
#include "cms_text.h"

#include <jansson.h>

/*
 * Adds member "problems": what an administrator should look at, a line each,
 * the worse ones first.
 */
void cms_status_problems(json_t *status);

/* The page, without script, which comes again by itself. */
#define CMS_STATUS_REFRESH_SECONDS 10
extern const char cms_status_style[]; /* between <style> and </style> */
void cms_status_html(const json_t *status, cms_text_t *to);

/*
 * Figures in Prometheus' text format. Behind them turn.prom, the plugin's own,
 * where turn is not NULL and well-formed: metrics cms_edge_turn_... only.
 */
void cms_status_prometheus(const json_t *status, const char *turn,
                           size_t turn_len, cms_text_t *to);

/*
 * Whether this is text in Prometheus' format (version 0.0.4) with nothing but
 * metrics of the plugin in it.
 */
int cms_status_is_turn_prom(const char *text, size_t len);

/* By outcome: its name in JSON and for Prometheus, and words for the page. */
typedef struct {
    const char *name;
    const char *words;
} cms_status_outcome_t;

extern const cms_status_outcome_t cms_status_outcomes[CMS_SHARE_OUTCOMES];

/*
 * Member "share" of the document, from memory that others write to. NULL:
 * figures of another layout, or no memory.
 */
json_t *cms_status_share(const cms_share_figures_t *figures);

/* A string member, "" where there is none. */
const char *cms_status_string(const json_t *in, const char *name);
/* A number, 0 where there is none. */
double cms_status_number(const json_t *in, const char *name);
/* Unix time as "2026-11-22 21:40:03 UTC". */
#define CMS_STATUS_TIME 32
void cms_status_time(double unix_time, char text[CMS_STATUS_TIME]);

#endif
