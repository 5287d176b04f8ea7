/*
 * A text that grows as it is printed to; what the status page is made with.
 * Pure: malloc() is all it needs.
 */

#ifndef CMS_TEXT_H
#define CMS_TEXT_H

#include <stddef.h>

typedef struct {
    char *data; /* not ended with '\0'; free() it */
    size_t len;
    size_t room;
    int failed; /* out of memory: what is printed from then on is lost */
} cms_text_t;

void cms_text_add(cms_text_t *t, const char *p, size_t len);

/* Escaped for HTML, as text or as a value in quotes. */
void cms_text_html(cms_text_t *t, const char *text);

/* The value of a label in Prometheus' text format, without its quotes. */
void cms_text_label(cms_text_t *t, const char *text);

/* printf(); of one call not more than CMS_TEXT_PRINT_MAX bytes. */
#define CMS_TEXT_PRINT_MAX 1024
__attribute__((format(printf, 2, 3))) void
cms_text_print(cms_text_t *t, const char *format, ...);

#endif
