/*
 * What is wrong, in one line each, in the words of the problem; see
 * cms_status.h.
 */

#include "cms_status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define TEXT_MAX 512

const char *
cms_status_string(const json_t *in, const char *name)
{
    const char *s = json_string_value(json_object_get(in, name));

    return s ? s : "";
}

double
cms_status_number(const json_t *in, const char *name)
{
    return json_number_value(json_object_get(in, name));
}

void
cms_status_time(double unix_time, char text[CMS_STATUS_TIME])
{
    time_t t = (time_t)unix_time;
    struct tm tm;

    if (!(unix_time >= 0 && unix_time < 1e11) || !gmtime_r(&t, &tm) ||
        strftime(text, CMS_STATUS_TIME, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0) {
        snprintf(text, CMS_STATUS_TIME, "an unknown time");
    }
}

/* Errors stand before warnings, each in the order in which they were found. */
__attribute__((format(printf, 3, 4))) static void
add(json_t *problems, const char *level, const char *format, ...)
{
    char text[TEXT_MAX];
    va_list args;
    size_t at = json_array_size(problems);
    json_t *problem;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    /* cut within a letter of several bytes it would be no JSON string */
    while (!(problem = json_pack("{s:s, s:s}", "level", level, "text", text))) {
        if (!*text) {
            return;
        }
        text[strlen(text) - 1] = '\0';
    }
    while (strcmp(level, "error") == 0 && at > 0 &&
           strcmp(cms_status_string(json_array_get(problems, at - 1), "level"),
                  "error") != 0) {
        at--;
    }
    json_array_insert_new(problems, at, problem);
}

/* ---- web bridges ---- */

typedef struct {
    size_t all;          /* addresses that are not set down */
    size_t failed;       /* of these */
    const json_t *first; /* one that failed */
    size_t same;         /* failed for the same reason as the first */
} count_t;

static count_t
count(const json_t *webbridge)
{
    count_t n = {0, 0, NULL, 0};
    json_t *target, *address;
    size_t i, k;

    json_array_foreach(json_object_get(webbridge, "targets"), i, target)
    {
        json_array_foreach(json_object_get(target, "addresses"), k, address)
        {
            const char *state = cms_status_string(address, "state");

            n.all += strcmp(state, "down") != 0;
            if (strcmp(state, "failed") != 0) {
                continue;
            }
            n.failed++;
            n.first = n.first ? n.first : address;
            n.same += strcmp(cms_status_string(address, "reason"),
                             cms_status_string(n.first, "reason")) == 0;
        }
    }
    return n;
}

static void
failures(json_t *problems, const json_t *webbridge)
{
    const char *name = cms_status_string(webbridge, "name");
    count_t n = count(webbridge);
    const char *reason = cms_status_string(n.first, "reason");
    const char *address = cms_status_string(n.first, "address");
    char others[64] = "";

    if (n.failed == 0) {
        return;
    }
    if (n.failed > n.same) {
        snprintf(others, sizeof(others), ", and others for other reasons");
    }
    if (n.failed < n.all) {
        add(problems, "warning", "%zu of %zu targets of %s failed: %s (%s)%s",
            n.failed, n.all, name, reason, address, others);
    } else if (n.all == 1) {
        add(problems, "error", "the target of %s failed: %s (%s)", name, reason,
            address);
    } else {
        add(problems, "error", "all %zu targets of %s failed: %s (%s)%s", n.all,
            name, reason, address, others);
    }
}

static void
names(json_t *problems, const json_t *webbridge)
{
    json_t *target;
    size_t i;

    json_array_foreach(json_object_get(webbridge, "targets"), i, target)
    {
        const json_t *dns = json_object_get(target, "dns");
        const char *error = cms_status_string(dns, "error");
        int has = json_array_size(json_object_get(target, "addresses")) > 0;

        if (!*error) {
            continue;
        }
        add(problems, has ? "warning" : "error",
            "target %s of %s does not resolve: %s%s",
            cms_status_string(target, "target"),
            cms_status_string(webbridge, "name"), error,
            has ? "; its last known addresses are used" : "");
    }
}

/* ---- certificates ---- */

static void
certificate(json_t *problems, const json_t *cert)
{
    const char *file = cms_status_string(cert, "file");
    json_t *entry;
    size_t i;

    json_array_foreach(json_object_get(cert, "guest_uris"), i, entry)
    {
        if (!json_is_true(json_object_get(entry, "covered"))) {
            add(problems, "error",
                "guest URI %s is not covered by its certificate %s: browsers "
                "refuse it",
                cms_status_string(entry, "name"), file);
        }
    }
    json_array_foreach(json_object_get(cert, "faults"), i, entry)
    {
        const json_t *uri =
            json_array_get(json_object_get(cert, "guest_uris"), 0);

        add(problems, cms_status_string(entry, "level"),
            "certificate %s of %s %s", file, cms_status_string(uri, "name"),
            cms_status_string(entry, "text"));
    }
}

/* ---- TURN ---- */

typedef struct {
    const char *group;
    const char *name;
    const char *state;
    const char *text;
} turn_problem_t;

static const turn_problem_t turn_problems[] = {
    {"stores", "postgresql", "away",
     "TURN: PostgreSQL is away; known users go on, new ones and changes are "
     "not seen"},
    {"stores", "redis", "away",
     "TURN: Redis is away; users are looked up in PostgreSQL alone"},
    {"stores", "cli", "away",
     "TURN: coturn's CLI is away; live relays of revoked users are not closed"},
    {"feed", "state", "broken",
     "TURN: the feed of changes from PostgreSQL is broken; revoked users are "
     "refused late"},
};

/*
 * Wrong passwords are of users that exist: somebody should know. Unknown names
 * are tried by strangers all the time, and tell something only where nobody
 * logs in rightly.
 */
static void
logins(json_t *problems, const json_t *t)
{
    const json_t *recent =
        json_object_get(json_object_get(t, "logins"), "recent");
    double wrong = cms_status_number(recent, "wrong_password");
    double unknown = cms_status_number(recent, "unknown_name");
    double seconds = cms_status_number(recent, "seconds");

    if (wrong > 0) {
        add(problems, "warning",
            "TURN: %.0f login%s with a wrong password in the last %.0f s; "
            "coturn's log names the user",
            wrong, wrong > 1 ? "s" : "", seconds);
    }
    if (unknown > 0 && cms_status_number(recent, "right") == 0) {
        add(problems, "warning",
            "TURN: %.0f login%s with an unknown name and none that is right in "
            "the last %.0f s; coturn's log names the user",
            unknown, unknown > 1 ? "s" : "", seconds);
    }
}

static void
turn(json_t *problems, const json_t *t)
{
    const char *state = cms_status_string(t, "state");
    char since[CMS_STATUS_TIME];
    size_t i;

    if (strcmp(state, "unknown") == 0) {
        add(problems, "error", "TURN: %s %s", cms_status_string(t, "file"),
            cms_status_string(t, "error"));
        return;
    }
    if (strcmp(state, "stopped") == 0) {
        cms_status_time(cms_status_number(t, "updated"), since);
        add(problems, "error", "TURN: turnserver is not running since %s",
            since);
        return;
    }
    for (i = 0; i < sizeof(turn_problems) / sizeof(turn_problems[0]); i++) {
        const turn_problem_t *p = &turn_problems[i];

        if (strcmp(cms_status_string(json_object_get(t, p->group), p->name),
                   p->state) == 0) {
            add(problems, "warning", "%s", p->text);
        }
    }
    logins(problems, t);
}

void
cms_status_problems(json_t *status)
{
    json_t *problems = json_array(), *entry;
    size_t i;

    json_array_foreach(json_object_get(status, "webbridges"), i, entry)
    {
        failures(problems, entry);
        names(problems, entry);
    }
    json_array_foreach(json_object_get(status, "certificates"), i, entry)
    {
        certificate(problems, entry);
    }
    if (json_object_get(status, "turn")) {
        turn(problems, json_object_get(status, "turn"));
    }
    json_object_set_new(status, "problems", problems);
}
