/* sources: ngx_cms_proxy_module/cms_probe.c */

/* What an answer says about the web bridge, however it is cut into pieces. */

#include "cms_probe.h"
#include "tap.h"

#include <stdlib.h>

#define U(s) ((const unsigned char *)(s))
#define OK_HEAD "HTTP/1.1 200 OK\r\n"

typedef struct {
    const char *title;
    const char *answer;
    int closes; /* the connection ends behind it */
    const char *text;
    cms_probe_verdict_t verdict;
    const char *problem;
} answer_case_t;

static const answer_case_t cases[] = {
    {"200", OK_HEAD "\r\n", 0, NULL, CMS_PROBE_PASSED, NULL},
    {"302", "HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n", 0, NULL,
     CMS_PROBE_PASSED, NULL},
    {"399 without a phrase", "HTTP/1.0 399\r\n\r\n", 0, NULL,
     CMS_PROBE_PASSED, NULL},
    {"bare LF", "HTTP/1.1 200 OK\nA: b\n\n", 0, NULL, CMS_PROBE_PASSED, NULL},
    {"204", "HTTP/1.1 204 No Content\r\n\r\n", 0, NULL, CMS_PROBE_PASSED,
     NULL},
    {"the header is not there yet", OK_HEAD "Server: x\r\n", 0, NULL,
     CMS_PROBE_MORE, NULL},
    {"503 at once", "HTTP/1.1 503 Gone\r\n", 0, NULL, CMS_PROBE_STATUS, NULL},
    {"404", "HTTP/1.1 404 Not Found\r\n", 0, "x", CMS_PROBE_STATUS, NULL},
    {"400", "HTTP/1.1 400 Bad\r\n", 0, NULL, CMS_PROBE_STATUS, NULL},
    {"101 is for nobody", "HTTP/1.1 101 Switch\r\n", 0, NULL,
     CMS_PROBE_STATUS, NULL},
    {"100 and 103 go before", "HTTP/1.1 100 Continue\r\n\r\n"
     "HTTP/1.1 103 Early Hints\r\nContent-Length: 9\r\n\r\n"
     OK_HEAD "Content-Length: 2\r\n\r\nab", 0, "ab", CMS_PROBE_PASSED, NULL},
    {"099", "HTTP/1.1 099 What\r\n", 0, NULL, CMS_PROBE_PROTOCOL,
     "the answer is not HTTP/1"},
    {"1000", "HTTP/1.1 1000 What\r\n", 0, NULL, CMS_PROBE_PROTOCOL,
     "the answer is not HTTP/1"},
    {"garbage, before its line ends", "\x15\x03\x01", 0, NULL,
     CMS_PROBE_PROTOCOL, "the answer is not HTTP/1"},
    {"SSH", "SSH-2.0-x\r\n", 0, NULL, CMS_PROBE_PROTOCOL,
     "the answer is not HTTP/1"},
    {"HTTP/2", "HTTP/2 200\r\n", 0, NULL, CMS_PROBE_PROTOCOL,
     "the answer is not HTTP/1"},
    {"nothing", "", 1, NULL, CMS_PROBE_CLOSED,
     "closed the connection without an answer"},
    {"half a header", "HTTP/1.1 200 OK\r\nSer", 1, NULL, CMS_PROBE_CLOSED,
     "closed the connection in the middle of the answer"},
    {"text, known length", OK_HEAD "Content-Length: 9\r\n\r\nJoin call", 0,
     "Join call", CMS_PROBE_PASSED, NULL},
    {"text, before the body ends", OK_HEAD "Content-Length: 999\r\n\r\n"
     "<p>Join call", 0, "Join call", CMS_PROBE_PASSED, NULL},
    {"text behind the body does not count", OK_HEAD "Content-Length: 4\r\n"
     "\r\nJoin call", 0, "Join call", CMS_PROBE_TEXT, NULL},
    {"text in a header does not count", OK_HEAD "X: Join\r\n"
     "content-length:0\r\n\r\n", 0, "Join", CMS_PROBE_TEXT, NULL},
    {"text after a false start", OK_HEAD "\r\nababac", 0, "abac",
     CMS_PROBE_PASSED, NULL},
    {"text to the end of the connection", OK_HEAD "\r\nJoin", 1, "Join call",
     CMS_PROBE_TEXT, NULL},
    {"text that may still come", OK_HEAD "\r\nJoin", 0, "Join call",
     CMS_PROBE_MORE, NULL},
    {"body cut short", OK_HEAD "Content-Length: 5\r\n\r\nJoin", 1,
     "Join call", CMS_PROBE_CLOSED,
     "closed the connection in the middle of the answer"},
    {"chunks", OK_HEAD "Transfer-Encoding: Chunked\r\n\r\n"
     "4\r\nJoin\r\n05;x=y\r\n call\r\n0\r\n\r\n", 0, "Join call",
     CMS_PROBE_PASSED, NULL},
    {"chunks without the text", OK_HEAD "Transfer-Encoding: chunked\r\n\r\n"
     "4\r\nJoin\r\n0\r\n", 0, "Join call", CMS_PROBE_TEXT, NULL},
    {"the text is not in the framing", OK_HEAD
     "Transfer-Encoding: chunked\r\n\r\n1;Join\r\n.\r\n0\r\n\r\n", 0, "Join",
     CMS_PROBE_TEXT, NULL},
    {"a chunk of no size", OK_HEAD "Transfer-Encoding: chunked\r\n\r\nx\r\n",
     0, "Join", CMS_PROBE_PROTOCOL, "bad chunk"},
    {"an enormous chunk", OK_HEAD "Transfer-Encoding: chunked\r\n\r\n"
     "fffffffffffffff\r\n", 0, "Join", CMS_PROBE_PROTOCOL, "bad chunk"},
    {"a chunk longer than it says", OK_HEAD
     "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", 0, "Join",
     CMS_PROBE_PROTOCOL, "bad chunk"},
    {"another coding", OK_HEAD "Transfer-Encoding: gzip, chunked\r\n\r\n", 0,
     "Join", CMS_PROBE_PROTOCOL, "unknown Transfer-Encoding"},
    {"bad length", OK_HEAD "Content-Length: -1\r\n\r\n", 0, "Join",
     CMS_PROBE_PROTOCOL, "bad Content-Length"},
    {"enormous length", OK_HEAD "Content-Length: 9999999999999999999\r\n\r\n",
     0, "Join", CMS_PROBE_PROTOCOL, "bad Content-Length"},
    {"two lengths", OK_HEAD "Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
     0, "Join", CMS_PROBE_PROTOCOL, "two different Content-Length"},
    {"gzip", OK_HEAD "Content-Encoding: gzip\r\n\r\n", 0, "Join",
     CMS_PROBE_TEXT, "the answer is compressed"},
    {"identity", OK_HEAD "Content-Encoding: identity\r\n\r\nJoin", 0, "Join",
     CMS_PROBE_PASSED, NULL},
    {"no body", "HTTP/1.1 304 Same\r\n\r\n", 0, "Join", CMS_PROBE_TEXT,
     "the answer has no body"},
};

/* the same answer in pieces of this size */
static void
run(const answer_case_t *c, size_t piece, cms_probe_t *p)
{
    static cms_probe_text_t text;
    size_t i, len = strlen(c->answer);

    if (c->text) {
        cms_probe_text(&text, U(c->text), strlen(c->text));
    }
    cms_probe_start(p, c->text ? &text : NULL);
    for (i = 0; i < len; i += piece) {
        cms_probe_feed(p, U(c->answer) + i, len - i < piece ? len - i : piece);
    }
    if (c->closes) {
        cms_probe_end(p);
    }
}

static void
answers(void)
{
    size_t i, piece;
    cms_probe_t p;

    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        const answer_case_t *c = &cases[i];
        int same = 1;

        for (piece = 1; piece <= strlen(c->answer) + 1; piece++) {
            run(c, piece, &p);
            if (p.verdict != c->verdict ||
                strcmp(p.problem ? p.problem : "",
                       c->problem ? c->problem : "") != 0) {
                same = 0;
                printf("# in pieces of %zu: verdict %d, %s\n", piece,
                       p.verdict, p.problem ? p.problem : "no problem");
                break;
            }
        }
        ok(same, "%s", c->title);
    }
}

static void
limits(void)
{
    static unsigned char big[CMS_PROBE_BODY_MAX + 100];
    cms_probe_text_t text;
    cms_probe_t p;

    memset(big, 'a', sizeof(big));
    cms_probe_start(&p, NULL);
    cms_probe_feed(&p, U(OK_HEAD), strlen(OK_HEAD));
    is_int(cms_probe_feed(&p, big, CMS_PROBE_HEADER_MAX), CMS_PROBE_PROTOCOL,
           "an endless header fails");
    is_mem(p.problem, strlen(p.problem), "header longer than 64 KB", "  why");

    cms_probe_text(&text, U("aab"), 3);
    cms_probe_start(&p, &text);
    cms_probe_feed(&p, U(OK_HEAD "\r\n"), strlen(OK_HEAD "\r\n"));
    is_int(cms_probe_feed(&p, big, CMS_PROBE_BODY_MAX - 1), CMS_PROBE_MORE,
           "a long body may still have the text");
    is_int(cms_probe_feed(&p, big, 1), CMS_PROBE_TEXT,
           "the body is read up to a megabyte");

    big[CMS_PROBE_BODY_MAX - 1] = 'b';
    cms_probe_start(&p, &text);
    cms_probe_feed(&p, U(OK_HEAD "\r\n"), strlen(OK_HEAD "\r\n"));
    is_int(cms_probe_feed(&p, big, sizeof(big)), CMS_PROBE_PASSED,
           "the text at the end of the megabyte counts");
    is_int(cms_probe_text(&text, big, 0), 0, "a text is not empty");
    is_int(cms_probe_text(&text, big, CMS_PROBE_TEXT_MAX + 1), 0,
           "nor longer than 255 bytes");
    is_int(cms_probe_text(&text, big, CMS_PROBE_TEXT_MAX), 1,
           "but may be as long");
}

static void
request(void)
{
    unsigned char out[256];
    size_t len = cms_probe_request(out, sizeof(out), U("h:8443"), 6,
                                   U("/x?y=1"), 6);

    is_mem(out, len,
           "GET /x?y=1 HTTP/1.1\r\nHost: h:8443\r\nUser-Agent: cms-edge\r\n"
           "Accept: */*\r\nAccept-Encoding: identity\r\n"
           "Connection: close\r\n\r\n", "the request");
    out[10] = '#';
    is_int(cms_probe_request(out, 10, U("h:8443"), 6, U("/x?y=1"), 6), len,
           "its length is known where it does not fit");
    ok(out[10] == '#', "and nothing is written behind the room for it");
}

int
main(void)
{
    answers();
    limits();
    request();
    return done_testing();
}
