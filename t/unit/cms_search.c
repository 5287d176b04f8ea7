/* sources: ngx_cms_proxy_module/cms_search.c */

/*
 * Each way to search finds the same names, in texts of any length and at any
 * place in them, and reads nothing before or behind them.
 */

#include "cms_search.h"
#include "tap.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define NAME(s) {(const unsigned char *)(s), sizeof(s) - 1}
#define LONG    "abcdefghijklmnopqrstuvwxyz0123456789."

typedef struct {
    const char *what;
    size_t count;
    cms_search_name_t names[CMS_SEARCH_NAMES_MAX];
} names_t;

static const names_t sets[] = {
    {"nothing", 0, {{0}}},
    {"one name", 1, {NAME("Cms1.octavio.test")}},
    {"one letter", 1, {NAME("h")}},
    {"two letters", 1, {NAME("h-")}},
    {"a long name", 1, {NAME(LONG LONG LONG LONG LONG LONG "z")}},
    {"names that end alike", 4,
     {NAME("a.octavio.test"), NAME("b.octavio.test"), NAME("cc.octavio.test"),
      NAME("dddddddddddd.octavio.test")}},
    {"names that begin alike", 4,
     {NAME("cms"), NAME("cms.lan"), NAME("cms.lan.octavio"), NAME("cms-2")}},
    {"names inside of others", 3,
     {NAME("b.c"), NAME("x.b.c.zq"), NAME("b.c.zq")}},
    {"names behind the rest of an escape", 3,
     {NAME("h.lan"), NAME("2fh.lan"), NAME("u002fh.lan")}},
    {"the same name twice", 3,
     {NAME("web.lan"), NAME("other.example"), NAME("WEB.lan")}},
    {"sixteen unlike", 16,
     {NAME("cms1.octavio.test"), NAME("webbridge.internal"), NAME("q7.lan"),
      NAME("meet.corp.example"), NAME("conference-4.x"), NAME("video_a.local"),
      NAME("bridge.dc2.intra"), NAME("rooms.hq"), NAME("callbridge.priv"),
      NAME("edge-7.backbone.net"), NAME("uc.services.home"), NAME("sip.org"),
      NAME("telepresence"), NAME("wb01.datacenter"), NAME("guest.dmz"),
      NAME("acano.legacy.local")}},
};

static unsigned char *page; /* ends where nothing can be read */

static void
make_page(void)
{
    size_t size = sysconf(_SC_PAGESIZE);
    unsigned char *p = mmap(NULL, 3 * size, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED || mprotect(p, size, PROT_NONE) ||
        mprotect(p + 2 * size, size, PROT_NONE)) {
        exit(2);
    }
    page = p + 2 * size;
}

/* A name in another letter case, among bytes that are near those of names. */
static unsigned char *
put_name(size_t len, size_t at, const cms_search_name_t *name, size_t set)
{
    const char *around = set % 2 ? "=v.\x0e\x99 " : "\xf6\xad" "1/ \x8e";
    unsigned char *text = page - len;
    size_t i;

    for (i = 0; i < len; i++) {
        text[i] = around[i % 6];
    }
    for (i = 0; i < name->len; i++) {
        unsigned char c = name->p[i];

        text[at + i] = (c | 0x20) >= 'a' && (c | 0x20) <= 'z' && i % 2
                           ? c ^ 0x20
                           : c;
    }
    return text;
}

/* Where name k is found, alone or beside others; or NULL. */
static const unsigned char *
found(const cms_search_t *search, const unsigned char *text,
      const unsigned char *want, size_t k)
{
    cms_search_cursor_t cursor;
    const unsigned char *p;
    unsigned which;

    cms_search_begin(&cursor, text);
    while ((p = cms_search_next(search, text, &cursor, page, &which))) {
        if (p == want && which >> k & 1) {
            return p;
        }
    }
    return NULL;
}

static int
finds_all(const cms_search_t *search, const names_t *set, size_t n)
{
    size_t k, at, len, sizes[] = {0, 1, 15, 40, 63, 64, 65, 200, 400};

    for (k = 0; k < set->count; k++) {
        for (len = 0; len < sizeof(sizes) / sizeof(*sizes); len++) {
            const cms_search_name_t *name = &set->names[k];
            size_t behind = sizes[len];

            for (at = 0; at < 140; at++) {
                unsigned char *text =
                    put_name(at + name->len + behind, at, name, n);

                if (found(search, text, text + at, k) == NULL) {
                    printf("#   '%.*s' at %d, %d behind\n", (int)name->len,
                           (char *)name->p, (int)at, (int)behind);
                    return 0;
                }
            }
        }
    }
    return 1;
}

/* With one bit of the name turned, other than its letter case. */
static int
finds_no_other(const cms_search_t *search, const names_t *set, size_t n)
{
    size_t k, i, bit;

    for (k = 0; k < set->count; k++) {
        const cms_search_name_t *name = &set->names[k];
        unsigned char *text = put_name(100 + name->len, 50, name, n);

        for (i = 0; i < name->len; i++) {
            for (bit = 0; bit < 8; bit++) {
                unsigned char c = text[50 + i];

                if (bit == 5 && (c | 0x20) >= 'a' && (c | 0x20) <= 'z') {
                    continue;
                }
                text[50 + i] ^= 1 << bit;
                if (found(search, text, text + 50, k)) {
                    printf("#   '%.*s'\n", (int)name->len, text + 50);
                    return 0;
                }
                text[50 + i] = c;
            }
        }
    }
    return 1;
}

/* Only the beginning of a name, at the end. */
static int
finds_whole_only(const cms_search_t *search, const names_t *set, size_t n)
{
    size_t k, at;

    for (k = 0; k < set->count; k++) {
        for (at = 0; at < 140; at++) {
            const cms_search_name_t *name = &set->names[k];
            cms_search_name_t most = {name->p, name->len - 1};
            unsigned char *text = put_name(at + most.len, at, &most, n);

            if (found(search, text, text + at, k)) {
                return 0;
            }
        }
    }
    return 1;
}

int
main(void)
{
    cms_search_t search;
    size_t i, way;

    make_page();
    for (i = 0; i < sizeof(sets) / sizeof(*sets); i++) {
        cms_search_compile(&search, sets[i].names, sets[i].count);
        for (way = 0; way < cms_search_ways(); way++) {
            const char *name = cms_search_way_name(way);

            if (!cms_search_use(&search, way)) {
                printf("# this CPU has no %s\n", name);
                continue;
            }
            ok(finds_all(&search, &sets[i], i), "%s are found (%s)",
               sets[i].what, name);
            ok(finds_no_other(&search, &sets[i], i),
               "and nothing that differs in a bit");
            ok(finds_whole_only(&search, &sets[i], i),
               "and no mere beginning");
        }
    }
    return done_testing();
}
