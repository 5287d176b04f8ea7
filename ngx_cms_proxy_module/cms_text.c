/*
 * Growing texts, and escaping of what is put into them; see cms_text.h.
 */

#include "cms_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM 16384

static int
make_room(cms_text_t *t, size_t len)
{
    size_t room = t->room ? t->room : FIRST_ROOM;
    char *data;

    if (t->failed) {
        return 0;
    }
    while (room - t->len < len) {
        room *= 2;
    }
    if (room == t->room) {
        return 1;
    }
    data = realloc(t->data, room);
    if (!data) {
        t->failed = 1;
        return 0;
    }
    t->data = data;
    t->room = room;
    return 1;
}

void
cms_text_add(cms_text_t *t, const char *p, size_t len)
{
    if (make_room(t, len)) {
        memcpy(t->data + t->len, p, len);
        t->len += len;
    }
}

void
cms_text_print(cms_text_t *t, const char *format, ...)
{
    char text[CMS_TEXT_PRINT_MAX + 1];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (n > CMS_TEXT_PRINT_MAX) {
        n = CMS_TEXT_PRINT_MAX;
    }
    if (n > 0) {
        cms_text_add(t, text, (size_t)n);
    }
}

/* Adds the text, each byte of "from" replaced by that string of "to". */
static void
replaced(cms_text_t *t, const char *text, const char *from,
         const char *const *to)
{
    while (*text) {
        size_t n = strcspn(text, from);

        cms_text_add(t, text, n);
        text += n;
        if (*text) {
            const char *by = to[strchr(from, *text) - from];

            cms_text_add(t, by, strlen(by));
            text++;
        }
    }
}

void
cms_text_html(cms_text_t *t, const char *text)
{
    static const char *const to[] = {"&amp;", "&lt;", "&gt;", "&quot;",
                                     "&#39;"};

    replaced(t, text, "&<>\"'", to);
}

void
cms_text_label(cms_text_t *t, const char *text)
{
    static const char *const to[] = {"\\\\", "\\\"", "\\n"};

    replaced(t, text, "\\\"\n", to);
}
