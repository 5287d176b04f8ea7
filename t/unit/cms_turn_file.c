/* sources: ngx_cms_proxy_module/cms_turn_file.c */

/* turn.json as the status page takes it: what is known, of the right kind. */

#include "cms_turn_file.h"
#include "tap.h"

#include <stdlib.h>

#define NOW 1795384049.0

/* Reads an exact allocation, so that the sanitizer sees each step too far. */
static json_t *
take(const char *text, char *error)
{
    size_t len = strlen(text);
    char *copy = malloc(len ? len : 1);
    json_t *turn;

    memcpy(copy, text, len);
    error[0] = '\0';
    turn = cms_turn_file(copy, len, NOW, error);
    free(copy);
    return turn;
}

static void
is_taken(const char *text, const char *want, const char *title)
{
    char error[CMS_TURN_ERROR];
    json_t *turn = take(text, error);
    char *got = json_dumps(turn, JSON_COMPACT | JSON_SORT_KEYS);

    if (!ok(got && strcmp(got, want) == 0, "%s", title)) {
        printf("#   got %s %s\n", got ? got : "nothing", error);
    }
    free(got);
    json_decref(turn);
}

static void
is_damaged(const char *text, const char *want, const char *title)
{
    char error[CMS_TURN_ERROR];
    json_t *turn = take(text, error);

    ok(!turn, "damaged: %s", title);
    is_mem(error, strlen(error), want, "... in words");
    json_decref(turn);
}

#define TIMES "\"started\": 1795380000, \"updated\": 1795384040"

static void
test_taken(void)
{
    is_taken("{" TIMES "}",
             "{\"counters\":{},\"listening\":[],\"started\":1795380000,"
             "\"state\":\"running\",\"updated\":1795384040}",
             "the least there is");
    is_taken("{\"started\": 1, \"updated\": 1795384038}",
             "{\"counters\":{},\"listening\":[],\"started\":1,"
             "\"state\":\"stopped\",\"updated\":1795384038}",
             "older than ten seconds: stopped");
    is_taken("{" TIMES ", \"status\": \"x\", \"more\": [[]],"
             " \"clients\": {\"udp\": 3, \"other\": null}}",
             "{\"clients\":{\"udp\":3},\"counters\":{},\"listening\":[],"
             "\"started\":1795380000,\"state\":\"running\","
             "\"updated\":1795384040}",
             "what is not known is left out");
    is_taken("{" TIMES ", \"feed\": {\"state\": \"none\", \"lag\": null},"
             " \"cache\": {\"complete\": false}, \"counters\": {\"a_b\": 7},"
             " \"listening\": [{\"protocol\": \"udp\", \"address\": \"::1\","
             " \"port\": 3478, \"x\": 1}]}",
             "{\"cache\":{\"complete\":false},\"counters\":{\"a_b\":7},"
             "\"feed\":{\"lag\":null,\"state\":\"none\"},"
             "\"listening\":[{\"address\":\"::1\",\"port\":3478,"
             "\"protocol\":\"udp\"}],\"started\":1795380000,"
             "\"state\":\"running\",\"updated\":1795384040}",
             "groups, lists, null where it may be");
}

static void
test_groups(void)
{
    is_taken("{" TIMES ", \"logins\": {\"right\": 3, \"recent\":"
             " {\"seconds\": 60, \"right\": 2}}}",
             "{\"counters\":{},\"listening\":[],\"logins\":{\"recent\":"
             "{\"right\":2,\"seconds\":60},\"right\":3},"
             "\"started\":1795380000,\"state\":\"running\","
             "\"updated\":1795384040}",
             "a group in a group");
    is_damaged("{" TIMES ", \"logins\": {\"recent\": {\"right\": []}}}",
               "is damaged: \"logins.recent.right\" should be a number",
               "a list in a group in a group");
}

static void
test_damaged(void)
{
    is_damaged("", "is damaged: no JSON object (line 1)", "empty");
    is_damaged("{\n\n\"a\"", "is damaged: no JSON object (line 3)", "cut off");
    is_damaged("[]", "is damaged: no JSON object (line 1)", "a list");
    is_damaged("{\"updated\": 1, \"updated\": 2, \"started\": 1}",
               "is damaged: no JSON object (line 1)", "a member twice");
    is_damaged("{\"updated\": 1}", "is damaged: \"started\" should be a number",
               "no start");
    is_damaged("{\"started\": 1, \"updated\": -1}",
               "is damaged: \"updated\" should be a number", "less than 0");
    is_damaged("{\"started\": 1, \"updated\": 1e300}",
               "is damaged: \"updated\" should be a number", "no time");
    is_damaged("{" TIMES ", \"relays\": {\"tcp\": \"1\"}}",
               "is damaged: \"relays.tcp\" should be a number", "a text");
    is_damaged("{" TIMES ", \"cache\": {\"complete\": 1}}",
               "is damaged: \"cache.complete\" should be true or false",
               "a number");
    is_damaged("{" TIMES ", \"stores\": {\"redis\": \"a b\"}}",
               "is damaged: \"stores.redis\" should be a word", "two words");
    is_damaged("{" TIMES ", \"stores\": {\"redis\": \"\"}}",
               "is damaged: \"stores.redis\" should be a word", "no word");
    is_damaged("{" TIMES ", \"listening\": [1]}",
               "is damaged: \"listening.protocol\" should be a word",
               "no listener");
    is_damaged("{" TIMES ", \"counters\": {\"a\\\"\": 1}}",
               "is damaged: \"counters.*\" should be a number",
               "a name that is none");
}

static void
test_bounds(void)
{
    char text[16384], error[CMS_TURN_ERROR];
    size_t n = (size_t)sprintf(text, "{" TIMES ", \"listening\": [");
    int i;

    for (i = 0; i < 65; i++) {
        n += (size_t)sprintf(text + n,
                             "%s{\"protocol\":\"udp\",\"address\":\"a\","
                             "\"port\":%d}",
                             i ? "," : "", i);
    }
    sprintf(text + n, "]}");
    ok(!take(text, error), "more listeners than any edge has");
    n = (size_t)sprintf(text, "{" TIMES ", \"counters\": {");
    for (i = 0; i < 65; i++) {
        n += (size_t)sprintf(text + n, "%s\"%c%c\":%d", i ? "," : "",
                             'a' + i / 26, 'a' + i % 26, i);
    }
    sprintf(text + n, "}}");
    ok(!take(text, error), "more counters");
    memset(text, '[', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    ok(!take(text, error), "deep nesting");
}

int
main(void)
{
    test_taken();
    test_damaged();
    test_groups();
    test_bounds();
    return done_testing();
}
