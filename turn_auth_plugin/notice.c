/*
 * Where lines go; see notice.h.
 */

#include "notice.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <syslog.h>
#include <unistd.h>

#define PREFIX "turn_auth_plugin: "

static int stderr_is_read(void)
{
    struct stat st;

    if (fstat(STDERR_FILENO, &st) != 0) {
        return 0;
    }
    /* 1:3 is /dev/null, where a daemon's stderr points. */
    return !S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3);
}

/* What others say is quoted in lines; it must not look like one of its own. */
static void blank_controls(char *c)
{
    for (; *c; c++) {
        if (*c == '\n' || *c == '\r' || *c == '\t') {
            *c = ' ';
        } else if ((unsigned char)*c < ' ' || *c == 0x7f) {
            *c = '?';
        }
    }
}

void notice(const char *format, ...)
{
    char line[768] = PREFIX;
    va_list args;
    size_t n;

    va_start(args, format);
    vsnprintf(line + strlen(PREFIX), sizeof(line) - sizeof(PREFIX) - 1, format,
              args);
    va_end(args);
    blank_controls(line);
    if (!stderr_is_read()) {
        syslog(LOG_DAEMON | LOG_NOTICE, "%s", line);
        return;
    }
    n = strlen(line);
    line[n++] = '\n';
    if (write(STDERR_FILENO, line, n) < 0) {
        return;
    }
}
