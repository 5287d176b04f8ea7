/* sources: turn_auth_plugin/statement.c */

#include "statement.h"
#include "tap.h"

#include <stdlib.h>

/* Recognises a copy of exactly len bytes, so that the sanitizer sees more. */
static struct statement recognise(const char *text, const char *const *params,
                                  int count)
{
    static char *copy;
    struct statement s;
    size_t len = strlen(text);

    free(copy);
    copy = malloc(len ? len : 1);
    memcpy(copy, text, len);
    statement_recognise(&s, copy, len, params, count);
    return s;
}

static void is_kind(const char *text, int kind)
{
    is_int((long)recognise(text, NULL, 0).kind, kind, text);
}

static void literals(void)
{
    struct statement s = recognise("select hmackey from turnusers_lt where "
                                   "name='guest' and realm='octavio.test'",
                                   NULL, 0);

    is_int((long)s.kind, STATEMENT_USER_KEY, "user key, 4.6.1");
    is_mem(s.values[0].p, s.values[0].len, "guest", "its name");
    is_mem(s.values[1].p, s.values[1].len, "octavio.test", "its realm");
    s = recognise("select value from turn_secret where realm='r'", NULL, 0);
    is_int((long)s.kind, STATEMENT_REALM_SECRETS, "secrets of a realm, 4.6.1");
    is_mem(s.values[0].p, s.values[0].len, "r", "its realm");
    s = recognise("select ikm_key,timestamp,lifetime,as_rs_alg,realm from "
                  "oauth_key where kid='k'",
                  NULL, 0);
    is_int((long)s.kind, STATEMENT_OAUTH_KEY, "OAuth key, 4.6.1");
    is_mem(s.values[0].p, s.values[0].len, "k", "its ID");
}

static void parameters(void)
{
    const char *const two[] = {"gu'est\\", "octavio.test"};
    const char *const null[] = {NULL, "r"};
    struct statement s = recognise("select hmackey from turnusers_lt where "
                                   "name=$1 and realm=$2",
                                   two, 2);

    is_int((long)s.kind, STATEMENT_USER_KEY, "user key, newest");
    is_mem(s.values[0].p, s.values[0].len, "gu'est\\", "any name is its value");
    is_mem(s.values[1].p, s.values[1].len, "octavio.test", "its realm");
    s = recognise("select hmackey from turnusers_lt where name=$2 and realm=$1",
                  two, 2);
    is_mem(s.values[1].p, s.values[1].len, "gu'est\\", "by number, not order");
    s = recognise("select value from turn_secret where realm=$1", two, 1);
    is_int((long)s.kind, STATEMENT_REALM_SECRETS, "secrets, newest");
    s = recognise("select hmackey from turnusers_lt where name=$1 and realm=$2",
                  two, 1);
    is_int((long)s.kind, STATEMENT_OTHER, "a parameter that is not there");
    s = recognise("select hmackey from turnusers_lt where name=$1 and realm=$2",
                  null, 2);
    is_int((long)s.kind, STATEMENT_OTHER, "a null parameter");
    s = recognise("select value from turn_secret where realm=$0", two, 2);
    is_int((long)s.kind, STATEMENT_OTHER, "there is no $0");
}

static void standing(void)
{
    is_kind("select value from turn_secret", STATEMENT_PING);
    is_kind("select origin,realm from turn_origin_to_realm", STATEMENT_ORIGINS);
    is_kind("select realm,opt,value from turn_realm_option",
            STATEMENT_REALM_OPTIONS);
    is_kind("select ip_range,realm from allowed_peer_ip",
            STATEMENT_ALLOWED_PEERS);
    is_kind("select ip_range,realm from denied_peer_ip",
            STATEMENT_DENIED_PEERS);
    is_kind("select ip_range,'' from denied_peer_ip", STATEMENT_DENIED_PEERS);
    is_kind("SELECT  Value\n FROM turn_secret ; ", STATEMENT_PING);
}

static void others(void)
{
    is_kind("", STATEMENT_OTHER);
    is_kind("select name,realm from turnusers_lt order by realm,name",
            STATEMENT_OTHER);
    is_kind(
        "select value,realm from turn_secret where realm='r' order by value",
        STATEMENT_OTHER);
    is_kind("insert into turn_secret (realm,value) values('r','v')",
            STATEMENT_OTHER);
    is_kind("select value from turn_secret where realm='r' or 1=1",
            STATEMENT_OTHER);
    is_kind("select value from turn_secret; drop table turn_secret",
            STATEMENT_OTHER);
}

static void quotes(void)
{
    is_kind("select value from turn_secret where realm='a''b'",
            STATEMENT_OTHER);
    is_kind("select value from turn_secret where realm='a' 'b'",
            STATEMENT_OTHER);
    is_kind("select value from turn_secret where realm='a\\'", STATEMENT_OTHER);
    is_kind("select value from turn_secret where realm='a", STATEMENT_OTHER);
    is_kind("select value from turn_secret where realm=", STATEMENT_OTHER);
    is_kind("select hmackey from turnusers_lt where name='x' and realm='y' "
            "and realm='z'",
            STATEMENT_OTHER);
}

int main(void)
{
    literals();
    parameters();
    standing();
    others();
    quotes();
    return done_testing();
}
