/* sources: ngx_cms_proxy_module/cms_probe.c */

/*
 * An answer means the same in one piece as byte by byte, and a text is found
 * in a body exactly where memmem() finds it.
 */

#include "cms_probe.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void *memmem(const void *, size_t, const void *, size_t);

static const unsigned char head[] = "HTTP/1.1 200 OK\r\n\r\n";

static void
same_in_pieces(const cms_probe_text_t *text, const uint8_t *data, size_t size)
{
    cms_probe_t whole, pieces;
    size_t i;

    cms_probe_start(&whole, text);
    cms_probe_feed(&whole, data, size);
    cms_probe_start(&pieces, text);
    for (i = 0; i < size; i++) {
        cms_probe_feed(&pieces, data + i, 1);
    }
    if (whole.verdict != pieces.verdict || whole.problem != pieces.problem ||
        whole.status != pieces.status) {
        abort();
    }
    if (cms_probe_end(&whole) != cms_probe_end(&pieces) ||
        whole.verdict == CMS_PROBE_MORE) {
        abort();
    }
}

static void
text_is_found(const cms_probe_text_t *text, const uint8_t *data, size_t size)
{
    cms_probe_t p;
    int found = memmem(data, size, text->data, text->len) != NULL;

    cms_probe_start(&p, text);
    cms_probe_feed(&p, head, sizeof(head) - 1);
    cms_probe_feed(&p, data, size / 2);
    cms_probe_feed(&p, data + size / 2, size - size / 2);
    if (cms_probe_end(&p) != (found ? CMS_PROBE_PASSED : CMS_PROBE_TEXT)) {
        abort();
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cms_probe_text_t text;
    size_t len;

    if (size < 2) {
        return 0;
    }
    len = data[0] % 8;
    data++;
    size--;
    if (len > size || !cms_probe_text(&text, data, len)) {
        same_in_pieces(NULL, data, size);
        return 0;
    }
    same_in_pieces(&text, data + len, size - len);
    text_is_found(&text, data + len, size - len);
    return 0;
}
