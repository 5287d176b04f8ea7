/*
 * Mode before content; see secret_file.h.
 */

#include "secret_file.h"

#include "secret_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Checked on the open file: what is read is what was checked. */
static int check(int fd, const char *path, char *error, size_t size)
{
    struct stat st;
    unsigned mode;

    if (fstat(fd, &st) != 0) {
        snprintf(error, size, "cannot be read (%s), expected a file",
                 strerror(errno));
        return -1;
    }
    mode = (unsigned)st.st_mode & 07777;
    if (!S_ISREG(st.st_mode)) {
        snprintf(error, size, "is no regular file, expected one");
        return -1;
    }
    if (mode & (S_IROTH | S_IWOTH)) {
        snprintf(error, size,
                 "may be %s by others (mode %04o), expected mode %04o: "
                 "chmod o= %s",
                 mode & S_IROTH ? "read" : "written", mode, mode & 0770, path);
        return -1;
    }
    return 0;
}

static int read_all(int fd, char *text, size_t *len, char *error, size_t size)
{
    ssize_t n;

    *len = 0;
    do {
        n = read(fd, text + *len, SECRET_FILE_SIZE - *len);
        *len += n > 0 ? (size_t)n : 0;
    } while (n > 0 || (n < 0 && errno == EINTR));
    if (n < 0) {
        snprintf(error, size, "cannot be read (%s), expected a file",
                 strerror(errno));
    } else if (*len == 0) {
        snprintf(error, size, "is empty, expected a secret in it");
    } else if (*len == SECRET_FILE_SIZE) {
        snprintf(error, size, "is too long, expected less than %d bytes",
                 SECRET_FILE_SIZE);
    } else {
        return 0;
    }
    return -1;
}

static char *read_checked(int fd, const char *path, size_t *len, char *error,
                          size_t size)
{
    char *text;

    if (check(fd, path, error, size) != 0) {
        return NULL;
    }
    text = secret_memory_get(SECRET_FILE_SIZE);
    if (!text) {
        snprintf(error, size, "cannot be read, expected more free memory");
        return NULL;
    }
    if (read_all(fd, text, len, error, size) != 0) {
        secret_memory_give_back(text, SECRET_FILE_SIZE);
        return NULL;
    }
    return text;
}

char *secret_file_read(const char *path, size_t *len, char *error,
                       size_t error_size)
{
    /* Not to hang where somebody made a FIFO. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char *text;

    if (fd < 0) {
        snprintf(error, error_size,
                 "cannot be read (%s), expected a file that turnserver may "
                 "read",
                 strerror(errno));
        return NULL;
    }
    text = read_checked(fd, path, len, error, error_size);
    close(fd);
    return text;
}
