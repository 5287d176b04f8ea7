
/*
 * Reads the files that the coturn plugin writes, for the status page.  They
 * are another user's: whatever lies there instead, a worker neither waits for
 * it nor takes more of it than a page needs.
 */


#include "ngx_http_cms_proxy_status.h"
#include "cms_turn_file.h"


static char *ngx_http_cms_proxy_status_read(ngx_str_t *file, char **text,
    size_t *len, ngx_log_t *log);
static char *ngx_http_cms_proxy_status_read_fd(ngx_fd_t fd, char **text,
    size_t *len, ngx_log_t *log);


json_t *
ngx_http_cms_proxy_status_turn(ngx_str_t *file, ngx_log_t *log)
{
    char        *problem, *text, error[CMS_TURN_ERROR];
    size_t       len;
    json_t      *turn;
    ngx_time_t  *tp;

    turn = NULL;
    problem = ngx_http_cms_proxy_status_read(file, &text, &len, log);

    if (problem == NULL) {
        tp = ngx_timeofday();

        turn = cms_turn_file(text, len, tp->sec + tp->msec / 1000.0, error);
        problem = error;

        ngx_free(text);
    }

    if (turn == NULL) {
        turn = json_pack("{s:s, s:s}", "state", "unknown", "error", problem);
    }

    return turn;
}


char *
ngx_http_cms_proxy_status_turn_prom(ngx_str_t *file, size_t *len,
    ngx_log_t *log)
{
    char  *text;

    if (ngx_http_cms_proxy_status_read(file, &text, len, log) != NULL) {
        return NULL;
    }

    return text;
}


/* NULL, or what is wrong, to end "FILE ..." */

static char *
ngx_http_cms_proxy_status_read(ngx_str_t *file, char **text, size_t *len,
    ngx_log_t *log)
{
    char      *problem;
    ngx_fd_t   fd;

    /* a link could lead to any file that workers may read, a FIFO nowhere */

    fd = open((char *) file->data, O_RDONLY|O_NONBLOCK|O_NOFOLLOW|O_CLOEXEC);

    if (fd == NGX_INVALID_FILE) {

        switch (ngx_errno) {

        case NGX_ENOENT:
        case NGX_ENOTDIR:
            return "does not exist: turnserver is not running, or without the "
                   "plugin";

        case NGX_EACCES:
            return "cannot be read: permission denied";

        case NGX_ELOOP:
            return "cannot be read: it is a symbolic link";

        default:
            return "cannot be read";
        }
    }

    problem = ngx_http_cms_proxy_status_read_fd(fd, text, len, log);

    if (ngx_close_file(fd) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_ALERT, log, ngx_errno,
                      ngx_close_file_n " \"%V\" failed", file);
    }

    return problem;
}


static char *
ngx_http_cms_proxy_status_read_fd(ngx_fd_t fd, char **text, size_t *len,
    ngx_log_t *log)
{
    ssize_t          n;
    ngx_file_info_t  fi;

    if (ngx_fd_info(fd, &fi) == NGX_FILE_ERROR || !ngx_is_file(&fi)) {
        return "cannot be read: it is no regular file";
    }

    if (ngx_file_size(&fi) > CMS_TURN_FILE_MAX) {
        return "is damaged: it is larger than 256 KB";
    }

    *text = ngx_alloc((size_t) ngx_file_size(&fi) + 1, log);
    if (*text == NULL) {
        return "cannot be read: out of memory";
    }

    *len = 0;

    while (*len < (size_t) ngx_file_size(&fi)) {

        n = ngx_read_fd(fd, *text + *len, (size_t) ngx_file_size(&fi) - *len);

        if (n == -1 && ngx_errno == NGX_EINTR) {
            continue;
        }

        if (n == -1) {
            ngx_free(*text);
            return "cannot be read";
        }

        if (n == 0) {
            break;
        }

        *len += (size_t) n;
    }

    return NULL;
}
