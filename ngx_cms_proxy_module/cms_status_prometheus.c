/*
 * The status as figures for Prometheus; see cms_status.h. One table says which
 * there are; each figure has one walk through the document, since all samples
 * of a metric stand together.
 */

#include "cms_status.h"

#include <stdio.h>
#include <string.h>

#define PREFIX "cms_edge_"

static void
head(cms_text_t *to, const char *name, const char *type, const char *help)
{
    cms_text_print(to, "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s %s\n", name,
                   help, name, type);
}

static void
label(cms_text_t *to, const char *name, const char *value)
{
    cms_text_print(to, "%s=\"", name);
    cms_text_label(to, value);
    cms_text_add(to, "\"", 1);
}

static void
sample(cms_text_t *to, const char *name, double value)
{
    cms_text_print(to, PREFIX "%s %.15g\n", name, value);
}

/* ---- addresses ---- */

typedef double figure_t(const json_t *address);

static int
is_state(const json_t *address, const char *state)
{
    return strcmp(cms_status_string(address, "state"), state) == 0;
}

static double
up(const json_t *address)
{
    return !is_state(address, "failed") && !is_state(address, "down");
}

static double
idle(const json_t *address)
{
    return is_state(address, "idle");
}

static double
probed(const json_t *address)
{
    return cms_status_number(address, "probed");
}

static double
latency(const json_t *address)
{
    return cms_status_number(address, "latency");
}

static double
requests(const json_t *address)
{
    return cms_status_number(address, "requests");
}

static double
failures(const json_t *address)
{
    return cms_status_number(address, "failures");
}

static double
websockets(const json_t *address)
{
    return cms_status_number(address, "websockets");
}

static const struct {
    const char *name;
    const char *type;
    const char *help;
    figure_t *figure;
} of_addresses[] = {
    {"target_up", "gauge",
     "Whether an address of a target has not failed and is not set down.", up},
    {"target_idle", "gauge",
     "Whether it waits: a better SRV priority has all the guests.", idle},
    {"target_last_probe_time_seconds", "gauge",
     "When it was probed last, in unix time; 0: never.", probed},
    {"target_probe_seconds", "gauge",
     "How long the last probe took that got an answer.", latency},
    {"target_requests_total", "counter", "Requests sent to it.", requests},
    {"target_failures_total", "counter",
     "Requests of these that it did not answer.", failures},
    {"target_websockets", "gauge", "Live WebSockets.", websockets},
};

static int
same(const json_t *a, const json_t *b, const char *name)
{
    return strcmp(cms_status_string(a, name), cms_status_string(b, name)) == 0;
}

/*
 * Whether an earlier line of the web bridge says the same target and has this
 * address: two samples of one name are none.
 */
static int
was_before(const json_t *targets, size_t line, const json_t *address)
{
    const json_t *target = json_array_get(targets, line), *earlier;
    json_t *other;
    size_t i, k;

    for (i = 0; i < line; i++) {
        earlier = json_array_get(targets, i);
        if (!same(earlier, target, "target")) {
            continue;
        }
        json_array_foreach(json_object_get(earlier, "addresses"), k, other)
        {
            if (same(other, address, "address")) {
                return 1;
            }
        }
    }
    return 0;
}

static void
addresses_of(const json_t *wb, const char *name, figure_t *figure,
             cms_text_t *to)
{
    const json_t *targets = json_object_get(wb, "targets");
    json_t *target, *address;
    size_t i, k;

    json_array_foreach(targets, i, target)
    {
        json_array_foreach(json_object_get(target, "addresses"), k, address)
        {
            if (was_before(targets, i, address)) {
                continue;
            }
            cms_text_print(to, PREFIX "%s{", name);
            label(to, "webbridge", cms_status_string(wb, "name"));
            label(to, ",target", cms_status_string(target, "target"));
            label(to, ",address", cms_status_string(address, "address"));
            cms_text_print(to, "} %.15g\n", figure(address));
        }
    }
}

static void
addresses(const json_t *status, cms_text_t *to)
{
    json_t *wb;
    size_t i, k;

    for (i = 0; i < sizeof(of_addresses) / sizeof(of_addresses[0]); i++) {
        head(to, of_addresses[i].name, of_addresses[i].type,
             of_addresses[i].help);
        json_array_foreach(json_object_get(status, "webbridges"), k, wb)
        {
            addresses_of(wb, of_addresses[i].name, of_addresses[i].figure, to);
        }
    }
}

/* ---- names ---- */

static int
line_was_before(const json_t *targets, size_t line)
{
    size_t i;

    for (i = 0; i < line; i++) {
        if (same(json_array_get(targets, i), json_array_get(targets, line),
                 "target")) {
            return 1;
        }
    }
    return 0;
}

static void
names(const json_t *status, cms_text_t *to)
{
    json_t *wb, *target;
    size_t i, k;

    head(to, "target_resolved_time_seconds", "gauge",
         "When DNS gave a good answer for a target last, in unix time; 0: "
         "never.");
    json_array_foreach(json_object_get(status, "webbridges"), i, wb)
    {
        const json_t *targets = json_object_get(wb, "targets");

        json_array_foreach(targets, k, target)
        {
            const json_t *dns = json_object_get(target, "dns");

            if (json_is_object(dns) && !line_was_before(targets, k)) {
                cms_text_print(to, PREFIX "target_resolved_time_seconds{");
                label(to, "webbridge", cms_status_string(wb, "name"));
                label(to, ",target", cms_status_string(target, "target"));
                cms_text_print(to, "} %.15g\n",
                               cms_status_number(dns, "resolved"));
            }
        }
    }
}

/* ---- certificates ---- */

static void
certificates(const json_t *status, cms_text_t *to)
{
    const json_t *all = json_object_get(status, "certificates");
    json_t *cert, *uri;
    size_t i, k;

    head(to, "certificate_not_after_time_seconds", "gauge",
         "When a certificate expires, in unix time.");
    json_array_foreach(all, i, cert)
    {
        cms_text_print(to, PREFIX "certificate_not_after_time_seconds{");
        label(to, "file", cms_status_string(cert, "file"));
        cms_text_print(to, "} %.15g\n", cms_status_number(cert, "not_after"));
    }
    head(to, "certificate_covers", "gauge",
         "Whether a certificate is for a guest URI that it is shown for.");
    json_array_foreach(all, i, cert)
    {
        json_array_foreach(json_object_get(cert, "guest_uris"), k, uri)
        {
            cms_text_print(to, PREFIX "certificate_covers{");
            label(to, "file", cms_status_string(cert, "file"));
            label(to, ",guest_uri", cms_status_string(uri, "name"));
            cms_text_print(to, "} %d\n",
                           json_is_true(json_object_get(uri, "covered")));
        }
    }
}

/* ---- the shared port ---- */

static void
share(const json_t *status, cms_text_t *to)
{
    const json_t *s = json_object_get(status, "share");
    const json_t *counts = json_object_get(s, "connections");
    size_t i;

    if (!s) {
        return;
    }
    head(to, "share_connections_total", "counter",
         "Connections to a shared port, by what became of them.");
    for (i = 0; i < CMS_SHARE_OUTCOMES; i++) {
        const char *name = cms_status_outcomes[i].name;

        cms_text_print(to, PREFIX "share_connections_total{");
        label(to, "outcome", name);
        cms_text_print(to, "} %.15g\n", cms_status_number(counts, name));
    }
    head(to, "share_tls_opened_total", "counter",
         "TLS to a shared port that was opened, to look for TURN in it.");
    sample(to, "share_tls_opened_total", cms_status_number(s, "tls_opened"));
}

/* ---- turn.prom ---- */

#define TURN "cms_edge_turn_"

static int
is_name_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (c >= '0' && c <= '9');
}

/* Behind the name of a metric or label that begins at p. */
static const char *
name_end(const char *p, const char *end)
{
    while (p < end && is_name_letter(*p)) {
        p++;
    }
    return p;
}

/* Behind "{name="value",...}", or NULL. */
static const char *
labels_end(const char *p, const char *end)
{
    do {
        const char *name = ++p;

        p = name_end(p, end);
        if (p == name || end - p < 3 || p[0] != '=' || p[1] != '"') {
            return NULL;
        }
        for (p += 2; p < end && *p != '"'; p++) {
            if (*p == '\\' && ++p == end) {
                return NULL;
            }
            if (p < end && (unsigned char)*p < ' ') {
                return NULL;
            }
        }
        p++;
    } while (p < end && *p == ',');
    return p < end && *p == '}' ? p + 1 : NULL;
}

static int
is_value(const char *p, size_t len)
{
    size_t i;

    if (len == 4 && (memcmp(p, "+Inf", 4) == 0 || memcmp(p, "-Inf", 4) == 0)) {
        return 1;
    }
    if (len == 3 && memcmp(p, "NaN", 3) == 0) {
        return 1;
    }
    for (i = 0; i < len; i++) {
        if (!strchr("0123456789.eE+-", p[i]) || p[i] == '\0') {
            return 0;
        }
    }
    return len > 0 && len < 64 && p[len - 1] >= '0' && p[len - 1] <= '9';
}

static int
is_plugins(const char *p, const char *end)
{
    return (size_t)(end - p) > strlen(TURN) &&
           memcmp(p, TURN, strlen(TURN)) == 0;
}

/* "# HELP name text" or "# TYPE name kind" */
static int
is_comment(const char *p, const char *end)
{
    if (end - p < 8 ||
        (memcmp(p, "# HELP ", 7) != 0 && memcmp(p, "# TYPE ", 7) != 0)) {
        return 0;
    }
    if (!is_plugins(p + 7, end)) {
        return 0;
    }
    for (; p < end; p++) {
        if ((unsigned char)*p < ' ' || (unsigned char)*p > '~') {
            return 0;
        }
    }
    return 1;
}

static int
is_line(const char *p, const char *end)
{
    if (*p == '#') {
        return is_comment(p, end);
    }
    if (!is_plugins(p, end)) {
        return 0;
    }
    p = name_end(p, end);
    if (p < end && *p == '{') {
        p = labels_end(p, end);
    }
    return p && p < end && *p == ' ' && is_value(p + 1, (size_t)(end - p - 1));
}

int
cms_status_is_turn_prom(const char *text, size_t len)
{
    const char *p = text, *last = text + len;

    while (p < last) {
        const char *end = memchr(p, '\n', (size_t)(last - p));

        if (!end || end == p || !is_line(p, end)) {
            return 0;
        }
        p = end + 1;
    }
    return len > 0;
}

static void
turn_running(const json_t *status, cms_text_t *to)
{
    const json_t *turn = json_object_get(status, "turn");

    if (turn) {
        head(to, "status_turn_running", "gauge",
             "Whether turnserver with the plugin is running.");
        sample(to, "status_turn_running", is_state(turn, "running"));
    }
}

void
cms_status_prometheus(const json_t *status, const char *turn, size_t turn_len,
                      cms_text_t *to)
{
    head(to, "problems", "gauge", "Problems that the status page tells of.");
    sample(to, "problems",
           (double)json_array_size(json_object_get(status, "problems")));
    addresses(status, to);
    names(status, to);
    certificates(status, to);
    share(status, to);
    turn_running(status, to);
    if (turn && cms_status_is_turn_prom(turn, turn_len)) {
        cms_text_add(to, turn, turn_len);
    }
}
