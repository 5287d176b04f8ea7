/* sources: turn_auth_plugin/host_list.c */

#include "host_list.h"
#include "tap.h"

#include <stdlib.h>

static void begins(const char *list, size_t i, const char *want)
{
    char *got = host_list_from(list, i);

    ok(got && strcmp(got, want) == 0, want);
    free(got);
}

int main(void)
{
    is_int((long)host_list_count(NULL), 0, "no list");
    is_int((long)host_list_count(""), 1, "one empty entry");
    is_int((long)host_list_count("db1"), 1, "one");
    is_int((long)host_list_count("db1,,db3"), 3, "three");

    is_int(host_list_has(NULL, 1, "5432"), 1, "no list: anything goes");
    is_int(host_list_has("5432", 7, "5432"), 1, "one entry stands for all");
    is_int(host_list_has("5432", 7, "5433"), 0, "... but only itself");
    is_int(host_list_has("a,b,c", 1, "b"), 1, "its place");
    is_int(host_list_has("a,b,c", 2, "b"), 0, "another place");
    is_int(host_list_has("a,bb", 1, "b"), 0, "whole entries only");
    is_int(host_list_has("a,,c", 1, ""), 1, "an empty one");

    ok(!host_list_from(NULL, 1), "nothing from nothing");
    begins("a", 1, "a");
    begins("a,b", 1, "b,a");
    begins("a,b,c", 0, "a,b,c");
    begins("a,b,c", 1, "b,c,a");
    begins("a,b,c", 2, "c,a,b");
    begins("a,b,c", 3, "a,b,c");
    begins("a,,c", 1, ",c,a");
    begins("a,b,", 2, ",a,b");
    return done_testing();
}
