/* sources: ngx_cms_proxy_module/cms_frames.c */
/* sources: ngx_cms_proxy_module/cms_rewrite.c ngx_cms_proxy_module/cms_search.c */
/* sources: ngx_cms_proxy_module/cms_authority.c */

/* What becomes of the frames of a WebSocket, byte for byte. */

#include "cms_frames.h"
#include "tap.h"

#include <stdlib.h>

#define NAME(s) (const unsigned char *)(s), sizeof(s) - 1
#define B(s)    s, sizeof(s) - 1

static cms_frames_work_t work;
static cms_rewrite_set_t set;
static unsigned char out[400000];
static size_t out_len, puts_seen;

static void
run(cms_frames_t *f, const void *bytes, size_t len, size_t step, int last)
{
    const unsigned char *in = bytes, *end = in + len, *stop, *p;
    cms_frames_piece_t piece;
    size_t n;

    do {
        stop = (size_t)(end - in) < step ? end : in + step;
        while ((piece = cms_frames_next(f, &work, &in, stop,
                                        last && stop == end, &p, &n)) !=
               CMS_FRAMES_MORE) {
            memcpy(out + out_len, p, n);
            out_len += n;
            puts_seen += piece == CMS_FRAMES_PUT;
        }
    } while (in < end);
}

static void
begin(cms_frames_t *f)
{
    cms_frames_begin(f, &set, NULL, 0);
    out_len = puts_seen = 0;
}

typedef struct {
    const char *title;
    const char *in;
    size_t in_len;
    const char *out;
    size_t out_len;
} frames_case_t;

/* web.in.l becomes cmsweb.out.l */
static const frames_case_t cases[] = {
    {"a text becomes longer", B("\x81\x0aweb.in.l/a"),
     B("\x81\x0e" "cmsweb.out.l/a")},
    {"other text stays", B("\x81\x03" "abc"), B("\x81\x03" "abc")},
    {"an empty text stays", B("\x81\x00"), B("\x81\x00")},
    {"a masked one keeps its key", B("\x81\x88\0\0\0\0web.in.l"),
     B("\x81\x8c\0\0\0\0cmsweb.out.l")},
    {"the key goes round", B("\x81\x88 a AW\x04\x42oI\x0f\x0e-"),
     B("\x81\x8c a AC\x0cS6\x45\x03\x0e.U\x15\x0e-")},
    {"binary stays", B("\x82\x08web.in.l"), B("\x82\x08web.in.l")},
    {"a ping stays", B("\x89\x08web.in.l"), B("\x89\x08web.in.l")},
    {"a name over two fragments", B("\x01\x04web.\x80\x04in.l"),
     B("\x01\x00\x80\x0c" "cmsweb.out.l")},
    {"a ping between them goes first",
     B("\x01\x04web.\x89\x01p\x80\x04in.l"),
     B("\x01\x00\x89\x01p\x80\x0c" "cmsweb.out.l")},
    {"an empty last fragment brings the rest", B("\x01\x04web.\x80\x00"),
     B("\x01\x00\x80\x04web.")},
    {"a binary fragmented message stays", B("\x02\x04web.\x80\x04in.l"),
     B("\x02\x04web.\x80\x04in.l")},
    {"a compressed one too", B("\x41\x04web.\x80\x04in.l"),
     B("\x41\x04web.\x80\x04in.l")},
    {"after it comes text", B("\xc1\x00\x81\x08web.in.l"),
     B("\xc1\x00\x81\x0c" "cmsweb.out.l")},
    {"a continuation of nothing stays", B("\x80\x08web.in.l"),
     B("\x80\x08web.in.l")},
    {"what cuts a message off finds all of it before it",
     B("\x01\x04web.\x82\x01x"), B("\x01\x00\x00\x04web.\x82\x01x")},
    {"so does a text, which is rewritten",
     B("\x01\x04web.\x81\x08web.in.l"),
     B("\x01\x00\x00\x04web.\x81\x0c" "cmsweb.out.l")},
    {"behind an impossible length all stays",
     B("\x81\x7f\xff\0\0\0\0\0\0\0\x81\x08web.in.l"),
     B("\x81\x7f\xff\0\0\0\0\0\0\0\x81\x08web.in.l")},
    {"the end in a text brings what came of it", B("\x81\x50web.in.l"),
     B("\x01\x0c" "cmsweb.out.l")},
    {"the end in a header", B("\x82\x01x\x81"), B("\x82\x01x\x81")},
};

static void
test_case(const frames_case_t *c)
{
    static const size_t steps[] = {1, 2, 3, 1000};
    cms_frames_t f;
    size_t i;
    int good = 1;

    for (i = 0; i < 4; i++) {
        begin(&f);
        run(&f, c->in, c->in_len, steps[i], 1);
        cms_frames_end(&f);
        good = good && out_len == c->out_len &&
               memcmp(out, c->out, out_len) == 0;
    }
    ok(good, "%s, in pieces of any size", c->title);
}

/* A text frame with 16 bits of length; its payload repeats s. */
static size_t
long_frame(unsigned char *frame, const char *s, size_t payload)
{
    size_t i, n = strlen(s);

    memcpy(frame, "\x81\x7e", 2);
    frame[2] = payload >> 8;
    frame[3] = payload & 255;
    for (i = 0; i < payload; i++) {
        frame[4 + i] = s[i % n];
    }
    return 4 + payload;
}

static void
test_limit(void)
{
    static unsigned char in[70000];
    cms_frames_t f;
    size_t n;

    n = long_frame(in, "abc ", CMS_FRAMES_LIMIT);
    begin(&f);
    run(&f, in, n, 4096, 0);
    ok(out_len == n && memcmp(in, out, n) == 0,
       "a text as long as the limit stays one frame");
    is_int(f.notes, 0, "and nothing is to be said of it");

    n = long_frame(in, "abc ", CMS_FRAMES_LIMIT + 1);
    begin(&f);
    run(&f, in, n, 4096, 0);
    ok(out[0] == 0x01 && out[4 + CMS_FRAMES_LIMIT] == 0x80 &&
       out[4 + CMS_FRAMES_LIMIT + 1] == 1,
       "one byte more: it goes on as two fragments");
    is_int(f.notes, CMS_FRAMES_SPLIT, "which is noted");

    n = long_frame(in, "web.in.l ", 9 * 3600);
    begin(&f);
    run(&f, in, n, 100, 0);
    is_int(out_len, 4 + CMS_FRAMES_LIMIT + 4 + 13 * 3600 - CMS_FRAMES_LIMIT,
           "one that grows over it too");
    ok(f.text == NULL, "and nothing is held behind it");
}

static void
test_memory(void)
{
    cms_frames_t f;

    ok(2 * sizeof(f) < 600, "two quiet directions take less than 600 bytes");
    begin(&f);
    run(&f, B("\x81\x03" "abc\x82\x01x\x81\x00"), 1000, 0);
    ok(puts_seen == 0 && f.text == NULL,
       "what is not changed is neither copied nor held");
    begin(&f);
    run(&f, B("\x81\x08web."), 3, 0);
    ok(f.text != NULL, "half a text is held");
    cms_frames_end(&f);
    ok(f.text == NULL, "and can be forgotten");
    begin(&f);
    run(&f, B("\x81\x08web."), 3, 0);
    run(&f, NULL, 0, 1, 1);
    ok(out_len == 6 && memcmp(out + 2, "web.", 4) == 0,
       "or comes out when nothing more comes");
    cms_frames_end(&f);
}

int
main(void)
{
    static const cms_rewrite_mapping_t mapping = {
        CMS_REWRITE_AUTHORITY, NAME("web.in.l"), 0,
        {NAME("cmsweb.out.l"), NAME("cmsweb.out.l")}};
    size_t i;

    cms_rewrite_compile(&set, &mapping, 1);
    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        test_case(&cases[i]);
    }
    test_limit();
    test_memory();
    return done_testing();
}
