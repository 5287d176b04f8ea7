/*
 * stat() tells whether it changed; see seal_key_file.h.
 */

#include "seal_key_file.h"

#include "secret_file.h"
#include "secret_memory.h"

#include <string.h>

int seal_key_file_begin(struct seal_key_file *f, const char *path,
                        const char *text, size_t len, char *error,
                        size_t error_size)
{
    *f = (struct seal_key_file){.path = path};
    f->keys = secret_memory_get(sizeof(*f->keys));
    if (!f->keys) {
        strncpy(error, "no memory", error_size);
        return -1;
    }
    /* seen is empty: the first check reads the file as it is by then. */
    if (seal_keys_parse(f->keys, text, len, error, error_size) != 0) {
        secret_memory_give_back(f->keys, sizeof(*f->keys));
        f->keys = NULL;
        return -1;
    }
    return 0;
}

static int is_same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev &&
           a->st_size == b->st_size && a->st_mode == b->st_mode &&
           a->st_uid == b->st_uid && a->st_gid == b->st_gid &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
           a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static enum seal_key_file_change take(struct seal_key_file *f, const char *text,
                                      size_t len, char *error,
                                      size_t error_size)
{
    struct seal_keys *fresh = secret_memory_get(sizeof(*fresh));
    enum seal_key_file_change change = SEAL_KEYS_BAD;

    if (!fresh) {
        strncpy(error, "no memory", error_size);
        return SEAL_KEYS_BAD;
    }
    if (seal_keys_parse(fresh, text, len, error, error_size) == 0) {
        change = memcmp(fresh, f->keys, sizeof(*fresh)) == 0 ? SEAL_KEYS_SAME
                                                             : SEAL_KEYS_NEW;
        memcpy(f->keys, fresh, sizeof(*fresh));
    }
    secret_memory_give_back(fresh, sizeof(*fresh));
    return change;
}

enum seal_key_file_change seal_key_file_check(struct seal_key_file *f,
                                              char *error, size_t error_size)
{
    enum seal_key_file_change change = SEAL_KEYS_BAD;
    struct stat now;
    char *text;
    size_t len;

    if (stat(f->path, &now) != 0) {
        memset(&now, 0, sizeof(now));
        now.st_size = -1; /* not to be read, which is a state of its own */
    }
    if (is_same(&now, &f->seen)) {
        return SEAL_KEYS_SAME;
    }
    f->seen = now;
    text = secret_file_read(f->path, &len, error, error_size);
    if (text) {
        change = take(f, text, len, error, error_size);
        secret_memory_give_back(text, SECRET_FILE_SIZE);
    }
    if (f->bad && change == SEAL_KEYS_SAME) {
        change = SEAL_KEYS_NEW;
    }
    f->bad = change == SEAL_KEYS_BAD;
    return change;
}
