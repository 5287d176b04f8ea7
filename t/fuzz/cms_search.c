/* sources: ngx_cms_proxy_module/cms_search.c */

/*
 * Names taken from the input and looked for in it: each way to search finds
 * each place where an escape or no name character stands before a name (all
 * places, if it is the only one), and no place where none stands.
 */

#include "cms_search.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const uint8_t *text, *text_end;
static cms_search_name_t names[CMS_SEARCH_NAMES_MAX];
static size_t count;

static int
stands(size_t k, const uint8_t *p)
{
    return (size_t)(text_end - p) >= names[k].len &&
           strncasecmp((const char *)p, (const char *)names[k].p,
                       names[k].len) == 0;
}

static int
is_name_char(uint8_t c)
{
    return isalnum(c) || c == '.' || c == '-' || c == '_' || c >= 0x80;
}

/* Whether the byte before p is the last of an escape. */
static int
behind_escape(const uint8_t *p)
{
    size_t n = p - text;

    if (n < 3 || !isxdigit(p[-1]) || !isxdigit(p[-2])) {
        return n >= 2 && p[-2] == '\\' && p[-1] &&
               strchr("nrtbfv", p[-1]) != NULL;
    }
    return p[-3] == '%' ||
           (n >= 4 && p[-4] == '\\' && (p[-3] | 0x20) == 'x') ||
           (n >= 6 && p[-6] == '\\' && (p[-5] | 0x20) == 'u' &&
            p[-4] == '0' && p[-3] == '0');
}

/* Up to 16 names: the words that follow each other from some place on. */
static void
take_names(const uint8_t *p, size_t wanted)
{
    for (count = 0; count < wanted; count++) {
        size_t n = 0;

        while (p < text_end && (!is_name_char(*p) || *p >= 0x80)) {
            p++;
        }
        while (p + n < text_end && n < 255 && is_name_char(p[n]) &&
               p[n] < 0x80) {
            n++;
        }
        if (n == 0) {
            break;
        }
        names[count].p = p;
        names[count].len = n;
        p += n;
    }
}

static void
check(const cms_search_t *search)
{
    const uint8_t *p, *start;
    cms_search_cursor_t cursor;
    unsigned short *found = calloc(text_end - text + 1, sizeof(*found));
    unsigned which;
    size_t k;

    cms_search_begin(&cursor, text);
    while ((start = cms_search_next(search, text, &cursor, text_end,
                                    &which))) {
        if (start < text || found[start - text] || which == 0) {
            abort();
        }
        found[start - text] = which;
    }
    for (p = text; p < text_end; p++) {
        int must = count == 1 || p == text || !is_name_char(p[-1]) ||
                   behind_escape(p);

        which = 0;
        for (k = 0; k < count; k++) {
            which |= (unsigned)stands(k, p) << k;
        }
        if (found[p - text] != which && (must || found[p - text])) {
            abort();
        }
    }
    free(found);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cms_search_t search;
    size_t way;

    if (size < 3) {
        return 0;
    }
    text = data + 2;
    text_end = data + size;
    take_names(text + data[0] % (size - 2), data[1] % 17);
    cms_search_compile(&search, names, count);
    for (way = 0; way < cms_search_ways(); way++) {
        if (cms_search_use(&search, way)) {
            check(&search);
        }
    }
    return 0;
}
