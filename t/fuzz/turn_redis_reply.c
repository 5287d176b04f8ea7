/* sources: turn_auth_plugin/redis_reply.c */

/*
 * Any bytes from Redis, in pieces of any size: what comes out is whole, of a
 * known type and within its room, or the connection is given up.
 */

#include "redis_reply.h"

#include <stdlib.h>
#include <string.h>

static void check(const struct redis_reply *reply)
{
    size_t kept = reply->len;

    switch (reply->type) {
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
    case REDIS_REPLY_ERROR:
        break;
    case REDIS_REPLY_INTEGER:
    case REDIS_REPLY_NIL:
        kept = 0;
        break;
    default:
        abort();
    }
    if (kept > REDIS_REPLY_TEXT) {
        kept = REDIS_REPLY_TEXT;
    }
    if (reply->text[kept] != '\0') {
        abort();
    }
    redis_reply_is_no_answer(reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    redisReader *reader = redisReaderCreate();
    struct redis_reply reply;
    size_t piece, at = 1;
    int got = 0;

    memset(&reply, 0, sizeof(reply));
    redis_reply_into(reader, &reply);
    piece = size ? (size_t)data[0] + 1 : 1;
    while (at < size && got >= 0) {
        size_t n = size - at < piece ? size - at : piece;

        redisReaderFeed(reader, (const char *)data + at, n);
        at += n;
        while ((got = redis_reply_next(reader, &reply)) == 1) {
            check(&reply);
        }
    }
    redisReaderFree(reader);
    return 0;
}
