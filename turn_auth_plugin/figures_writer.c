/*
 * One thread that writes two small files; see figures_writer.h.
 */

#include "figures_writer.h"

#include "figures_text.h"
#include "monotonic.h"
#include "notice.h"
#include "own_thread.h"
#include "recent_logins.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PERIOD_MS 2000
/* turnserver has opened all its listeners by then. */
#define LEARN_MS 10000
/* Whoever shows the figures is another user than coturn's. */
#define FILE_MODE 0644

static struct {
    pthread_mutex_t lock; /* of running */
    int running;
    const struct settings *settings;
    pthread_t thread;
    int stop_fd;

    /* All below belongs to the thread. */
    struct figures_page page;
    struct recent_logins recent;
    int64_t begun_ms;
    int told; /* a line said that they cannot be written */
    char text[FIGURES_TEXT];
} writer = {.lock = PTHREAD_MUTEX_INITIALIZER};

static double unix_time(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- one file ---- */

static int write_all(int fd, const char *p, size_t n)
{
    ssize_t written;

    while (n > 0) {
        written = write(fd, p, n);
        if (written < 0 && errno != EINTR) {
            return -1;
        }
        p += written > 0 ? written : 0;
        n -= written > 0 ? (size_t)written : 0;
    }
    return 0;
}

/*
 * Whole or not at all, for whoever reads it and whenever turnserver ends: under
 * another name, then renamed; one that was killed may have left that behind. 0,
 * or -1 with errno.
 */
static int write_file(const char *name, size_t n)
{
    char path[SETTING_TEXT + 32], new_path[SETTING_TEXT + 40];
    int fd, error;

    snprintf(path, sizeof(path), "%s/%s", writer.settings->figures_dir, name);
    snprintf(new_path, sizeof(new_path), "%s.new", path);
    unlink(new_path);
    fd = open(new_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);
    if (fd < 0) {
        return -1;
    }
    error = fchmod(fd, FILE_MODE) != 0 || write_all(fd, writer.text, n) != 0
                ? errno
                : 0;
    close(fd);
    if (!error && rename(new_path, path) == 0) {
        return 0;
    }
    error = error ? error : errno;
    unlink(new_path);
    errno = error;
    return -1;
}

/* ---- every two seconds ---- */

/*
 * Who has not made the directory that the systemd example makes, and set no
 * other, wants no figures.
 */
static int is_wanted(void)
{
    return errno != ENOENT ||
           strcmp(writer.settings->figures_dir, FIGURES_DIR) != 0;
}

static void tell(int failed)
{
    const char *dir = writer.settings->figures_dir;

    if (failed && !is_wanted()) {
        return;
    }
    if (failed && !writer.told) {
        notice("figures_dir %s: %s; no figures are written", dir,
               strerror(errno));
    } else if (!failed && writer.told) {
        notice("figures_dir %s: figures are written again", dir);
    }
    writer.told = failed;
}

static uint16_t cli_port(void)
{
    const char *colon = strrchr(writer.settings->cli, ':');

    return (uint16_t)(colon ? atoi(colon + 1) : 0);
}

static void write_figures(void)
{
    struct figures_page *page = &writer.page;
    int failed;

    page->now_ms = monotonic_ms();
    page->updated = unix_time();
    figures_read(&page->figures);
    page->recent_seconds =
        recent_logins_at(&writer.recent, page->now_ms, page->figures.logins,
                         page->recent_logins);
    own_sockets_count(&page->sockets, page->now_ms - writer.begun_ms < LEARN_MS,
                      cli_port());
    failed = write_file("turn.prom", figures_prom(writer.text, page)) != 0 ||
             write_file("turn.json", figures_json(writer.text, page)) != 0;
    tell(failed);
}

static void *run(void *arg)
{
    struct pollfd stop = {.fd = writer.stop_fd, .events = POLLIN};

    (void)arg;
    do {
        write_figures();
    } while (poll(&stop, 1, PERIOD_MS) <= 0);
    return NULL;
}

/* ---- starting and stopping ---- */

static int start(const struct settings *s)
{
    writer.settings = s;
    writer.stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    writer.begun_ms = monotonic_ms();
    writer.page.pid = (long)getpid();
    writer.page.started = unix_time();
    if (writer.stop_fd < 0 ||
        own_thread_start(&writer.thread, "turn-auth-figur", run, NULL) != 0) {
        notice("no thread: no figures are written");
        return -1;
    }
    return 0;
}

int figures_start(const struct settings *s)
{
    int result = 0;

    pthread_mutex_lock(&writer.lock);
    if (s->figures_dir[0] && !writer.running) {
        result = start(s);
        writer.running = result == 0;
    }
    pthread_mutex_unlock(&writer.lock);
    return result;
}

void figures_stop(void)
{
    uint64_t one = 1;

    pthread_mutex_lock(&writer.lock);
    if (writer.running && write(writer.stop_fd, &one, sizeof(one)) > 0) {
        pthread_join(writer.thread, NULL);
        close(writer.stop_fd);
        writer.running = 0;
    }
    pthread_mutex_unlock(&writer.lock);
}
