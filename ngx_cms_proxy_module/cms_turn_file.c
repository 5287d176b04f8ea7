/*
 * Reading of turn.json; see cms_turn_file.h. One table says which members are
 * taken and what each may be.
 */

#include "cms_turn_file.h"

#include <stdio.h>
#include <string.h>

/* More than any edge has: what a damaged or hostile file may cost. */
#define LISTENERS_MAX 64
#define COUNTERS_MAX 64
#define WORD_MAX 64

typedef enum {
    NUMBER,         /* 0 or more */
    NUMBER_OR_NULL, /* the same, or null */
    BOOLEAN,
    WORD, /* printable ASCII */
} kind_t;

static const char *const kind_names[] = {
    [NUMBER] = "a number",
    [NUMBER_OR_NULL] = "a number or null",
    [BOOLEAN] = "true or false",
    [WORD] = "a word",
};

typedef struct {
    const char *group; /* the object that it is in, "a.b" is b in a; "" is the
                          file itself */
    const char *name;
    kind_t kind;
    int required;
} member_t;

static const member_t members[] = {
    {"", "started", NUMBER, 1},
    {"", "updated", NUMBER, 1},
    {"", "version", WORD, 0},
    {"", "pid", NUMBER, 0},
    {"clients", "tcp", NUMBER, 0},
    {"clients", "udp", NUMBER, 0},
    {"relays", "tcp", NUMBER, 0},
    {"relays", "udp", NUMBER, 0},
    {"stores", "postgresql", WORD, 0},
    {"stores", "redis", WORD, 0},
    {"stores", "cli", WORD, 0},
    {"cache", "users", NUMBER, 0},
    {"cache", "absent", NUMBER, 0},
    {"cache", "bytes", NUMBER, 0},
    {"cache", "complete", BOOLEAN, 0},
    {"feed", "state", WORD, 0},
    {"feed", "lag", NUMBER_OR_NULL, 0},
    {"logins", "right", NUMBER, 0},
    {"logins", "wrong_password", NUMBER, 0},
    {"logins", "unknown_name", NUMBER, 0},
    {"logins", "unanswered", NUMBER, 0},
    {"logins.recent", "seconds", NUMBER, 0},
    {"logins.recent", "right", NUMBER, 0},
    {"logins.recent", "wrong_password", NUMBER, 0},
    {"logins.recent", "unknown_name", NUMBER, 0},
    {"logins.recent", "unanswered", NUMBER, 0},
};
#define MEMBERS (sizeof(members) / sizeof(members[0]))

static int
is_word(const json_t *value)
{
    const char *p = json_string_value(value);
    size_t i, len = json_string_length(value);

    for (i = 0; p && i < len; i++) {
        if (p[i] <= ' ' || p[i] > '~') {
            return 0;
        }
    }
    return p && len && len <= WORD_MAX;
}

static int
is_kind(const json_t *value, kind_t kind)
{
    switch (kind) {
    case NUMBER_OR_NULL:
        if (json_is_null(value)) {
            return 1;
        }
        /* fall through */
    case NUMBER:
        return json_is_number(value) && json_number_value(value) >= 0 &&
               json_number_value(value) < 1e18;
    case BOOLEAN:
        return json_is_boolean(value);
    default:
        return is_word(value);
    }
}

static int
damaged(char *error, const char *group, const char *name, kind_t kind)
{
    snprintf(error, CMS_TURN_ERROR, "is damaged: \"%s%s%s\" should be %s",
             group, *group ? "." : "", name, kind_names[kind]);
    return -1;
}

/*
 * The object of this group in "in": NULL where it is not there, or, with make,
 * a new one.
 */
static json_t *
group_of(json_t *in, const char *group, int make)
{
    while (in && *group) {
        size_t n = strcspn(group, ".");
        char name[WORD_MAX];
        json_t *found;

        snprintf(name, sizeof(name), "%.*s", (int)n, group);
        found = json_object_get(in, name);
        if (!found && make) {
            found = json_object();
            json_object_set_new(in, name, found);
        }
        in = found;
        group += n + (group[n] == '.');
    }
    return in;
}

static int
copy_members(json_t *to, json_t *from, char *error)
{
    size_t i;

    for (i = 0; i < MEMBERS; i++) {
        const member_t *m = &members[i];
        json_t *value = json_object_get(group_of(from, m->group, 0), m->name);

        if (!value && !m->required) {
            continue;
        }
        if (!value || !is_kind(value, m->kind)) {
            return damaged(error, m->group, m->name, m->kind);
        }
        json_object_set(group_of(to, m->group, 1), m->name, value);
    }
    return 0;
}

static int
copy_listeners(json_t *to, const json_t *from, char *error)
{
    static const member_t parts[] = {{"listening", "protocol", WORD, 1},
                                     {"listening", "address", WORD, 1},
                                     {"listening", "port", NUMBER, 1}};
    json_t *copies = json_array(), *listener;
    size_t i, k;

    json_object_set_new(to, "listening", copies);
    json_array_foreach(json_object_get(from, "listening"), i, listener)
    {
        json_t *copy = json_object();

        json_array_append_new(copies, copy);
        for (k = 0; k < 3; k++) {
            json_t *value = json_object_get(listener, parts[k].name);

            if (i >= LISTENERS_MAX || !is_kind(value, parts[k].kind)) {
                return damaged(error, "listening", parts[k].name,
                               parts[k].kind);
            }
            json_object_set(copy, parts[k].name, value);
        }
    }
    return 0;
}

static int
copy_counters(json_t *to, json_t *from, char *error)
{
    json_t *copies = json_object(), *value;
    const char *name;
    size_t n = 0;

    json_object_set_new(to, "counters", copies);
    json_object_foreach(json_object_get(from, "counters"), name, value)
    {
        if (n++ >= COUNTERS_MAX || !is_kind(value, NUMBER) ||
            strspn(name, "abcdefghijklmnopqrstuvwxyz_") != strlen(name)) {
            return damaged(error, "counters", "*", NUMBER);
        }
        json_object_set(copies, name, value);
    }
    return 0;
}

json_t *
cms_turn_file(const char *text, size_t len, double now,
              char error[CMS_TURN_ERROR])
{
    json_error_t where;
    json_t *file, *turn;

    file = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);
    if (!json_is_object(file)) {
        snprintf(error, CMS_TURN_ERROR, "is damaged: no JSON object (line %d)",
                 file ? 1 : where.line);
        json_decref(file);
        return NULL;
    }
    turn = json_object();
    if (copy_members(turn, file, error) != 0 ||
        copy_listeners(turn, file, error) != 0 ||
        copy_counters(turn, file, error) != 0) {
        json_decref(turn);
        turn = NULL;
    } else {
        double updated = json_number_value(json_object_get(turn, "updated"));

        json_object_set_new(turn, "state",
                            json_string(now - updated > CMS_TURN_FILE_OLD
                                            ? "stopped"
                                            : "running"));
    }
    json_decref(file);
    return turn;
}
