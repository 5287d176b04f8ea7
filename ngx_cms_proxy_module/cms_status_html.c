/*
 * The status page for people; see cms_status.h. Tables become cards on a
 * phone: each cell knows its column's title.
 */

#include "cms_status.h"

#include <stdio.h>
#include <string.h>

const char cms_status_style[] =
    ":root{color-scheme:light dark;--line:#d5dae1;--soft:#5b6675;"
    "--card:#fff;--page:#f3f5f8;--text:#17202b;--good:#1a7f4b;--bad:#b3261e;"
    "--warn:#8a5a00;--badbg:#fdecea;--warnbg:#fff4dc;--goodbg:#e6f5ec}"
    "@media(prefers-color-scheme:dark){:root{--line:#333d4a;--soft:#9aa7b8;"
    "--card:#1a212b;--page:#10151c;--text:#e6ebf2;--good:#5fd497;"
    "--bad:#ff8a80;--warn:#f2c063;--badbg:#3a1b1a;--warnbg:#3a2d12;"
    "--goodbg:#15301f}}"
    "*{box-sizing:border-box}"
    "body{margin:0;padding:1rem;background:var(--page);color:var(--text);"
    "font:15px/1.45 system-ui,'DejaVu Sans',sans-serif}"
    "main{max-width:76rem;margin:0 auto}"
    "h1{font-size:1.35rem;margin:0}h2{font-size:1.1rem;margin:1.6rem 0 .5rem}"
    "h3{font-size:1rem;margin:0 0 .2rem}"
    "p{margin:.2rem 0}.soft{color:var(--soft)}"
    ".card,.problems li,.fine{background:var(--card);border:1px solid "
    "var(--line);border-radius:8px;padding:.7rem .9rem;margin:0 0 .7rem;"
    "overflow-wrap:anywhere}"
    ".problems{list-style:none;margin:1rem 0 0;padding:0}"
    ".problems .error{background:var(--badbg);border-left:5px solid "
    "var(--bad)}"
    ".problems .warning{background:var(--warnbg);border-left:5px solid "
    "var(--warn)}"
    ".fine{background:var(--goodbg);border-left:5px solid var(--good);"
    "margin-top:1rem}"
    "table{border-collapse:collapse;width:100%;margin-top:.5rem}"
    "th,td{text-align:left;vertical-align:top;padding:.35rem .6rem .35rem 0;"
    "border-top:1px solid var(--line);overflow-wrap:anywhere}"
    "th{font-weight:600;color:var(--soft);font-size:.85rem;border-top:0;"
    "white-space:nowrap}"
    "td:nth-child(-n+2){min-width:11.5rem}"
    ".n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}"
    ".state{font-weight:600;white-space:nowrap}"
    ".active,.up,.running,.live{color:var(--good)}"
    ".failed,.away,.stopped,.broken{color:var(--bad)}"
    ".unknown,.idle,.down,.polled,.none,.off{color:var(--soft)}"
    ".why{display:block;color:var(--bad);font-weight:400}"
    ".late,.why.warning{color:var(--warn)}"
    "dl{display:grid;grid-template-columns:minmax(7.8rem,12rem) 1fr;"
    "gap:.3rem .4rem;margin:.6rem 0 0}dt{color:var(--soft)}"
    "dd{margin:0;overflow-wrap:anywhere}"
    "@media(max-width:50rem){body{padding:.7rem}"
    "table,tbody,tr,td{display:block}thead{display:none}"
    "tr{border-top:1px solid var(--line);padding:.45rem 0}"
    "tr:first-child{border:0;padding-top:0}"
    "td{border:0;padding:.1rem 0 .1rem 8.2rem;min-height:1.45em;"
    "position:relative}td.n{text-align:left}"
    "dl{grid-template-columns:7.8rem 1fr}"
    "td::before{content:attr(data-title);position:absolute;left:0;"
    "width:7.8rem;color:var(--soft);font-size:.85rem}}";

/* ---- pieces ---- */

static void
add(cms_text_t *to, const char *html)
{
    cms_text_add(to, html, strlen(html));
}

static void
cell(cms_text_t *to, const char *title, const char *class)
{
    cms_text_print(to, "<td data-title=\"%s\"", title);
    if (*class) {
        cms_text_print(to, " class=\"%s\"", class);
    }
    add(to, ">");
}

static void
text_cell(cms_text_t *to, const char *title, const char *text)
{
    cell(to, title, "");
    cms_text_html(to, text);
    add(to, "</td>");
}

static void
number_cell(cms_text_t *to, const char *title, double n)
{
    cell(to, title, "n");
    cms_text_print(to, "%.0f</td>", n);
}

static const struct {
    double seconds;
    const char *name;
} units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};

/* "3 min": whole units of the largest that fits. */
static void
period(cms_text_t *to, double seconds)
{
    size_t i;

    for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (seconds >= units[i].seconds) {
            cms_text_print(to, "%lld %s",
                           (long long)(seconds / units[i].seconds),
                           units[i].name);
            return;
        }
    }
    add(to, "0 s");
}

/* How long ago, or "never". */
static void
ago(cms_text_t *to, double now, double when)
{
    if (when <= 0) {
        add(to, "never");
    } else if (now - when < 1) {
        add(to, "now");
    } else {
        period(to, now - when);
        add(to, " ago");
    }
}

static void
table(cms_text_t *to, const char *const *titles)
{
    add(to, "<table><thead><tr>");
    for (; *titles; titles++) {
        int number = **titles == '#';

        cms_text_print(to, "<th%s>%s</th>", number ? " class=\"n\"" : "",
                       *titles + number);
    }
    add(to, "</tr></thead><tbody>");
}

/* Several strings, or the member "name" of several objects, with commas. */
static void
list(cms_text_t *to, const json_t *strings)
{
    json_t *s;
    size_t i;

    json_array_foreach(strings, i, s)
    {
        add(to, i ? ", " : "");
        cms_text_html(to, json_is_object(s) ? cms_status_string(s, "name")
                                            : json_string_value(s));
    }
}

/* ---- the parts of the page ---- */

static void
problems(const json_t *status, cms_text_t *to)
{
    const json_t *all = json_object_get(status, "problems");
    json_t *problem;
    size_t i;

    if (json_array_size(all) == 0) {
        add(to, "<p class=\"fine\">No problem found.</p>");
        return;
    }
    add(to, "<ul class=\"problems\">");
    json_array_foreach(all, i, problem)
    {
        cms_text_print(to, "<li class=\"%s\">",
                       cms_status_string(problem, "level"));
        cms_text_html(to, cms_status_string(problem, "text"));
        add(to, "</li>");
    }
    add(to, "</ul>");
}

static void
address_notes(const json_t *address, cms_text_t *to)
{
    const char *host = cms_status_string(address, "host");

    if (*host) {
        add(to, "<br><span class=\"soft\">");
        cms_text_html(to, host);
        add(to, "</span>");
    }
    if (json_object_get(address, "priority")) {
        cms_text_print(to,
                       "<br><span class=\"soft\">priority %.0f, weight "
                       "%.0f</span>",
                       cms_status_number(address, "priority"),
                       cms_status_number(address, "weight"));
    }
    if (json_is_true(json_object_get(address, "backup"))) {
        add(to, "<br><span class=\"soft\">backup</span>");
    }
}

static const char *
state_title(const char *state)
{
    static const char *const titles[][2] = {
        {"active", "Active"},   {"failed", "Failed"}, {"idle", "Idle"},
        {"unknown", "Unknown"}, {"down", "Down"},
    };
    size_t i;

    for (i = 0; i < sizeof(titles) / sizeof(titles[0]); i++) {
        if (strcmp(titles[i][0], state) == 0) {
            return titles[i][1];
        }
    }
    return "";
}

static void
state_cell(const json_t *address, double now, cms_text_t *to)
{
    const char *state = cms_status_string(address, "state");
    const char *reason = cms_status_string(address, "reason");

    cell(to, "State", "");
    cms_text_print(to, "<span class=\"state %s\">%s</span>", state,
                   state_title(state));
    if (cms_status_number(address, "changed") > 0) {
        add(to, " <span class=\"soft\">for ");
        period(to, now - cms_status_number(address, "changed"));
        add(to, "</span>");
    }
    if (*reason && strcmp(state, "failed") == 0) {
        add(to, "<span class=\"why\">");
        cms_text_html(to, reason);
        add(to, "</span>");
    }
    add(to, "</td>");
}

static void
address_row(const json_t *target, const json_t *address, double now,
            cms_text_t *to)
{
    const json_t *latency = json_object_get(address, "latency");

    add(to, "<tr>");
    text_cell(to, "Target", cms_status_string(target, "target"));
    cell(to, "Address", "");
    cms_text_html(to, cms_status_string(address, "address"));
    address_notes(address, to);
    add(to, "</td>");
    state_cell(address, now, to);
    cell(to, "Last probe", "");
    ago(to, now, cms_status_number(address, "probed"));
    add(to, "</td>");
    cell(to, "Latency", "n");
    if (json_is_number(latency)) {
        cms_text_print(to, "%.1f ms", json_number_value(latency) * 1e3);
    } else {
        add(to, "–");
    }
    add(to, "</td>");
    number_cell(to, "Requests", cms_status_number(address, "requests"));
    number_cell(to, "Failures", cms_status_number(address, "failures"));
    number_cell(to, "WebSockets", cms_status_number(address, "websockets"));
    add(to, "</tr>");
}

/* A target without an address has a row as well. */
static void
empty_row(const json_t *target, cms_text_t *to)
{
    static const char *const titles[] = {"Last probe", "Latency", "Requests",
                                         "Failures", "WebSockets"};
    size_t i;

    add(to, "<tr>");
    text_cell(to, "Target", cms_status_string(target, "target"));
    text_cell(to, "Address", "none");
    cell(to, "State", "");
    add(to, "<span class=\"state failed\">No address</span></td>");
    for (i = 0; i < sizeof(titles) / sizeof(titles[0]); i++) {
        cell(to, titles[i], i ? "n" : "");
        add(to, "–</td>");
    }
    add(to, "</tr>");
}

static void
dns_line(const json_t *target, double now, cms_text_t *to)
{
    const json_t *dns = json_object_get(target, "dns");
    const char *error = cms_status_string(dns, "error");

    if (!json_is_object(dns)) {
        return;
    }
    add(to, "<p class=\"soft\">");
    cms_text_html(to, cms_status_string(target, "target"));
    add(to, ": resolved ");
    ago(to, now, cms_status_number(dns, "resolved"));
    if (*error) {
        add(to, "; <span class=\"late\">now: ");
        cms_text_html(to, error);
        add(to, "</span>");
    }
    add(to, "</p>");
}

static void
webbridge(const json_t *wb, double now, cms_text_t *to)
{
    static const char *const titles[] = {
        "Target",    "Address",   "State",       "Last probe", "#Latency",
        "#Requests", "#Failures", "#WebSockets", NULL};
    const json_t *targets = json_object_get(wb, "targets"), *addresses;
    json_t *target, *address;
    size_t i, k;

    add(to, "<section class=\"card\"><h3>");
    cms_text_html(to, cms_status_string(wb, "name"));
    add(to, "</h3><p>");
    list(to, json_object_get(wb, "guest_uris"));
    add(to, "</p>");
    json_array_foreach(targets, i, target)
    {
        dns_line(target, now, to);
    }
    table(to, titles);
    json_array_foreach(targets, i, target)
    {
        addresses = json_object_get(target, "addresses");
        json_array_foreach(addresses, k, address)
        {
            address_row(target, address, now, to);
        }
        if (json_array_size(addresses) == 0) {
            empty_row(target, to);
        }
    }
    add(to, "</tbody></table></section>");
}

static void
certificate_row(const json_t *cert, cms_text_t *to)
{
    const json_t *uris = json_object_get(cert, "guest_uris");
    double days = cms_status_number(cert, "days_left");
    json_t *entry;
    size_t i;

    add(to, "<tr>");
    cell(to, "File", "");
    cms_text_html(to, cms_status_string(cert, "file"));
    json_array_foreach(json_object_get(cert, "faults"), i, entry)
    {
        cms_text_print(to, "<span class=\"why %s\">",
                       cms_status_string(entry, "level"));
        cms_text_html(to, cms_status_string(entry, "text"));
        add(to, "</span>");
    }
    add(to, "</td>");
    cell(to, "Names", "");
    list(to, json_object_get(cert, "names"));
    add(to, "</td>");
    cell(to, "Guest URIs", "");
    json_array_foreach(uris, i, entry)
    {
        int covered = json_is_true(json_object_get(entry, "covered"));

        add(to, i ? ", " : "");
        add(to, covered ? "<span>" : "<span class=\"failed\">");
        cms_text_html(to, cms_status_string(entry, "name"));
        add(to, covered ? "</span>" : " (not covered)</span>");
    }
    add(to, "</td>");
    cell(to, "Days left", "n");
    cms_text_print(to, "%s%.0f%s</td></tr>",
                   days < 0 ? "<span class=\"failed\">" : "<span>", days,
                   "</span>");
}

static void
certificates(const json_t *status, cms_text_t *to)
{
    static const char *const titles[] = {"File", "Names", "Guest URIs",
                                         "#Days left", NULL};
    const json_t *all = json_object_get(status, "certificates");
    json_t *cert;
    size_t i;

    if (json_array_size(all) == 0) {
        return;
    }
    add(to, "<h2>Certificates</h2><section class=\"card\">");
    table(to, titles);
    json_array_foreach(all, i, cert)
    {
        certificate_row(cert, to);
    }
    add(to, "</tbody></table></section>");
}

/* ---- TURN and the shared port ---- */

static void
row(cms_text_t *to, const char *title)
{
    cms_text_print(to, "<dt>%s</dt><dd>", title);
}

static void
turn_listening(const json_t *turn, cms_text_t *to)
{
    json_t *l;
    size_t i;

    row(to, "Listening");
    json_array_foreach(json_object_get(turn, "listening"), i, l)
    {
        const char *address = cms_status_string(l, "address");
        const char *format =
            strchr(address, ':') ? "[%s]:%.0f %s" : "%s:%.0f %s";
        char text[160];

        snprintf(text, sizeof(text), format, address,
                 cms_status_number(l, "port"),
                 cms_status_string(l, "protocol"));
        add(to, i ? "<br>" : "");
        cms_text_html(to, text);
    }
    add(to, "</dd>");
}

static void
turn_counts(const json_t *turn, const char *name, const char *title,
            cms_text_t *to)
{
    const json_t *counts = json_object_get(turn, name);
    double udp = cms_status_number(counts, "udp");
    double tcp = cms_status_number(counts, "tcp");

    row(to, title);
    cms_text_print(to,
                   "%.0f <span class=\"soft\">(%.0f UDP, %.0f TCP)</span>"
                   "</dd>",
                   udp + tcp, udp, tcp);
}

static void
turn_state(const json_t *turn, const char *group, const char *name,
           const char *title, cms_text_t *to)
{
    const char *state = cms_status_string(json_object_get(turn, group), name);

    row(to, title);
    add(to, "<span class=\"state ");
    cms_text_html(to, state);
    add(to, "\">");
    cms_text_html(to, state);
    add(to, "</span></dd>");
}

static void
turn_cache(const json_t *turn, cms_text_t *to)
{
    const json_t *cache = json_object_get(turn, "cache");

    row(to, "Users in memory");
    cms_text_print(to, "%.0f <span class=\"soft\">(%s)</span></dd>",
                   cms_status_number(cache, "users"),
                   json_is_true(json_object_get(cache, "complete"))
                       ? "complete"
                       : "not known to be all");
}

static void
turn_logins(const json_t *turn, cms_text_t *to)
{
    const json_t *recent =
        json_object_get(json_object_get(turn, "logins"), "recent");

    if (!recent) {
        return;
    }
    row(to, "Logins");
    cms_text_print(to,
                   "%.0f right, %.0f wrong password, %.0f unknown name <span "
                   "class=\"soft\">(last %.0f s)</span></dd>",
                   cms_status_number(recent, "right"),
                   cms_status_number(recent, "wrong_password"),
                   cms_status_number(recent, "unknown_name"),
                   cms_status_number(recent, "seconds"));
}

static void
turn(const json_t *status, double now, cms_text_t *to)
{
    const json_t *t = json_object_get(status, "turn");
    const char *state = cms_status_string(t, "state");

    if (!t) {
        return;
    }
    add(to, "<h2>TURN</h2><section class=\"card\"><p>");
    if (strcmp(state, "unknown") == 0) {
        cms_text_html(to, cms_status_string(t, "file"));
        add(to, " <span class=\"failed\">");
        cms_text_html(to, cms_status_string(t, "error"));
        add(to, "</span></p></section>");
        return;
    }
    if (strcmp(state, "running") == 0) {
        add(to, "turnserver is <span class=\"state running\">running</span> "
                "for ");
        period(to, now - cms_status_number(t, "started"));
    } else {
        add(to, "turnserver is <span class=\"state stopped\">not running"
                "</span>; what it said last, ");
        ago(to, now, cms_status_number(t, "updated"));
        add(to, ":");
    }
    add(to, "</p><dl>");
    turn_listening(t, to);
    turn_counts(t, "clients", "Clients", to);
    turn_counts(t, "relays", "Relays", to);
    turn_state(t, "stores", "postgresql", "PostgreSQL", to);
    turn_state(t, "stores", "redis", "Redis", to);
    turn_state(t, "stores", "cli", "coturn&#39;s CLI", to);
    turn_state(t, "feed", "state", "Change feed", to);
    turn_cache(t, to);
    turn_logins(t, to);
    add(to, "</dl></section>");
}

static void
share(const json_t *status, cms_text_t *to)
{
    const json_t *s = json_object_get(status, "share");
    const json_t *counts = json_object_get(s, "connections");
    size_t i;

    if (!s) {
        return;
    }
    add(to, "<h2>Port 443</h2><section class=\"card\"><p class=\"soft\">"
            "Connections since nginx was started, by what they began with"
            "</p><dl>");
    for (i = 0; i < CMS_SHARE_OUTCOMES; i++) {
        row(to, cms_status_outcomes[i].words);
        cms_text_print(to, "%.0f</dd>",
                       cms_status_number(counts, cms_status_outcomes[i].name));
    }
    row(to, "TLS opened for a look");
    cms_text_print(to, "%.0f</dd></dl></section>",
                   cms_status_number(s, "tls_opened"));
}

void
cms_status_html(const json_t *status, cms_text_t *to)
{
    double now = cms_status_number(status, "generated");
    char time[CMS_STATUS_TIME];
    json_t *wb;
    size_t i;

    cms_status_time(now, time);
    add(to, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
            "<meta name=\"viewport\" content=\"width=device-width\">");
    cms_text_print(to, "<meta http-equiv=\"refresh\" content=\"%d\">",
                   CMS_STATUS_REFRESH_SECONDS);
    add(to, "<title>Status of cms-edge</title><style>");
    add(to, cms_status_style);
    add(to, "</style></head><body><main><h1>Status of cms-edge</h1>"
            "<p class=\"soft\">");
    add(to, time);
    cms_text_print(to, ", again every %d s</p>\n", CMS_STATUS_REFRESH_SECONDS);
    problems(status, to);
    add(to, "\n<h2>Web bridges</h2>");
    json_array_foreach(json_object_get(status, "webbridges"), i, wb)
    {
        webbridge(wb, now, to);
        add(to, "\n");
    }
    certificates(status, to);
    share(status, to);
    turn(status, now, to);
    add(to, "</main></body></html>\n");
}
