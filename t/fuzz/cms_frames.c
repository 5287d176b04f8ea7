/* sources: ngx_cms_proxy_module/cms_frames.c */
/* sources: ngx_cms_proxy_module/cms_rewrite.c ngx_cms_proxy_module/cms_search.c */
/* sources: ngx_cms_proxy_module/cms_authority.c */

/*
 * A WebSocket's bytes in pieces of random sizes, which are overwritten once
 * they are taken, become what a slow reader of frames and a rewriter of whole
 * messages make of them: the messages rewritten, all else byte for byte, in
 * the order in which it came; and no frame is split or joined without need.
 */

#include "cms_frames.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME(s) (const unsigned char *)(s), sizeof(s) - 1
#define STREAM_MAX (1 << 20)

static const char *const tokens[] = {
    "web.in.l", "WEB.in.l", "web.in", ".l", "in.l", "@in.l", "b.in.l", "web.",
    "https://", ":443", ":44", "3", ":8443", "%2F", "\\u002f", "\\/", ".",
    "\"", " ", "x", "-", "\xc3\xbc", "%40", "\\",
};

typedef struct {
    unsigned char *bytes;
    size_t len, size;
} text_t;

static void
add(text_t *t, const void *p, size_t len)
{
    if (t->len + len > t->size) {
        t->size = 2 * (t->len + len);
        t->bytes = realloc(t->bytes, t->size);
    }
    if (len) {
        memcpy(t->bytes + t->len, p, len);
    }
    t->len += len;
}

/* ---- the slow reader ---- */

/*
 * What a stream says, one thing behind the other: 'T' a text message, 'C' one
 * that was cut off, 'R' bytes as they are; each with its length.
 */
static void
say(text_t *said, char what, const unsigned char *p, size_t len)
{
    if (what == 'C' && len == 0) {
        return;
    }
    add(said, &what, 1);
    add(said, &len, sizeof(len));
    add(said, p, len);
}

static void
say_text(text_t *said, const cms_rewrite_set_t *set, char what, text_t *t)
{
    size_t len, n;
    unsigned char *out;

    add(t, "", 1); /* never NULL */
    t->len--;
    if (!set) {
        say(said, what, t->bytes, t->len);
    } else {
        len = cms_rewrite(set, NULL, 0, t->bytes, t->len, NULL, &n);
        out = malloc(len + 1);
        cms_rewrite(set, NULL, 0, t->bytes, t->len, out, &n);
        say(said, what, out, len);
        free(out);
    }
    t->len = 0;
}

/*
 * set NULL: as it is. Returns how many frames of text there are; with set, how
 * many there may be: one more where a message is cut off.
 */
static size_t
listen_to(const text_t *s, const cms_rewrite_set_t *set, text_t *said)
{
    const unsigned char *p = s->bytes, *end = s->len ? p + s->len : p, *start;
    text_t t = {0};
    int in_text = 0;
    size_t frames = 0, cuts = 0, i, ext;

    while (p < end) {
        unsigned char key[4] = {0};
        uint64_t length, whole;
        int opcode = p[0] & 15, mine;
        size_t head;

        start = p;
        ext = end - p < 2 ? 0 : (p[1] & 127) == 126 ? 2
              : (p[1] & 127) == 127 ? 8 : 0;
        head = end - p < 2 ? 2 : 2 + ext + (p[1] & 128 ? 4 : 0);
        if ((size_t)(end - p) < head) {
            say_text(said, set, 'C', &t);
            say(said, 'R', p, end - p);
            goto out;
        }
        for (length = ext ? 0 : p[1] & 127, i = 0; i < ext; i++) {
            length = length << 8 | p[2 + i];
        }
        if (p[1] & 128) {
            memcpy(key, p + head - 4, 4);
        }
        mine = !(p[0] & 0x70) && (opcode == 1 || (opcode == 0 && in_text));
        if (in_text && (opcode == 1 || opcode == 2 ||
                        (opcode == 0 && (p[0] & 0x70)) || length >> 63)) {
            say_text(said, set, 'C', &t);
            cuts++;
        }
        if (length >> 63) {
            say(said, 'R', p, end - p);
            goto out;
        }
        if (opcode <= 2) {
            in_text = mine && !(p[0] & 128);
        }
        p += head;
        whole = length;
        length = length < (uint64_t)(end - p) ? length : (uint64_t)(end - p);
        if (!mine) {
            say(said, 'R', start, head + length);
            if (length < whole) {
                goto out; /* and nothing of a text goes in here */
            }
            p += length;
            continue;
        }
        frames++;
        for (i = 0; i < length; i++, p++) {
            unsigned char c = *p ^ key[i & 3];

            add(&t, &c, 1);
        }
        if ((start[0] & 128) && length == whole) {
            say_text(said, set, 'T', &t);
        }
    }
    say_text(said, set, 'C', &t);
out:
    free(t.bytes);
    return set ? frames + cuts : frames;
}

/* ---- a stream ---- */

static void
add_payload(text_t *t, const uint8_t **data, const uint8_t *end, size_t n)
{
    const char *token;

    while (n-- && *data < end) {
        uint8_t c = *(*data)++;

        if (c < 0x80) {
            add(t, &c, 1);
        } else {
            token = tokens[c % (sizeof(tokens) / sizeof(*tokens))];
            add(t, token, strlen(token));
        }
    }
}

static void
add_frame(text_t *s, const uint8_t **data, const uint8_t *end)
{
    static const unsigned char firsts[] = {
        0x81, 0x01, 0x00, 0x80, 0x82, 0x02, 0x89, 0x8a, 0x88, 0x83, 0x09,
        0xc1, 0x41, 0x40, 0xc0, 0x8b, 0x01, 0x00, 0x80, 0x00,
    };
    static const size_t times[] = {1, 1, 1, 1, 1, 20, 300, 0};
    text_t t = {0}, many = {0};
    unsigned char head[14];
    unsigned what;
    size_t i, n, h = 2;

    if (end - *data < 2) {
        return;
    }
    head[0] = firsts[(*data)[0] % sizeof(firsts)];
    what = (*data)[1];
    *data += 2;
    add_payload(&t, data, end, what >> 4);
    n = times[what & 7];
    n = what >> 4 == 15 ? 100 * n : n; /* seldom, since it takes its time */
    for (i = 0; i < n && many.len < 100000; i++) {
        add(&many, t.bytes, t.len);
    }
    n = many.len;
    if (n < 126) {
        head[1] = n;
    } else if (n < 65536) {
        head[1] = 126;
        head[h++] = n >> 8;
        head[h++] = n & 255;
    } else {
        head[1] = 127;
        for (i = 0; i < 8; i++) {
            head[h++] = i < 4 ? 0 : n >> (8 * (7 - i)) & 255;
        }
    }
    if (what & 8) {
        static const unsigned char key[4] = {0x12, 0, 0xff, 0x61};

        head[1] |= 128;
        memcpy(head + h, key, 4);
        h += 4;
        for (i = 0; i < n; i++) {
            many.bytes[i] ^= key[i & 3];
        }
    }
    add(s, head, h);
    add(s, many.bytes, n);
    free(t.bytes);
    free(many.bytes);
}

static uint32_t seed;

static uint32_t
some(uint32_t n)
{
    seed = seed * 1103515245 + 12345;
    return (seed >> 8) % n;
}

static void
run(const cms_rewrite_set_t *set, const text_t *s, text_t *out, unsigned most,
    int *notes)
{
    static cms_frames_work_t work;
    cms_frames_t f;
    cms_frames_piece_t piece;
    const unsigned char *in, *p;
    size_t at = 0, n, len;

    cms_frames_begin(&f, set, NULL, 0);
    do {
        unsigned char *buffer;

        n = 1 + some(most);
        n = n < s->len - at ? n : s->len - at;
        buffer = malloc(n + 1);
        in = buffer + 1;
        if (n) {
            memcpy(buffer + 1, s->bytes + at, n);
        }
        at += n;
        while ((piece = cms_frames_next(&f, &work, &in, buffer + 1 + n,
                                        at == s->len, &p, &len)) !=
               CMS_FRAMES_MORE) {
            if (piece == CMS_FRAMES_ERROR || len == 0) {
                abort();
            }
            add(out, p, len);
            memset(buffer, '@', in - buffer);
        }
        if (in != buffer + 1 + n) {
            abort();
        }
        free(buffer);
    } while (at < s->len);
    *notes = f.notes;
    cms_frames_end(&f);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned mosts[] = {1, 7, 300, 4096, 100000};
    static const cms_rewrite_mapping_t mappings[] = {
        {CMS_REWRITE_DOMAIN, NAME("in.l"), 0,
         {NAME("octavio.test"), NAME("octavio.test")}},
        {CMS_REWRITE_AUTHORITY, NAME("web.in.l"), 0,
         {NAME("a-guest-uri.octavio.test:7443"),
          NAME("a-guest-uri.octavio.test%3A7443")}},
        {CMS_REWRITE_AUTHORITY, NAME("b.in.l"), 8443,
         {NAME("b"), NAME("b")}},
    };
    static cms_rewrite_set_t set;
    text_t s = {0}, out = {0}, want = {0}, got = {0};
    const uint8_t *end = data + size;
    size_t frames_in, frames_out;
    unsigned how;
    int notes;

    if (size < 3) {
        return 0;
    }
    if (!set.count) {
        cms_rewrite_compile(&set, mappings, 3);
    }
    how = data[0];
    seed = data[1];
    data += 2;
    while (data < end && s.len < STREAM_MAX) {
        if (how & 0x80 && some(4) == 0) {
            add_payload(&s, &data, end, 3); /* bytes that are no frame */
        }
        add_frame(&s, &data, end);
        if (data + 1 == end) {
            break;
        }
    }
    if (how & 0x40 && s.len) {
        s.len -= some(s.len < 100 ? s.len : 100);
    }
    if (s.len) {
        run(&set, &s, &out, mosts[(how & 0x3f) % 5], &notes);
        frames_in = listen_to(&s, &set, &want);
        frames_out = listen_to(&out, NULL, &got);
        if (want.len != got.len ||
            (want.len && memcmp(want.bytes, got.bytes, want.len))) {
            abort();
        }
        if (!(notes & CMS_FRAMES_SPLIT) && !(how & 0xc0) &&
            frames_in + 1 < frames_out) {
            abort();
        }
    }
    free(s.bytes);
    free(out.bytes);
    free(want.bytes);
    free(got.bytes);
    return 0;
}
