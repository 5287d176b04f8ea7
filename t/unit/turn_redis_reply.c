/* sources: turn_auth_plugin/redis_reply.c */

#include "redis_reply.h"
#include "tap.h"

static redisReader *reader;
static struct redis_reply reply;

static void begin(const char *bytes, size_t len)
{
    if (reader) {
        redisReaderFree(reader);
    }
    reader = redisReaderCreate();
    redis_reply_into(reader, &reply);
    redisReaderFeed(reader, bytes, len);
}

static int next(void)
{
    return redis_reply_next(reader, &reply);
}

static int first(const char *text)
{
    begin(text, strlen(text));
    return next();
}

static void none_of_ours(const char *text, const char *name)
{
    is_int(first(text), -1, name);
}

int main(void)
{
    char big[400] = "$300\r\n";

    is_int(first("$3\r\na\tb\r\n$-1\r\n+OK\r\n:7\r\n"), 1, "a string");
    is_int(reply.type, REDIS_REPLY_STRING, "... is one");
    is_mem(reply.text, reply.len, "a\tb", "... with its bytes");
    is_int(next(), 1, "nil after it");
    is_int(reply.type, REDIS_REPLY_NIL, "... is nil");
    is_int(next(), 1, "a status after it");
    is_int(reply.type, REDIS_REPLY_STATUS, "... is a status");
    is_int(next(), 1, "a number after it");
    is_int(reply.type, REDIS_REPLY_INTEGER, "... is a number");
    is_int(next(), 0, "and that is all");

    is_int(first("$5\r\nab"), 0, "half a string is none yet");
    redisReaderFeed(reader, "cde\r\n", 5);
    is_int(next(), 1, "... until the rest comes");
    is_mem(reply.text, reply.len, "abcde", "... in whole");

    memset(big + 6, 'x', 300);
    memcpy(big + 306, "\r\n+OK\r\n", 7);
    is_int(first(big), 1, "a string longer than any of ours");
    is_int((long)reply.len, 300, "... says how long it is");
    is_int((long)strlen(reply.text), REDIS_REPLY_TEXT, "... and is cut");
    is_int(next(), 1, "... and what follows is found");

    is_int(first("-NOAUTH Authentication required.\r\n"), 1, "an error");
    ok(redis_reply_is_error(&reply, "NOAUTH"), "... that begins so");
    ok(!redis_reply_is_error(&reply, "NO"), "... and not in half a word");
    ok(redis_reply_is_no_answer(&reply), "... and is no answer");
    first("-OOM\r\n");
    ok(redis_reply_is_error(&reply, "OOM"), "an error of one word");
    ok(!redis_reply_is_no_answer(&reply), "... which is an answer");
    first("+NOAUTH\r\n");
    ok(!redis_reply_is_error(&reply, "NOAUTH"), "a status is no error");

    none_of_ours("*2\r\n$1\r\na\r\n$1\r\nb\r\n", "an array is none of ours");
    none_of_ours("*0\r\n", "... an empty one neither");
    none_of_ours("*1\r\n*1\r\n:1\r\n", "... nor one in another");
    none_of_ours("*2147483647\r\n$1\r\na\r\n", "... nor a huge one");
    none_of_ours("HTTP/1.1 400 Bad Request\r\n", "another protocol neither");
    is_int(first("$536870912\r\n"), 0, "a huge string");
    for (int i = 0; i < 200 && next() == 0; i++) {
        redisReaderFeed(reader, big, sizeof(big));
    }
    is_int(next(), -1, "... is not waited for to its end");
    redisReaderFree(reader);
    return done_testing();
}
