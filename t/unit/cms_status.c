/* sources: ngx_cms_proxy_module/cms_status_html.c */
/* sources: ngx_cms_proxy_module/cms_status_problems.c */
/* sources: ngx_cms_proxy_module/cms_status_prometheus.c */
/* sources: ngx_cms_proxy_module/cms_status_share.c */
/* sources: ngx_cms_proxy_module/cms_text.c */

/* Problems in words, the page and the figures made of a status document. */

#define _GNU_SOURCE

#include "cms_status.h"
#include "tap.h"

#include <stdlib.h>

/* Single quotes stand for double ones. */
static json_t *
document(const char *text)
{
    char *copy = strdup(text), *p;
    json_t *doc;
    json_error_t error;

    for (p = copy; *p; p++) {
        *p = *p == '\'' ? '"' : *p;
    }
    doc = json_loads(copy, 0, &error);
    if (!doc) {
        printf("# %s: %s\n", error.text, copy);
    }
    free(copy);
    return doc;
}

#define A(address, state, reason)                                              \
    "{'address':'" address "','state':'" state "','reason':'" reason "'}"
#define WB(targets)                                                            \
    "{'webbridges':[{'name':'cmsweb','guest_uris':['g'],'targets':[" targets   \
    "]}]}"
#define T(addresses) "{'target':'t','dns':null,'addresses':[" addresses "]}"

static const char *const told[][2] = {
    {"{}", ""},
    {WB(T(A("a", "active", ""))), ""},
    {WB(T(A("a", "unknown", "") "," A("b", "idle", ""))), ""},
    {WB(T(A("a", "failed", "connection refused"))),
     "error: the target of cmsweb failed: connection refused (a)\n"},
    {WB(T(A("a", "active", "")) "," T(A("b", "failed", "x"))),
     "warning: 1 of 2 targets of cmsweb failed: x (b)\n"},
    {WB(T(A("a", "down", "")) "," T(A("b", "failed", "x"))),
     "error: the target of cmsweb failed: x (b)\n"},
    {WB(T(A("a", "failed", "x") "," A("b", "failed", "x"))),
     "error: all 2 targets of cmsweb failed: x (a)\n"},
    {WB(T(A("a", "failed", "x") "," A("b", "failed", "y"))),
     "error: all 2 targets of cmsweb failed: x (a), and others for other "
     "reasons\n"},
    {WB("{'target':'n','dns':{'error':'NXDOMAIN'},'addresses':[]}"),
     "error: target n of cmsweb does not resolve: NXDOMAIN\n"},
    {WB("{'target':'n','dns':{'error':'timed out'},'addresses':[" A(
         "a", "active", "") "]}"),
     "warning: target n of cmsweb does not resolve: timed out; its last known "
     "addresses are used\n"},
    {"{'certificates':[{'file':'f','guest_uris':[{'name':'g','covered':false},"
     "{'name':'h','covered':true}],'faults':[{'level':'warning',"
     "'text':'expires in 3 days'}]}]}",
     "error: guest URI g is not covered by its certificate f: browsers refuse "
     "it\nwarning: certificate f of g expires in 3 days\n"},
    {"{'turn':{'state':'running','stores':{'redis':'away'}}}",
     "warning: TURN: Redis is away; users are looked up in PostgreSQL alone\n"},
    {"{'turn':{'state':'running','logins':{'recent':{'seconds':60,'right':1,"
     "'wrong_password':12,'unknown_name':3}}}}",
     "warning: TURN: 12 logins with a wrong password in the last 60 s; "
     "coturn's log names the user\n"},
    {"{'turn':{'state':'running','logins':{'recent':{'seconds':60,'right':0,"
     "'wrong_password':0,'unknown_name':3}}}}",
     "warning: TURN: 3 logins with an unknown name and none that is right in "
     "the last 60 s; coturn's log names the user\n"},
    {"{'turn':{'state':'stopped','updated':1795384049}}",
     "error: TURN: turnserver is not running since 2026-11-22 21:47:29 UTC\n"},
    {"{'turn':{'state':'unknown','file':'f','error':'is damaged'}}",
     "error: TURN: f is damaged\n"},
    {"{'webbridges':[{'name':'a','targets':[" T(A("b", "failed", "x") "," A(
         "c", "active", "")) "]},"
                             "{'name':'d',"
                             "'targets':[" T(A("e", "failed", "y")) "]}]}",
     "error: the target of d failed: y (e)\n"
     "warning: 1 of 2 targets of a failed: x (b)\n"},
};

static void
test_problems(void)
{
    size_t i, k;

    for (i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
        json_t *doc = document(told[i][0]), *p;
        char text[1024] = "";

        cms_status_problems(doc);
        json_array_foreach(json_object_get(doc, "problems"), k, p)
        {
            strcat(text, cms_status_string(p, "level"));
            strcat(text, ": ");
            strcat(text, cms_status_string(p, "text"));
            strcat(text, "\n");
        }
        is_mem(text, strlen(text), told[i][1], told[i][0]);
        json_decref(doc);
    }
}

/* A name that is too long for one line is cut between letters. */
static void
test_long(void)
{
    char name[1001];
    json_t *doc, *problems;
    const char *text;

    memset(name, 'x', sizeof(name) - 1);
    for (int i = 1; i + 1 < 1000; i += 2) {
        memcpy(name + i, "\xc3\xa9", 2);
    }
    name[1000] = '\0';
    for (int shift = 0; shift < 2; shift++) {
        doc = json_pack("{s:{s:s, s:s, s:s}}", "turn", "state", "unknown",
                        "file", name + shift, "error", shift ? "x" : "xy");
        cms_status_problems(doc);
        problems = json_object_get(doc, "problems");
        text = cms_status_string(json_array_get(problems, 0), "text");
        ok(strlen(text) > 500 && strlen(text) < 512, "a long name is cut");
        json_decref(doc);
    }
}

static const char evil[] =
    "{'generated':1795384049,'webbridges':[{'name':'<x>','guest_uris':['<x>'],"
    "'targets':[{'target':'<x>','dns':{'resolved':1795384048,'error':'<x>'},"
    "'addresses':[{'address':'<x>','host':'<x>','state':'failed',"
    "'reason':'<x>','priority':1,'weight':2,'backup':true,'changed':1795300000,"
    "'probed':1795383049,'latency':0.0123,'requests':7,'failures':8,"
    "'websockets':9}]},{'target':'<x>','dns':null,'addresses':[]}]}],"
    "'certificates':[{'file':'<x>','names':['<x>'],'days_left':-3,"
    "'guest_uris':[{'name':'<x>','covered':false}],"
    "'faults':[{'level':'error','text':'<x>'}]}],"
    "'turn':{'state':'running','listening':[{'protocol':'<x>','address':'<x>',"
    "'port':1}],'stores':{'postgresql':'<x>','redis':'<x>','cli':'<x>'},"
    "'feed':{'state':'<x>'},'file':'<x>','error':'<x>'}}";

static int
has(const cms_text_t *t, const char *text)
{
    return memmem(t->data, t->len, text, strlen(text)) != NULL;
}

static void
test_html(void)
{
    json_t *doc = document(evil);
    cms_text_t page = {0};

    cms_status_problems(doc);
    cms_status_html(doc, &page);
    ok(!has(&page, "<x>"), "no text becomes markup");
    ok(has(&page, "&lt;x&gt;"), "... it is escaped");
    ok(has(&page, "for 23 h"), "how long in a state");
    ok(has(&page, "16 min ago"), "how long ago");
    ok(has(&page, "12.3 ms"), "latency");
    ok(has(&page, "priority 1, weight 2"), "of SRV records");
    ok(has(&page, "not covered"), "a certificate that does not cover");
    free(page.data);

    memset(&page, 0, sizeof(page));
    json_object_set_new(json_object_get(doc, "turn"), "state",
                        json_string("unknown"));
    cms_status_html(doc, &page);
    ok(!has(&page, "<x>"), "nor where TURN is not known");
    free(page.data);
    json_decref(doc);
}

static void
test_escapes(void)
{
    cms_text_t t = {0};

    cms_text_html(&t, "a&b<c>d\"e'f");
    is_mem(t.data, t.len, "a&amp;b&lt;c&gt;d&quot;e&#39;f", "HTML");
    t.len = 0;
    cms_text_label(&t, "a\\b\"c\nd");
    is_mem(t.data, t.len, "a\\\\b\\\"c\\nd", "the value of a label");
    free(t.data);
}

typedef struct {
    const char *text;
    int good;
} prom_t;

static const prom_t proms[] = {
    {"", 0},
    {"\n", 0},
    {"cms_edge_turn_x 1\n", 1},
    {"cms_edge_turn_x 1", 0},
    {"cms_edge_turn_x 1\n\n", 0},
    {"cms_edge_turn_x  1\n", 0},
    {"cms_edge_turn_x 1 1795384049\n", 0},
    {"cms_edge_turn_x\n", 0},
    {"cms_edge_turn_x 1.5e-3\n", 1},
    {"cms_edge_turn_x +Inf\n", 1},
    {"cms_edge_turn_x NaN\n", 1},
    {"cms_edge_turn_x one\n", 0},
    {"cms_edge_turn_x{a=\"b\"} 1\n", 1},
    {"cms_edge_turn_x{a=\"b\",c=\"\\\"d\\\\\"} 1\n", 1},
    {"cms_edge_turn_x{a=\"b\",} 1\n", 0},
    {"cms_edge_turn_x{} 1\n", 0},
    {"cms_edge_turn_x{a=\"b} 1\n", 0},
    {"cms_edge_turn_x{a=b} 1\n", 0},
    {"cms_edge_turn_x{a=\"b\n\"} 1\n", 0},
    {"cms_edge_turn_x{a=\"\\", 0},
    {"cms_edge_target_up 1\n", 0},
    {"# HELP cms_edge_turn_x Words.\n# TYPE cms_edge_turn_x gauge\n", 1},
    {"# HELP cms_edge_problems Words.\n", 0},
    {"# a comment\n", 0},
    {"<html>\n", 0},
};

static void
test_prometheus(void)
{
    json_t *doc = document(WB(T(A("a", "failed", "x") "," A("b", "idle", ""))));
    cms_text_t t = {0};
    size_t i;

    for (i = 0; i < sizeof(proms) / sizeof(proms[0]); i++) {
        size_t len = strlen(proms[i].text);
        char *copy = malloc(len ? len : 1);

        memcpy(copy, proms[i].text, len);
        is_int(cms_status_is_turn_prom(copy, len), proms[i].good,
               proms[i].good ? "figures of the plugin" : "no such figures");
        free(copy);
    }
    cms_status_prometheus(doc, "bad\n", 4, &t);
    ok(has(&t, "\ncms_edge_target_up{webbridge=\"cmsweb\",target=\"t\","
               "address=\"a\"} 0\n"),
       "a failed one is not up");
    ok(has(&t, "\ncms_edge_target_idle{webbridge=\"cmsweb\",target=\"t\","
               "address=\"b\"} 1\n"),
       "an idle one is idle");
    ok(!has(&t, "bad"), "what is no figure is not passed on");
    free(t.data);
    json_decref(doc);

    doc = document(WB(T(A("a", "failed", "x")) "," T(A("a", "active", ""))));
    memset(&t, 0, sizeof(t));
    cms_status_prometheus(doc, NULL, 0, &t);
    ok(has(&t, "address=\"a\"} 0\n") && !has(&t, "address=\"a\"} 1\n"),
       "a target that is written twice has one sample");
    free(t.data);
    json_decref(doc);
}

/* ---- the shared port ---- */

static void
test_share_document(void)
{
    cms_share_figures_t figures = {.magic = CMS_SHARE_FIGURES_MAGIC};
    const json_t *counts;
    json_t *share;
    size_t i;

    for (i = 0; i < CMS_SHARE_OUTCOMES; i++) {
        figures.outcomes[i] = 100 + i;
    }
    figures.opened = UINT64_C(1) << 40;
    share = cms_status_share(&figures);
    counts = json_object_get(share, "connections");
    is_int(json_object_size(counts), CMS_SHARE_OUTCOMES,
           "each outcome has a name of its own");
    for (i = 0; i < CMS_SHARE_OUTCOMES; i++) {
        is_int(cms_status_number(counts, cms_status_outcomes[i].name), 100 + i,
               cms_status_outcomes[i].name);
    }
    ok(json_integer_value(json_object_get(share, "tls_opened")) == 1LL << 40,
       "large figures stay whole");
    json_decref(share);

    figures.magic++;
    ok(!cms_status_share(&figures), "figures of another layout are not read");
}

static void
test_share(void)
{
    json_t *doc = document("{'share':{'connections':{'https':7,'silent':1e15},"
                           "'tls_opened':3}}");
    cms_text_t t = {0};

    cms_status_html(doc, &t);
    ok(has(&t, "<dt>HTTPS</dt><dd>7</dd>"), "a line of the page");
    ok(has(&t, "closed</dt><dd>1000000000000000</dd>"), "... for each outcome");
    t.len = 0;
    cms_status_prometheus(doc, NULL, 0, &t);
    ok(has(&t, "\ncms_edge_share_connections_total{outcome=\"https\"} 7\n"),
       "and a figure");
    ok(has(&t, "{outcome=\"silent\"} 1e+15\n"), "... for each outcome");
    ok(has(&t, "\ncms_edge_share_tls_opened_total 3\n"), "... and TLS opened");
    free(t.data);
    json_decref(doc);

    memset(&t, 0, sizeof(t));
    doc = document("{}");
    cms_status_html(doc, &t);
    cms_status_prometheus(doc, NULL, 0, &t);
    ok(!has(&t, "share_") && !has(&t, "Port 443"),
       "where no port is shared there is no word of it");
    free(t.data);
    json_decref(doc);
}

int
main(void)
{
    test_problems();
    test_long();
    test_html();
    test_escapes();
    test_prometheus();
    test_share_document();
    test_share();
    return done_testing();
}
