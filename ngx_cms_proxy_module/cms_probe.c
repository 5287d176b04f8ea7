/*
 * Reads the answer to a health probe byte by byte, in any pieces. Called by
 * ngx_http_cms_proxy_health.c, which owns the connection.
 */

#include "cms_probe.h"

#include <string.h>

enum {
    STATUS_LINE,
    HEADER,
    BODY,       /* up to the end of the connection */
    BODY_LEFT,  /* so many bytes: all of it, or the rest of a chunk */
    CHUNK_SIZE, /* the line before a chunk */
    CHUNK_END,  /* the empty line behind it */
};

static unsigned char
lower(unsigned char c)
{
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c + 32) : c;
}

static int
is_digit(unsigned char c)
{
    return c >= '0' && c <= '9';
}

static cms_probe_verdict_t
say(cms_probe_t *p, cms_probe_verdict_t verdict, const char *problem)
{
    p->problem = problem;
    return p->verdict = verdict;
}

/* ---- the text ---- */

int
cms_probe_text(cms_probe_text_t *text, const unsigned char *data, size_t len)
{
    size_t i, k = 0;

    if (len == 0 || len > CMS_PROBE_TEXT_MAX) {
        return 0;
    }
    text->data = data;
    text->len = len;
    text->back[0] = 0;
    for (i = 1; i < len; i++) {
        while (k && data[i] != data[k]) {
            k = text->back[k - 1];
        }
        if (data[i] == data[k]) {
            k++;
        }
        text->back[i] = (unsigned char)k;
    }
    return 1;
}

/* 1 once the whole text has come; what came before this call counts too */
static int
find_text(cms_probe_t *p, const unsigned char *data, size_t len)
{
    const cms_probe_text_t *t = p->text;
    size_t i, k = p->matched;

    for (i = 0; i < len; i++) {
        while (k && data[i] != t->data[k]) {
            k = t->back[k - 1];
        }
        if (data[i] == t->data[k]) {
            k++;
        }
        if (k == t->len) {
            return 1;
        }
    }
    p->matched = k;
    return 0;
}

/* ---- the request ---- */

static size_t
put(unsigned char *out, size_t max, size_t at, const void *data, size_t len)
{
    if (at < max) {
        memcpy(out + at, data, len < max - at ? len : max - at);
    }
    return at + len;
}

size_t
cms_probe_request(unsigned char *out, size_t max, const unsigned char *host,
                  size_t host_len, const unsigned char *uri, size_t uri_len)
{
    static const char version[] = " HTTP/1.1\r\nHost: ";
    static const char rest[] = "\r\nUser-Agent: cms-edge\r\nAccept: */*\r\n"
                               "Accept-Encoding: identity\r\n"
                               "Connection: close\r\n\r\n";
    size_t at;

    at = put(out, max, 0, "GET ", 4);
    at = put(out, max, at, uri, uri_len);
    at = put(out, max, at, version, sizeof(version) - 1);
    at = put(out, max, at, host, host_len);
    return put(out, max, at, rest, sizeof(rest) - 1);
}

/* ---- status line and headers ---- */

static cms_probe_verdict_t
status_line(cms_probe_t *p)
{
    const unsigned char *l = p->line;

    if (p->line_len < 12 || memcmp(l, "HTTP/1.", 7) != 0 || !is_digit(l[7]) ||
        l[8] != ' ' || !is_digit(l[9]) || !is_digit(l[10]) ||
        !is_digit(l[11]) || (p->line_len > 12 && l[12] != ' ')) {
        return say(p, CMS_PROBE_PROTOCOL, "the answer is not HTTP/1");
    }
    p->status = (l[9] - '0') * 100u + (l[10] - '0') * 10u + (l[11] - '0');
    if (p->status < 100) {
        return say(p, CMS_PROBE_PROTOCOL, "the answer is not HTTP/1");
    }
    p->informational = p->status < 200 && p->status != 101;
    p->state = HEADER;
    if (!p->informational && (p->status < 200 || p->status > 399)) {
        return say(p, CMS_PROBE_STATUS, NULL);
    }
    return CMS_PROBE_MORE;
}

/* the value of the header line, if it is this one (name in lower case) */
static const unsigned char *
value_of(const cms_probe_t *p, const char *name, const unsigned char **end)
{
    size_t i, n = strlen(name);
    const unsigned char *v;

    if (p->line_len <= n || p->line[n] != ':') {
        return NULL;
    }
    for (i = 0; i < n; i++) {
        if (lower(p->line[i]) != (unsigned char)name[i]) {
            return NULL;
        }
    }
    *end = p->line + (p->line_len < CMS_PROBE_LINE_MAX ? p->line_len
                                                       : CMS_PROBE_LINE_MAX);
    for (v = p->line + n + 1; v < *end && (*v == ' ' || *v == '\t'); v++) {
    }
    while (*end > v && ((*end)[-1] == ' ' || (*end)[-1] == '\t')) {
        (*end)--;
    }
    return v;
}

static int
is_value(const unsigned char *v, const unsigned char *end, const char *want)
{
    for (; v < end && *want; v++, want++) {
        if (lower(*v) != (unsigned char)*want) {
            return 0;
        }
    }
    return v == end && *want == '\0';
}

static cms_probe_verdict_t
content_length(cms_probe_t *p, const unsigned char *v,
               const unsigned char *end)
{
    unsigned long long n = 0;

    if (v == end || end - v > 18) {
        return say(p, CMS_PROBE_PROTOCOL, "bad Content-Length");
    }
    for (; v < end; v++) {
        if (!is_digit(*v)) {
            return say(p, CMS_PROBE_PROTOCOL, "bad Content-Length");
        }
        n = n * 10 + (*v - '0');
    }
    if (p->has_length && p->left != n) {
        return say(p, CMS_PROBE_PROTOCOL, "two different Content-Length");
    }
    p->has_length = 1;
    p->left = n;
    return CMS_PROBE_MORE;
}

static cms_probe_verdict_t
header_line(cms_probe_t *p)
{
    const unsigned char *v, *end;

    if ((v = value_of(p, "content-length", &end)) != NULL) {
        return content_length(p, v, end);
    }
    if ((v = value_of(p, "transfer-encoding", &end)) != NULL) {
        if (!is_value(v, end, "chunked")) {
            return say(p, CMS_PROBE_PROTOCOL, "unknown Transfer-Encoding");
        }
        p->chunked = 1;
    }
    if ((v = value_of(p, "content-encoding", &end)) != NULL &&
        v < end && !is_value(v, end, "identity")) {
        p->encoded = 1;
    }
    return CMS_PROBE_MORE;
}

/* the empty line behind the headers */
static cms_probe_verdict_t
header_end(cms_probe_t *p)
{
    if (p->informational) {
        p->chunked = p->has_length = p->encoded = 0;
        p->state = STATUS_LINE;
        return CMS_PROBE_MORE;
    }
    if (p->text == NULL) {
        return say(p, CMS_PROBE_PASSED, NULL);
    }
    if (p->encoded) {
        return say(p, CMS_PROBE_TEXT, "the answer is compressed");
    }
    if (p->status == 204 || p->status == 304) {
        return say(p, CMS_PROBE_TEXT, "the answer has no body");
    }
    if (p->chunked) {
        p->state = CHUNK_SIZE;
    } else if (!p->has_length) {
        p->state = BODY;
    } else if (p->left == 0) {
        return say(p, CMS_PROBE_TEXT, NULL);
    } else {
        p->state = BODY_LEFT;
    }
    return CMS_PROBE_MORE;
}

/* ---- the body ---- */

/* RFC 9112 section 7.1: 1*HEXDIG, then maybe an extension */
static cms_probe_verdict_t
chunk_size(cms_probe_t *p)
{
    size_t i;
    unsigned long long n = 0;

    for (i = 0; i < p->line_len && i < 15; i++) {
        unsigned char c = lower(p->line[i]);

        if (is_digit(c)) {
            n = n * 16 + (c - '0');
        } else if (c >= 'a' && c <= 'f') {
            n = n * 16 + (c - 'a' + 10u);
        } else {
            break;
        }
    }
    if (i == 0 || i == 15 ||
        (i < p->line_len && p->line[i] != ';' && p->line[i] != ' ' &&
         p->line[i] != '\t')) {
        return say(p, CMS_PROBE_PROTOCOL, "bad chunk");
    }
    if (n == 0) {
        return say(p, CMS_PROBE_TEXT, NULL);
    }
    p->left = n;
    p->state = BODY_LEFT;
    return CMS_PROBE_MORE;
}

/* how much of the body's bytes was taken */
static size_t
body(cms_probe_t *p, const unsigned char *data, size_t len)
{
    if (p->state == BODY_LEFT && len > p->left) {
        len = (size_t)p->left;
    }
    if (len > CMS_PROBE_BODY_MAX - p->body) {
        len = CMS_PROBE_BODY_MAX - p->body;
    }
    if (find_text(p, data, len)) {
        say(p, CMS_PROBE_PASSED, NULL);
        return len;
    }
    p->body += len;
    if (p->body == CMS_PROBE_BODY_MAX) {
        say(p, CMS_PROBE_TEXT, "not in the first megabyte");
        return len;
    }
    if (p->state == BODY_LEFT) {
        p->left -= len;
        if (p->left == 0 && p->chunked) {
            p->state = CHUNK_END;
        } else if (p->left == 0) {
            say(p, CMS_PROBE_TEXT, NULL);
        }
    }
    return len;
}

/* ---- all of it ---- */

/* a whole line has come, of which the end is taken off */
static cms_probe_verdict_t
whole_line(cms_probe_t *p)
{
    switch (p->state) {
    case STATUS_LINE:
        return status_line(p);
    case HEADER:
        return p->line_len ? header_line(p) : header_end(p);
    case CHUNK_SIZE:
        return chunk_size(p);
    default:
        if (p->line_len) {
            return say(p, CMS_PROBE_PROTOCOL, "bad chunk");
        }
        p->state = CHUNK_SIZE;
        return CMS_PROBE_MORE;
    }
}

/* what is no HTTP shows at once, not when its first line ends */
static int
may_be_http(const cms_probe_t *p)
{
    size_t n = p->line_len < 7 ? p->line_len : 7;

    return memcmp(p->line, "HTTP/1.", n) == 0;
}

/* a byte of a line; the lines around chunks may be as long as headers */
static cms_probe_verdict_t
line_byte(cms_probe_t *p, unsigned char c)
{
    cms_probe_verdict_t verdict;

    if (++p->header > CMS_PROBE_HEADER_MAX) {
        return say(p, CMS_PROBE_PROTOCOL, "header longer than 64 KB");
    }
    if (c != '\n') {
        if (p->line_len < CMS_PROBE_LINE_MAX) {
            p->line[p->line_len] = c;
        }
        p->line_len++;
        if (p->state == STATUS_LINE && !may_be_http(p)) {
            return say(p, CMS_PROBE_PROTOCOL, "the answer is not HTTP/1");
        }
        return CMS_PROBE_MORE;
    }
    if (p->line_len && p->line_len <= CMS_PROBE_LINE_MAX &&
        p->line[p->line_len - 1] == '\r') {
        p->line_len--;
    }
    verdict = whole_line(p);
    if (p->state == BODY_LEFT) {
        p->header = 0; /* the next chunk's line has its own limit */
    }
    p->line_len = 0;
    return verdict;
}

void
cms_probe_start(cms_probe_t *probe, const cms_probe_text_t *text)
{
    memset(probe, 0, sizeof(*probe));
    probe->text = text;
    probe->state = STATUS_LINE;
}

cms_probe_verdict_t
cms_probe_feed(cms_probe_t *probe, const unsigned char *data, size_t len)
{
    size_t i = 0;

    while (i < len && probe->verdict == CMS_PROBE_MORE) {
        if (probe->state == BODY || probe->state == BODY_LEFT) {
            i += body(probe, data + i, len - i);
        } else {
            line_byte(probe, data[i++]);
        }
    }
    return probe->verdict;
}

cms_probe_verdict_t
cms_probe_end(cms_probe_t *probe)
{
    if (probe->verdict != CMS_PROBE_MORE) {
        return probe->verdict;
    }
    if (probe->state == BODY) {
        return say(probe, CMS_PROBE_TEXT, NULL);
    }
    if (probe->state == STATUS_LINE && probe->header == 0) {
        return say(probe, CMS_PROBE_CLOSED,
                   "closed the connection without an answer");
    }
    return say(probe, CMS_PROBE_CLOSED,
               "closed the connection in the middle of the answer");
}
