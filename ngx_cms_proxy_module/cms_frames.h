/*
 * One direction of a WebSocket: takes its bytes as they come, in any pieces,
 * and gives them back with the text messages rewritten. Pure but for malloc:
 * it reads and writes no connection. Used for both sides of a WebSocket that
 * goes through a web bridge with "rewrite_websocket on".
 *
 * Frames are those of RFC 6455 section 5.2. A text frame of at most
 * CMS_FRAMES_LIMIT bytes is rewritten whole and stays one frame. A larger one
 * goes on as fragments, and so does what grows over the limit (section 5.4
 * lets an intermediary do so where it knows all extensions, here: none). A
 * name that spans fragments of one message is found: its beginning is held
 * back until the next fragment, which control frames may precede. Masked
 * frames keep their key.
 *
 * All else passes byte for byte: binary messages, control frames, messages
 * and frames with a reserved bit (compressed ones), reserved opcodes,
 * continuations of nothing. A frame that may not stand inside a text message
 * (another text or binary one) passes behind what was held back of it, and
 * begins anew. After a length over 2^63 nothing has frames any more, and all
 * that follows passes.
 */

#ifndef CMS_FRAMES_H
#define CMS_FRAMES_H

#include "cms_rewrite.h"

#include <stddef.h>
#include <stdint.h>

/* Bytes of payload that are held, and that a frame made here has, at most. */
#define CMS_FRAMES_LIMIT 32768

#define CMS_FRAMES_HEADER_MAX 14 /* section 5.2: 2 + 8 + 4 */

/* What is worth a line in a log; set once, never cleared. */
#define CMS_FRAMES_SPLIT    1 /* a frame was or grew larger than the limit */
#define CMS_FRAMES_RESERVED 2 /* text with a reserved bit, not rewritten */
#define CMS_FRAMES_BROKEN   4 /* an impossible length */

typedef struct cms_frames_text cms_frames_text_t;

typedef struct {
    const cms_rewrite_set_t *set;
    const cms_rewrite_to_t *to;
    cms_frames_text_t *text; /* of a message that is not out yet, or NULL */
    uint64_t length;         /* of this frame's payload */
    uint64_t left;           /* what has not come of it */
    unsigned short also_port;
    unsigned char state;
    unsigned char message; /* the one that frames may continue */
    unsigned char notes;   /* CMS_FRAMES_SPLIT ... */
    unsigned char header_len;
    unsigned char header[CMS_FRAMES_HEADER_MAX];
} cms_frames_t;

/* For use within a call only: one for a whole process will do. */
typedef struct {
    cms_rewrite_t rw;
    unsigned char plain[CMS_FRAMES_LIMIT];
} cms_frames_work_t;

typedef enum {
    CMS_FRAMES_MORE,  /* all input is taken and nothing is to be given */
    CMS_FRAMES_KEEP,  /* bytes of the input, as they came */
    CMS_FRAMES_PUT,   /* bytes of f, valid until the next call */
    CMS_FRAMES_ERROR, /* no memory */
} cms_frames_piece_t;

/* Of what cms_rewrite_begin takes; set and to must outlive f. */
void cms_frames_begin(cms_frames_t *f, const cms_rewrite_set_t *set,
                      const cms_rewrite_to_t *to, unsigned also_port);

/*
 * The next piece of output. *in moves behind what was taken; call it until it
 * says MORE. last: no input follows *in..end; a message that is cut off then
 * is given as far as it came.
 */
cms_frames_piece_t cms_frames_next(cms_frames_t *f, cms_frames_work_t *work,
                                   const unsigned char **in,
                                   const unsigned char *end, int last,
                                   const unsigned char **p, size_t *len);

/* Frees what is held. */
void cms_frames_end(cms_frames_t *f);

#endif
