/* sources: ngx_cms_proxy_module/cms_rewrite.c ngx_cms_proxy_module/cms_search.c */
/* sources: ngx_cms_proxy_module/cms_authority.c */

/*
 * In pieces of any size a text becomes what it becomes whole, no match means
 * no change, and a cookie's Domain lies inside the cookie.
 */

#include "cms_rewrite.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define NAME(s) (const unsigned char *)(s), sizeof(s) - 1
#define AT_RUN_TIME {NULL, 0, NULL, 0}

static const cms_rewrite_mapping_t mappings[] = {
    {CMS_REWRITE_DOMAIN, NAME("in.l"), 0, {NAME("out"), NAME("out")}},
    {CMS_REWRITE_AUTHORITY, NAME("h.in.l"), 0, AT_RUN_TIME},
    {CMS_REWRITE_AUTHORITY, NAME("p"), 84, AT_RUN_TIME},
};

static cms_rewrite_set_t set;
static cms_rewrite_to_t to;
static unsigned char to_buffer[64];

static void
in_pieces(const unsigned char *data, size_t size, unsigned seed,
          const unsigned char *want, size_t want_len)
{
    const unsigned char *data_end = data + size;
    size_t at = 0, n, taken;
    cms_rewrite_t rw;
    int last;

    cms_rewrite_begin(&rw, &set, &to, 7443);
    do {
        unsigned char *piece;
        const unsigned char *in, *seen, *p;

        seed = seed * 1103515245 + 12345;
        n = (seed >> 16) % 40;
        if (n > (size_t)(data_end - data)) {
            n = data_end - data;
        }
        last = data + n == data_end;
        piece = malloc(n + 1);
        memcpy(piece, data, n);
        data += n;
        in = seen = piece;
        while (cms_rewrite_next(&rw, &in, piece + n, last, &p, &taken) !=
               CMS_REWRITE_MORE) {
            if (taken > want_len - at || memcmp(want + at, p, taken) != 0) {
                abort();
            }
            at += taken;
            memset(piece + (seen - piece), 'x', in - seen);
            seen = in;
        }
        free(piece);
    } while (!last);
    if (at != want_len) {
        abort();
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t n, len, counted, pos = 0, start, end;
    unsigned char *out;

    if (set.count == 0) {
        cms_rewrite_to_write(&to, to_buffer, NAME("guest.example"), 9443);
        cms_rewrite_compile(&set, mappings, 3);
    }
    len = cms_rewrite(&set, &to, 7443, data, size, NULL, &counted);
    out = malloc(len + 1);
    if (cms_rewrite(&set, &to, 7443, data, size, out, &n) != len ||
        n != counted) {
        abort();
    }
    if (n == 0 && (len != size || memcmp(out, data, size) != 0)) {
        abort();
    }
    in_pieces(data, size, size ? data[0] : 1, out, len);
    free(out);
    while (cms_cookie_domain(data, size, &pos, &start, &end)) {
        if (start > end || end > size || pos < end) {
            abort();
        }
        cms_cookie_domain_covers(data + start, end - start, NAME("h.in.l"));
    }
    return 0;
}
