/*
 * A health probe's conversation: the request it sends, and what the bytes
 * that come back say about the web bridge. Pure: no sockets, no time.
 *
 * An answer passes with a status of 200 to 399 as soon as its header is
 * complete, or, where a text is asked for, as soon as the text has come in
 * the first CMS_PROBE_BODY_MAX bytes of the body (RFC 9112: chunked or of a
 * known length or until the end of the connection).
 */

#ifndef CMS_PROBE_H
#define CMS_PROBE_H

#include <stddef.h>

#define CMS_PROBE_TEXT_MAX 255
#define CMS_PROBE_HEADER_MAX 65536 /* bytes of status line and headers */
#define CMS_PROBE_BODY_MAX 1048576 /* bytes of body that are looked at */
#define CMS_PROBE_LINE_MAX 128     /* of a line only so much is kept */

/* A text to look for; made once, at configuration. */
typedef struct {
    const unsigned char *data;
    size_t len;
    /* where to go on when data[i] does not fit (Knuth, Morris, Pratt) */
    unsigned char back[CMS_PROBE_TEXT_MAX];
} cms_probe_text_t;

typedef enum {
    CMS_PROBE_MORE,     /* nothing is certain yet */
    CMS_PROBE_PASSED,
    CMS_PROBE_STATUS,   /* "status" says which */
    CMS_PROBE_TEXT,     /* "problem" says why it was not found */
    CMS_PROBE_PROTOCOL, /* no proper HTTP; "problem" */
    CMS_PROBE_CLOSED,   /* ended too early; "problem" */
} cms_probe_verdict_t;

typedef struct {
    const cms_probe_text_t *text; /* NULL: the status is enough */
    cms_probe_verdict_t verdict;
    const char *problem; /* a constant string, or NULL */
    unsigned status;     /* 0: no status line yet */

    /* private */
    int state;
    unsigned char line[CMS_PROBE_LINE_MAX];
    size_t line_len; /* as it came, which may be more than is kept */
    size_t header;   /* bytes so far */
    size_t body;     /* bytes looked at so far */
    size_t matched;  /* of the text */
    unsigned long long left; /* of the body or the chunk */
    unsigned chunked : 1;
    unsigned has_length : 1;
    unsigned encoded : 1;
    unsigned informational : 1; /* the header that is read is one of 1xx */
} cms_probe_t;

/* data stays the caller's; 0 if it is empty or too long. */
int cms_probe_text(cms_probe_text_t *text, const unsigned char *data,
                   size_t len);

/*
 * Writes "GET uri HTTP/1.1" with this Host, at most max bytes, and returns
 * the length of the whole request; it fits if that is no more than max.
 */
size_t cms_probe_request(unsigned char *out, size_t max,
                         const unsigned char *host, size_t host_len,
                         const unsigned char *uri, size_t uri_len);

void cms_probe_start(cms_probe_t *probe, const cms_probe_text_t *text);

/* The next bytes of the answer. A verdict other than MORE is final. */
cms_probe_verdict_t cms_probe_feed(cms_probe_t *probe,
                                   const unsigned char *data, size_t len);

/* The connection was closed in order: the verdict is never MORE. */
cms_probe_verdict_t cms_probe_end(cms_probe_t *probe);

#endif
