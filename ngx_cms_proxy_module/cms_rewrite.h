/*
 * Finds host names in a text that comes in pieces and puts others in their
 * place, in every spelling: https://h, //h, wss://h, https:\/\/h,
 * https%3A%2F%2Fh, \u002f\u002fh, bare h, with the port or without, in any
 * letter case; and user@inside becomes user@outside. Pure: it says which
 * bytes to keep and what to put between them, and writes nothing itself.
 * Used for header values, bodies and WebSocket messages.
 *
 * Only whole names count: xh, h.example, h-2, h%2Eexample and h with another
 * port stay. Name characters are letters, digits, ".", "-", "_" and all bytes
 * from 0x80 on (IDN), but for punctuation and spaces in UTF-8: U+0080-00BF
 * (not the letters AA, B5, BA), 2000-207F, 3000-301F (not 3005-3007), FEFF,
 * FF01-FF0C, FF0F and FF1A-FF20. U+3002 is thus the end of a sentence, though
 * IDN takes it for a dot. %HH, \xHH and \u00HH before or behind a name stand
 * for what they encode (%HH for a byte that is looked at alone, the others for
 * a character); a \uHHHH before it separates if it is one of the above, and a
 * \n, \r, \t, \b, \f or \v is no letter. A dot behind a name may end a
 * sentence; a root dot ("h./", "h.\/") goes with it.
 * The earliest start wins, and at one start the first mapping.
 */

#ifndef CMS_REWRITE_H
#define CMS_REWRITE_H

#include "cms_search.h"

#include <stddef.h>

#define CMS_REWRITE_MAPPINGS_MAX CMS_SEARCH_NAMES_MAX
#define CMS_REWRITE_NAME_MAX     253 /* RFC 1035 section 2.3.4, as text */

/* Bytes before and behind a name's start that its decision may need. */
#define CMS_REWRITE_BEHIND 6
#define CMS_REWRITE_AHEAD  288

typedef enum {
    CMS_REWRITE_AUTHORITY, /* a host with or without its port */
    CMS_REWRITE_DOMAIN,    /* the part behind "@" */
} cms_rewrite_kind_t;

/* What is put: with its colon plain, and escaped for text that is. */
typedef struct {
    const unsigned char *plain; /* "host" or "host:port" */
    size_t plain_len;
    const unsigned char *coded; /* "host" or "host%3Aport" */
    size_t coded_len;
} cms_rewrite_to_t;

/* The buffer that cms_rewrite_to_write needs for such a host. */
#define CMS_REWRITE_TO_SIZE(host_len) (2 * (host_len) + 16)

/* port 0: none. *to points into the buffer. */
void cms_rewrite_to_write(cms_rewrite_to_t *to, unsigned char *buffer,
                          const unsigned char *host, size_t host_len,
                          unsigned port);

typedef struct {
    cms_rewrite_kind_t kind;
    const unsigned char *from; /* ASCII name characters; no last dot */
    size_t from_len;           /* 1..CMS_REWRITE_NAME_MAX */
    unsigned from_port; /* 0: "h", "h:443", "h:80"; else "h" and "h:PORT" */
    cms_rewrite_to_t to; /* plain NULL: the one of cms_rewrite_begin */
} cms_rewrite_mapping_t;

/*
 * Mappings made ready: of fixed size, and read-only from then on. The names
 * stay where they are and must outlive it.
 */
typedef struct {
    size_t count;
    size_t longest; /* of the names */
    cms_rewrite_mapping_t mappings[CMS_REWRITE_MAPPINGS_MAX];
    cms_search_t search;
} cms_rewrite_set_t;

/* count: 0 (nothing is ever found) to CMS_REWRITE_MAPPINGS_MAX. */
void cms_rewrite_compile(cms_rewrite_set_t *set,
                         const cms_rewrite_mapping_t *mappings, size_t count);

/* One text. To be moved in memory only between two pieces of input. */
typedef struct {
    const cms_rewrite_set_t *set;
    const cms_rewrite_to_t *to;
    const unsigned char *put; /* found, to be put next; or NULL */
    size_t put_len;
    unsigned short also_port;
    unsigned short at;    /* where in carry the held back bytes begin */
    unsigned short held;  /* how many those are */
    unsigned char behind; /* how many bytes before them are of the text */
    unsigned char carry[CMS_REWRITE_BEHIND + CMS_REWRITE_AHEAD];
} cms_rewrite_t;

typedef enum {
    CMS_REWRITE_MORE, /* all input is taken, or the text is at its end */
    CMS_REWRITE_KEEP, /* bytes of the text */
    CMS_REWRITE_PUT,  /* bytes instead of those that were taken */
} cms_rewrite_piece_t;

/*
 * set and to must outlive rw. to may be NULL where each mapping has its own.
 * also_port counts as 443 and 80 do; 0: no other port does.
 */
void cms_rewrite_begin(cms_rewrite_t *rw, const cms_rewrite_set_t *set,
                       const cms_rewrite_to_t *to, unsigned also_port);

/* The part of cms_rewrite_next that looks at the text. */
cms_rewrite_piece_t cms_rewrite_look(cms_rewrite_t *rw,
                                     const unsigned char **in,
                                     const unsigned char *end, int last,
                                     const unsigned char **p, size_t *len);

/*
 * The next piece of output: call it until it says MORE. *in moves behind what
 * was taken; bytes before it are never read again, so that the output may be
 * written over them. KEEP: *p and *len lie in what was just taken of the
 * input, or in rw, until the next call. last: no input follows *in..end, and
 * nothing is held back; then begin anew for another text. Where nothing is
 * found, a buffer is one KEEP.
 */
static inline cms_rewrite_piece_t
cms_rewrite_next(cms_rewrite_t *rw, const unsigned char **in,
                 const unsigned char *end, int last, const unsigned char **p,
                 size_t *len)
{
    if (rw->put) {
        *p = rw->put;
        *len = rw->put_len;
        rw->put = NULL;
        return CMS_REWRITE_PUT;
    }
    return cms_rewrite_look(rw, in, end, last, p, len);
}

/*
 * cms_rewrite_next() where the buffer of the input may be written, *to and on,
 * which is at or before *in: pieces that fit there are written at once, and *to
 * moves behind them, but for those longer than longest; a piece is handed out
 * when one does not fit, and at the end. *to is never moved past *in.
 */
cms_rewrite_piece_t cms_rewrite_move(cms_rewrite_t *rw,
                                     const unsigned char **in,
                                     const unsigned char *end, int last,
                                     unsigned char **to, size_t longest,
                                     const unsigned char **p, size_t *len);

/* Bytes held back: taken, and not yet decided. */
size_t cms_rewrite_held(const cms_rewrite_t *rw);

/*
 * A whole text: writes it to out and returns its length; with out NULL it
 * only counts. *matches says how many replacements were made; where it is 0
 * the text is as before.
 */
size_t cms_rewrite(const cms_rewrite_set_t *set, const cms_rewrite_to_t *to,
                   unsigned also_port, const unsigned char *in, size_t len,
                   unsigned char *out, size_t *matches);

/*
 * The value of the next Domain attribute of a Set-Cookie value (RFC 6265
 * section 4.1.2.3) at or behind *pos, without a leading dot: 1, its bounds,
 * and *pos behind it; or 0 if there is none left.
 */
int cms_cookie_domain(const unsigned char *in, size_t len, size_t *pos,
                      size_t *start, size_t *end);

/*
 * 1 if a cookie for this domain is one for this host: the host itself or a
 * parent of it (RFC 6265 section 5.1.3). A single label is nobody's parent.
 */
int cms_cookie_domain_covers(const unsigned char *domain, size_t domain_len,
                             const unsigned char *host, size_t host_len);

#endif
