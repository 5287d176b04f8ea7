#include "cms_frames.h"

#include <stdlib.h>
#include <string.h>

/* Section 5.2: the first two bytes of a frame. */
#define FIN      0x80
#define RESERVED 0x70
#define OPCODE   0x0f
#define MASKED   0x80
#define LENGTH   0x7f

enum { CONTINUATION = 0, TEXT = 1, BINARY = 2 };

enum {
    AT_HEADER,  /* of the next frame */
    AT_FRAME,   /* its header is there, and not given */
    AT_PAYLOAD, /* of a frame that passes */
    AT_TEXT,    /* payload to be rewritten comes */
    AT_CHUNK,   /* and is there */
    AT_NO_MORE, /* frames: all that comes passes */
    AT_END,
};

enum { NO_MESSAGE, TEXT_MESSAGE, OTHER_MESSAGE };

#define GO_ON ((cms_frames_piece_t)-1) /* look at the new state */

/* Payload behind room for a header. */
typedef struct {
    unsigned char *start;
    size_t len, size;
} payload_t;

struct cms_frames_text {
    cms_rewrite_t rw;
    payload_t chunk; /* came, unmasked */
    payload_t out;
    const unsigned char *in;    /* what rw has not taken of the chunk */
    const unsigned char *piece; /* what rw gave and is not in out */
    size_t piece_len;
    unsigned char key[4];
    unsigned char masked;
    unsigned char opcode; /* of the next frame given */
    unsigned char fin;    /* of the last frame of the chunk */
    unsigned char last;   /* nothing of the message follows the chunk */
    unsigned char given;  /* the chunk is out */
    unsigned char then;   /* the state after it, where it is cut off */
};

static int
reserve(payload_t *b, size_t size)
{
    unsigned char *start;
    size_t twice = b->size ? 2 * b->size : 512;

    if (size <= b->size) {
        return 1;
    }
    size = size < twice ? twice : size;
    size = size > CMS_FRAMES_LIMIT ? CMS_FRAMES_LIMIT : size;
    start = realloc(b->start, CMS_FRAMES_HEADER_MAX + size);
    if (!start) {
        return 0;
    }
    b->start = start;
    b->size = size;
    return 1;
}

static void
release(payload_t *b)
{
    free(b->start);
    memset(b, 0, sizeof(*b));
}

static unsigned char *
bytes(const payload_t *b)
{
    return b->start + CMS_FRAMES_HEADER_MAX;
}

static int
has_text(cms_frames_t *f)
{
    if (!f->text) {
        f->text = calloc(1, sizeof(*f->text));
        if (f->text) {
            cms_rewrite_begin(&f->text->rw, f->set, f->to, f->also_port);
        }
    }
    return f->text != NULL;
}

static void
drop_text(cms_frames_t *f)
{
    if (f->text) {
        release(&f->text->chunk);
        release(&f->text->out);
        free(f->text);
        f->text = NULL;
    }
}

void
cms_frames_begin(cms_frames_t *f, const cms_rewrite_set_t *set,
                 const cms_rewrite_to_t *to, unsigned also_port)
{
    memset(f, 0, sizeof(*f));
    f->set = set;
    f->to = to;
    f->also_port = also_port;
}

void
cms_frames_end(cms_frames_t *f)
{
    drop_text(f);
}

/* ---- headers ---- */

static size_t
header_size(const unsigned char *header)
{
    size_t length = header[1] & LENGTH;

    return 2 + (length == 126 ? 2 : length == 127 ? 8 : 0) +
           (header[1] & MASKED ? 4 : 0);
}

static const unsigned char *
key_of(const cms_frames_t *f)
{
    return f->header[1] & MASKED ? f->header + f->header_len - 4 : NULL;
}

static uint64_t
length_of(const unsigned char *header)
{
    uint64_t length = header[1] & LENGTH;
    size_t i, n = length == 126 ? 2 : length == 127 ? 8 : 0;

    if (n) {
        for (length = 0, i = 0; i < n; i++) {
            length = length << 8 | header[2 + i];
        }
    }
    return length;
}

/* 1 when the header is whole. */
static int
take_header(cms_frames_t *f, const unsigned char **in,
            const unsigned char *end)
{
    size_t n, size;

    for (;;) {
        size = f->header_len < 2 ? 2 : header_size(f->header);
        if (f->header_len == size) {
            return 1;
        }
        n = size - f->header_len;
        n = (size_t)(end - *in) < n ? (size_t)(end - *in) : n;
        if (n == 0) {
            return 0;
        }
        memcpy(f->header + f->header_len, *in, n);
        f->header_len += n;
        *in += n;
    }
}

/* Section 5.3. at: how far into the payload src is. */
static void
mask(unsigned char *dst, const unsigned char *src, size_t len,
     const unsigned char *key, size_t at)
{
    unsigned char k[8];
    uint64_t word, key_word;
    size_t i;

    for (i = 0; i < 8; i++) {
        k[i] = key[(at + i) & 3];
    }
    memcpy(&key_word, k, 8);
    for (i = 0; i + 8 <= len; i += 8) {
        memcpy(&word, src + i, 8);
        word ^= key_word;
        memcpy(dst + i, &word, 8);
    }
    for (; i < len; i++) {
        dst[i] = src[i] ^ k[i & 7];
    }
}

/* Makes a frame of a payload, masked as the one before it. */
static void
give_frame(cms_frames_t *f, payload_t *b, int fin, const unsigned char **p,
           size_t *len)
{
    cms_frames_text_t *t = f->text;
    unsigned char *h = bytes(b);

    if (t->masked) {
        mask(bytes(b), bytes(b), b->len, t->key, 0);
        h -= 4;
        memcpy(h, t->key, 4);
    }
    if (b->len > 125) {
        *--h = b->len & 0xff;
        *--h = b->len >> 8;
    }
    *--h = (t->masked ? MASKED : 0) | (b->len > 125 ? 126 : b->len);
    *--h = (fin ? FIN : 0) | t->opcode;
    t->opcode = CONTINUATION;
    *p = h;
    *len = bytes(b) + b->len - h;
}

/* ---- a chunk of text ---- */

static int
append(payload_t *b, const unsigned char *p, size_t len)
{
    if (!reserve(b, b->len + len)) {
        return 0;
    }
    memcpy(bytes(b) + b->len, p, len);
    b->len += len;
    return 1;
}

static cms_rewrite_piece_t
rewrite_next(cms_frames_text_t *t)
{
    return cms_rewrite_next(&t->rw, &t->in, bytes(&t->chunk) + t->chunk.len,
                            t->last, &t->piece, &t->piece_len);
}

static void
begin_chunk(cms_frames_t *f, int last, int fin)
{
    f->text->in = bytes(&f->text->chunk);
    f->text->piece_len = 0;
    f->text->last = last;
    f->text->fin = fin;
    f->text->given = 0;
    f->text->out.len = 0;
    f->state = AT_CHUNK;
}

/* What was held back of a message goes before what cuts it off. */
static int
cut_off(cms_frames_t *f, int then)
{
    if (!f->text || !(cms_rewrite_held(&f->text->rw) ||
                      f->text->chunk.len)) {
        drop_text(f);
        f->state = then;
        return 1;
    }
    if (!reserve(&f->text->chunk, 1)) {
        return 0;
    }
    f->text->then = then;
    f->left = 0;
    begin_chunk(f, 1, 0);
    return 1;
}

static cms_frames_piece_t
end_chunk(cms_frames_t *f)
{
    int fin = f->text->fin;

    f->text->chunk.len = 0;
    if (f->text->then) {
        f->state = f->text->then;
        drop_text(f);
        return GO_ON;
    }
    if (f->left) {
        f->state = AT_TEXT;
        return GO_ON;
    }
    release(&f->text->chunk);
    release(&f->text->out);
    if (fin) {
        drop_text(f);
    }
    f->state = AT_HEADER;
    f->header_len = 0;
    return GO_ON;
}

/* Fills out: 1 when the chunk is at its end, 0 when out is full, or -1. */
static int
fill(cms_frames_text_t *t)
{
    size_t n;

    for (;;) {
        if (t->piece_len == 0 && rewrite_next(t) == CMS_REWRITE_MORE) {
            t->piece_len = 0;
            return 1;
        }
        n = CMS_FRAMES_LIMIT - t->out.len;
        if (n == 0 && t->piece_len) {
            return 0;
        }
        n = n < t->piece_len ? n : t->piece_len;
        if (!append(&t->out, t->piece, n)) {
            return -1;
        }
        t->piece += n;
        t->piece_len -= n;
    }
}

static cms_frames_piece_t
give_chunk(cms_frames_t *f, const unsigned char **p, size_t *len)
{
    cms_frames_text_t *t = f->text;

    if (t->given) {
        return end_chunk(f);
    }
    t->out.len = 0;
    if (!reserve(&t->out, 1)) {
        return CMS_FRAMES_ERROR;
    }
    switch (fill(t)) {
    case -1:
        return CMS_FRAMES_ERROR;
    case 0:
        f->notes |= CMS_FRAMES_SPLIT;
        give_frame(f, &t->out, 0, p, len);
        return CMS_FRAMES_PUT;
    }
    t->given = 1;
    give_frame(f, &t->out, t->fin && f->left == 0, p, len);
    return CMS_FRAMES_PUT;
}

/* ---- frames ---- */

/* Whether this frame's text is to be rewritten; *cuts: it breaks one off. */
static int
is_text(cms_frames_t *f, int *cuts)
{
    int opcode = f->header[0] & OPCODE;
    int reserved = f->header[0] & RESERVED, text;

    *cuts = 0;
    if (opcode > BINARY) {
        return 0;
    }
    text = opcode == TEXT ||
           (opcode == CONTINUATION && f->message == TEXT_MESSAGE);
    if (text && reserved) {
        f->notes |= CMS_FRAMES_RESERVED;
    }
    *cuts = f->message == TEXT_MESSAGE && (opcode != CONTINUATION || reserved);
    return text && !reserved;
}

static void
new_message(cms_frames_t *f, int text)
{
    if ((f->header[0] & OPCODE) <= BINARY) {
        f->message = f->header[0] & FIN ? NO_MESSAGE
                     : text             ? TEXT_MESSAGE
                                        : OTHER_MESSAGE;
    }
}

/*
 * 1 if the text of a frame that is whole in the input stays as it is. If not,
 * the rewriter is as before.
 */
static int
stays(cms_frames_t *f, cms_frames_work_t *work, const unsigned char *in)
{
    cms_rewrite_t *rw = &work->rw, before;
    const unsigned char *key = key_of(f), *end, *p;
    size_t len;
    int fin = f->header[0] & FIN;

    if (f->text) {
        rw = &f->text->rw;
        if (cms_rewrite_held(rw)) {
            return 0;
        }
        before = *rw;
    } else {
        cms_rewrite_begin(rw, f->set, f->to, f->also_port);
    }
    if (key) {
        mask(work->plain, in, f->length, key, 0);
        in = work->plain;
    }
    end = in + f->length;
    if (f->length == 0 ||
        (cms_rewrite_next(rw, &in, end, fin, &p, &len) == CMS_REWRITE_KEEP &&
         len == f->length &&
         cms_rewrite_next(rw, &in, end, fin, &p, &len) == CMS_REWRITE_MORE)) {
        return 1;
    }
    if (f->text) {
        *rw = before;
    }
    return 0;
}

static cms_frames_piece_t
keep(const unsigned char *start, const unsigned char *in,
     const unsigned char **p, size_t *len)
{
    *p = start;
    *len = in - start;
    return CMS_FRAMES_KEEP;
}

/* As much as there is of a payload that passes, behind start. */
static cms_frames_piece_t
pass(cms_frames_t *f, const unsigned char *start, const unsigned char **in,
     const unsigned char *end, const unsigned char **p, size_t *len)
{
    size_t n = end - *in;

    n = n < f->left ? n : f->left;
    f->left -= n;
    *in += n;
    f->state = f->left ? AT_PAYLOAD : AT_HEADER;
    if (f->left == 0) {
        f->header_len = 0;
    }
    return *in == start ? CMS_FRAMES_MORE : keep(start, *in, p, len);
}

/* Of a frame whose text is to be rewritten; start: see begin_frame. */
static cms_frames_piece_t
begin_text(cms_frames_t *f, cms_frames_work_t *work,
           const unsigned char *start, const unsigned char **in,
           const unsigned char *end, const unsigned char **p, size_t *len)
{
    int fin = f->header[0] & FIN;
    int whole = start && f->length <= CMS_FRAMES_LIMIT &&
                f->length <= (size_t)(end - *in);

    if (whole && (f->text || fin) && stays(f, work, *in)) {
        if (fin) {
            drop_text(f);
        }
        return pass(f, start, in, end, p, len);
    }
    if (!has_text(f)) {
        return CMS_FRAMES_ERROR;
    }
    f->text->masked = key_of(f) != NULL;
    if (f->text->masked) {
        memcpy(f->text->key, key_of(f), 4);
    }
    f->text->opcode = f->header[0] & OPCODE;
    f->state = AT_TEXT;
    return GO_ON;
}

/* start: of the header in the input, or NULL: it is in f->header only. */
static cms_frames_piece_t
begin_frame(cms_frames_t *f, cms_frames_work_t *work,
            const unsigned char *start, const unsigned char **in,
            const unsigned char *end, const unsigned char **p, size_t *len)
{
    int cuts, text = is_text(f, &cuts);

    new_message(f, text);
    f->left = f->length;
    if (f->length >> 63) {
        f->notes |= CMS_FRAMES_BROKEN;
        f->state = AT_NO_MORE;
    } else if (text) {
        return begin_text(f, work, start, in, end, p, len);
    } else {
        if (start) {
            return pass(f, start, in, end, p, len);
        }
        f->state = f->left ? AT_PAYLOAD : AT_HEADER;
    }
    *p = f->header;
    *len = f->header_len;
    if (f->state == AT_HEADER) {
        f->header_len = 0;
    }
    return CMS_FRAMES_PUT;
}

static cms_frames_piece_t
at_header(cms_frames_t *f, cms_frames_work_t *work, const unsigned char **in,
          const unsigned char *end, int last, const unsigned char **p,
          size_t *len)
{
    const unsigned char *start = f->header_len ? NULL : *in;
    int cuts;

    if (!take_header(f, in, end)) {
        if (!last) {
            return CMS_FRAMES_MORE;
        }
        return cut_off(f, AT_END) ? GO_ON : CMS_FRAMES_ERROR;
    }
    f->length = length_of(f->header);
    is_text(f, &cuts);
    if (cuts || (f->length >> 63 && f->text)) {
        return cut_off(f, AT_FRAME) ? GO_ON : CMS_FRAMES_ERROR;
    }
    return begin_frame(f, work, start, in, end, p, len);
}

static cms_frames_piece_t
at_text(cms_frames_t *f, const unsigned char **in, const unsigned char *end,
        int last)
{
    payload_t *chunk = &f->text->chunk;
    const unsigned char *key = key_of(f);
    size_t n = end - *in, room = CMS_FRAMES_LIMIT - chunk->len;

    n = n < f->left ? n : f->left;
    n = n < room ? n : room;
    if (!reserve(chunk, chunk->len + (n ? n : 1))) {
        return CMS_FRAMES_ERROR;
    }
    if (key) {
        mask(bytes(chunk) + chunk->len, *in, n, key, f->length - f->left);
    } else if (n) { /* else there may be no *in */
        memcpy(bytes(chunk) + chunk->len, *in, n);
    }
    chunk->len += n;
    *in += n;
    f->left -= n;
    if (f->left == 0 || chunk->len == CMS_FRAMES_LIMIT) {
        if (f->left) {
            f->notes |= CMS_FRAMES_SPLIT;
        }
        begin_chunk(f, f->left == 0 && f->header[0] & FIN,
                    f->header[0] & FIN);
        return GO_ON;
    }
    if (!last) {
        return CMS_FRAMES_MORE;
    }
    f->header_len = 0;
    return cut_off(f, AT_END) ? GO_ON : CMS_FRAMES_ERROR;
}

static cms_frames_piece_t
pass_all(const unsigned char **in, const unsigned char *end,
         const unsigned char **p, size_t *len)
{
    const unsigned char *start = *in;

    *in = end;
    return start == end ? CMS_FRAMES_MORE : keep(start, end, p, len);
}

/* A header that is not whole goes as far as it came. */
static cms_frames_piece_t
at_end(cms_frames_t *f, const unsigned char **p, size_t *len)
{
    *p = f->header;
    *len = f->header_len;
    f->header_len = 0;
    return *len ? CMS_FRAMES_PUT : CMS_FRAMES_MORE;
}

cms_frames_piece_t
cms_frames_next(cms_frames_t *f, cms_frames_work_t *work,
                const unsigned char **in, const unsigned char *end, int last,
                const unsigned char **p, size_t *len)
{
    cms_frames_piece_t piece;

    do {
        switch (f->state) {
        case AT_HEADER:
            piece = at_header(f, work, in, end, last, p, len);
            break;
        case AT_FRAME:
            piece = begin_frame(f, work, NULL, in, end, p, len);
            break;
        case AT_PAYLOAD:
            piece = pass(f, *in, in, end, p, len);
            break;
        case AT_TEXT:
            piece = at_text(f, in, end, last);
            break;
        case AT_CHUNK:
            piece = give_chunk(f, p, len);
            break;
        case AT_NO_MORE:
            piece = pass_all(in, end, p, len);
            break;
        default:
            piece = at_end(f, p, len);
        }
    } while (piece == GO_ON);
    return piece;
}
