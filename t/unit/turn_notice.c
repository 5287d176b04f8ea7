/* sources: turn_auth_plugin/notice.c */

#include "notice.h"
#include "tap.h"

#include <unistd.h>

/* What notice() writes to stderr. */
static void says(const char *text, const char *want, const char *name)
{
    char line[1024];
    int ends[2], before = dup(STDERR_FILENO);
    ssize_t n;

    if (pipe(ends) != 0 || dup2(ends[1], STDERR_FILENO) < 0) {
        ok(0, "a pipe");
        return;
    }
    notice("%s", text);
    dup2(before, STDERR_FILENO);
    close(before);
    close(ends[1]);
    n = read(ends[0], line, sizeof(line));
    close(ends[0]);
    is_mem(line, n > 0 ? (size_t)n : 0, want, name);
}

int main(void)
{
    says("gone", "turn_auth_plugin: gone\n", "a line");
    says("db \xc3\xbc", "turn_auth_plugin: db \xc3\xbc\n", "UTF-8 stays");
    says("a\nturn_auth_plugin: b\r\tc",
         "turn_auth_plugin: a turn_auth_plugin: "
         "b  c\n",
         "what is quoted makes no line of its own");
    says("\x1b]0;x\x07\x7f", "turn_auth_plugin: ?]0;x??\n",
         "and tells no terminal what to do");
    return done_testing();
}
