/*
 * How long the search for names and the rewriting core take for 200 KB that
 * look like a page, beside memchr() for an absent byte on the same bytes.
 * Called by t/bench/rewrite-search.bench. Prints "what way ns" for each
 * round, all in turn; the argument is the number of rounds.
 */

#include "cms_rewrite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SIZE   (200 * 1024)
#define REPEAT 40
#define NAME(s) (const unsigned char *)(s), sizeof(s) - 1
#define TO(s)                                                                 \
    {                                                                         \
        NAME(s), NAME(s)                                                      \
    }

static const cms_rewrite_mapping_t unrelated[] = {
    {CMS_REWRITE_AUTHORITY, NAME("cms1.octavio.test"), 0, TO("join.test")},
    {CMS_REWRITE_AUTHORITY, NAME("webbridge.internal"), 0, TO("a.test")},
    {CMS_REWRITE_AUTHORITY, NAME("meet.corp.example"), 0, TO("b.test")},
    {CMS_REWRITE_AUTHORITY, NAME("conference-4.lan"), 0, TO("c.test")},
    {CMS_REWRITE_AUTHORITY, NAME("video.site-a.local"), 0, TO("d.test")},
    {CMS_REWRITE_AUTHORITY, NAME("bridge.dc2.intra"), 0, TO("e.test")},
    {CMS_REWRITE_AUTHORITY, NAME("rooms.hq.example"), 0, TO("f.test")},
    {CMS_REWRITE_AUTHORITY, NAME("callbridge.priv"), 0, TO("g.test")},
    {CMS_REWRITE_AUTHORITY, NAME("edge-7.backbone.net"), 0, TO("h.test")},
    {CMS_REWRITE_AUTHORITY, NAME("uc.services.home"), 0, TO("i.test")},
    {CMS_REWRITE_DOMAIN, NAME("sip.inside.org"), 0, TO("j.test")},
    {CMS_REWRITE_AUTHORITY, NAME("spaces.zone3.arpa"), 0, TO("k.test")},
    {CMS_REWRITE_AUTHORITY, NAME("telepresence"), 0, TO("l.test")},
    {CMS_REWRITE_AUTHORITY, NAME("wb01.datacenter"), 0, TO("m.test")},
    {CMS_REWRITE_AUTHORITY, NAME("guest.dmz.example"), 0, TO("n.test")},
    {CMS_REWRITE_AUTHORITY, NAME("acano.legacy.local"), 0, TO("o.test")},
};

static cms_rewrite_mapping_t related[16];
static char related_names[16][32];

static const char *const words[] = {
    "<div class=\"panel row\">", "function(a,b){return a.length-b.length}",
    "<a href=\"/meeting/1234?secret=x\">", "color:#1d2b3c;", "\"display\":",
    "Join the meeting", "</span>\n", "const state=this.props.value;", "the ",
    "and ", "https://www.example.com/assets/app.js", "{\"id\":\"83af0c\",",
    "&nbsp;", "padding:0 4px;", "window.addEventListener('load',", " of ",
    "export default ", "webrtc.peerConnection.setLocalDescription(offer);",
    "<script src=\"/static/js/main.bundle.js\"></script>\n", "undefined",
    "margin-left:auto", "participants", "=>", "null,", "if(!e)throw Error(",
};

static unsigned char *text;

/* A page with so many times what, spread evenly. */
static unsigned char *
page(size_t n, const char *what)
{
    unsigned char *p = aligned_alloc(4096, SIZE + 4096);
    size_t at = 0, done = 0;
    unsigned seed = 7;

    while (at < SIZE) {
        const char *w = words[(seed = seed * 1103515245 + 12345) / 65536 %
                              (sizeof(words) / sizeof(*words))];
        size_t len;

        if (done < n && at >= done * (SIZE / n)) {
            w = what;
            done++;
        }
        len = strlen(w);
        memcpy(p + at, w, at + len < SIZE ? len : SIZE - at);
        at += len;
    }
    return p;
}

static double
now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

static volatile size_t sink;

static void
run_memchr(const cms_rewrite_set_t *set)
{
    (void)set;
    sink += memchr(text, 1, SIZE) != NULL;
}

static void
run_search(const cms_rewrite_set_t *set)
{
    cms_search_cursor_t cursor;
    unsigned which;

    cms_search_begin(&cursor, text);
    while (cms_search_next(&set->search, text, &cursor, text + SIZE,
                           &which)) {
        sink++;
    }
}

static void
run_rewrite(const cms_rewrite_set_t *set)
{
    const unsigned char *in = text, *p;
    cms_rewrite_t rw;
    size_t len;

    cms_rewrite_begin(&rw, set, NULL, 0);
    while (cms_rewrite_next(&rw, &in, text + SIZE, 1, &p, &len) !=
           CMS_REWRITE_MORE) {
        sink += len;
    }
}

/* In place, on a copy that is made each time. */
static void
run_move(const cms_rewrite_set_t *set)
{
    static unsigned char copy[SIZE];
    const unsigned char *in = copy, *p;
    unsigned char *to = copy;
    cms_rewrite_t rw;
    size_t len;

    memcpy(copy, text, SIZE);
    cms_rewrite_begin(&rw, set, NULL, 0);
    while (cms_rewrite_move(&rw, &in, copy + SIZE, 1, &to, 4096, &p, &len) !=
           CMS_REWRITE_MORE) {
        memmove(to, p, len);
        to += len;
    }
    sink += to - copy;
}

static void
run_copy(const cms_rewrite_set_t *set)
{
    static unsigned char copy[SIZE];

    (void)set;
    memcpy(copy, text, SIZE);
    sink += copy[sink & 1];
}

static void
measure(const char *what, size_t way, const unsigned char *on,
        void (*run)(const cms_rewrite_set_t *), cms_rewrite_set_t *set)
{
    double begun, best = 1e18;
    int i, k;

    if (set && !cms_search_use(&set->search, way)) {
        return;
    }
    text = (unsigned char *)on;
    for (k = 0; k < 3; k++) {
        begun = now_ns();
        for (i = 0; i < REPEAT; i++) {
            run(set);
        }
        begun = (now_ns() - begun) / REPEAT;
        best = begun < best ? begun : best;
    }
    printf("%s way%d %.0f\n", what, (int)way, best);
}

int
main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 9;
    static cms_rewrite_set_t one, four, sixteen, alike;
    unsigned char *none = page(0, ""), *ten, *thousand, *near, *suffix, *hosts;
    size_t k, way;

    ten = page(10, "\"https://cms1.octavio.test/x\"");
    thousand = page(1000, "\"https://cms1.octavio.test/x\"");
    near = page(1000, "\"https://cms1.octavio.tesu/x\"");
    suffix = page(1000, "\"https://web.octavio.test/x\"");
    hosts = page(6000, "\"https://xcms1.octavio.test/x\"");
    for (k = 0; k < 16; k++) {
        related[k] = unrelated[0];
        related[k].from_len = snprintf(related_names[k], 32,
                                       "cms%d.octavio.test", (int)k + 1);
        related[k].from = (unsigned char *)related_names[k];
    }
    cms_rewrite_compile(&one, unrelated, 1);
    cms_rewrite_compile(&four, unrelated, 4);
    cms_rewrite_compile(&sixteen, unrelated, 16);
    cms_rewrite_compile(&alike, related, 16);
    for (way = 0; way < cms_search_ways(); way++) {
        printf("# way%d %s\n", (int)way, cms_search_way_name(way));
    }
    for (; rounds; rounds--) {
        for (way = 0; way < cms_search_ways(); way++) {
            measure("memchr", way, none, run_memchr, NULL);
            measure("search-1", way, none, run_search, &one);
            measure("search-4", way, none, run_search, &four);
            measure("search-16", way, none, run_search, &sixteen);
            measure("search-16-alike", way, none, run_search, &alike);
            measure("rewrite-0", way, none, run_rewrite, &one);
            measure("rewrite-10", way, ten, run_rewrite, &one);
            measure("rewrite-1000", way, thousand, run_rewrite, &one);
            measure("copy", way, thousand, run_copy, NULL);
            measure("move-1000", way, thousand, run_move, &one);
            measure("move-10", way, ten, run_move, &one);
            measure("move-1000-of-16", way, thousand, run_move, &alike);
            measure("rewrite-1000-of-16", way, thousand, run_rewrite, &alike);
            measure("near-1000", way, near, run_rewrite, &one);
            measure("near-1000-of-16", way, near, run_rewrite, &alike);
            measure("suffix-1000", way, suffix, run_rewrite, &alike);
            measure("within-6000", way, hosts, run_rewrite, &one);
        }
    }
    return 0;
}
