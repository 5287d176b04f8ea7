/*
 * Replies of Redis, taken out of hiredis' reader without trusting them: one at
 * a time, in memory that the caller has, whatever their size. Called by
 * redis_link.c.
 */

#ifndef REDIS_REPLY_H
#define REDIS_REPLY_H

#include <hiredis/hiredis.h>
#include <stddef.h>

/* Of longer ones only the beginning is kept; len says how long it was. */
#define REDIS_REPLY_TEXT 256

struct redis_reply {
    int type; /* REDIS_REPLY_STRING, _STATUS, _ERROR, _INTEGER or _NIL */
    size_t len;
    char text[REDIS_REPLY_TEXT + 1]; /* ends with '\0' */
};

/* From now on the reader puts each reply into *reply. */
void redis_reply_into(redisReader *reader, struct redis_reply *reply);

/*
 * The next reply: 1: it is in *reply; 0: it is not there in whole yet; -1:
 * these are no replies that we can have asked for.
 */
int redis_reply_next(redisReader *reader, struct redis_reply *reply);

/* Is it an error that begins with this word (NOAUTH, OOM, ...)? */
int redis_reply_is_error(const struct redis_reply *reply, const char *word);
/*
 * Is it an error that says nothing about the question: this server answers
 * nobody now, or not us?
 */
int redis_reply_is_no_answer(const struct redis_reply *reply);

#endif
