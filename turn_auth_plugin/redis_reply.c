/*
 * hiredis' reader with our own objects: it allocates nothing for a reply, and
 * nothing we ask for is answered with an array. See redis_reply.h.
 */

#include "redis_reply.h"

#include <string.h>

/* What came in and is no whole reply may take so many bytes. */
#define LONGEST_PART 65536

static void *set(const redisReadTask *task, int type, const char *text,
                 size_t len)
{
    struct redis_reply *reply = task->privdata;

    if (task->parent) {
        return NULL; /* in an array: the reader reports an error */
    }
    reply->type = type;
    reply->len = len;
    if (len > REDIS_REPLY_TEXT) {
        len = REDIS_REPLY_TEXT;
    }
    memcpy(reply->text, text, len);
    reply->text[len] = '\0';
    return reply;
}

static void *set_string(const redisReadTask *task, char *text, size_t len)
{
    return set(task, task->type, text, len);
}

static void *set_integer(const redisReadTask *task, long long value)
{
    (void)value;
    return set(task, REDIS_REPLY_INTEGER, "", 0);
}

static void *set_nil(const redisReadTask *task)
{
    return set(task, REDIS_REPLY_NIL, "", 0); /* task: a string */
}

static void free_nothing(void *reply)
{
    (void)reply;
}

static redisReplyObjectFunctions functions = {
    .createString = set_string,
    .createInteger = set_integer,
    .createNil = set_nil,
    .freeObject = free_nothing,
};

void redis_reply_into(redisReader *reader, struct redis_reply *reply)
{
    reader->fn = &functions;
    reader->privdata = reply;
}

int redis_reply_next(redisReader *reader, struct redis_reply *reply)
{
    void *got = NULL;

    if (redisReaderGetReply(reader, &got) != REDIS_OK) {
        return -1;
    }
    if (!got) {
        return reader->len > LONGEST_PART ? -1 : 0;
    }
    return got == reply ? 1 : -1;
}

int redis_reply_is_error(const struct redis_reply *reply, const char *word)
{
    size_t n = strlen(word);

    return reply->type == REDIS_REPLY_ERROR &&
           strncmp(reply->text, word, n) == 0 &&
           (reply->text[n] == ' ' || reply->text[n] == '\0');
}

int redis_reply_is_no_answer(const struct redis_reply *reply)
{
    static const char *const words[] = {"NOAUTH", "LOADING", "BUSY",
                                        "MASTERDOWN"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (redis_reply_is_error(reply, words[i])) {
            return 1;
        }
    }
    return 0;
}
