/*
 * Compare and set as a Lua script; see redis_commands.h.
 */

#include "redis_commands.h"

#include <stdio.h>
#include <string.h>

#define TEXT_OF(x) #x
#define NUMBER(x) TEXT_OF(x)

/* One byte more than a value has, so that a longer one is seen to be. */
#define LAST_BYTE NUMBER(SEALED_VALUE_LEN)

/*
 * KEYS[1]; ARGV: value, ttl, what is bad, 'over' or ''. Byte by byte: Lua
 * compares strings by the server's locale.
 */
static const char put_script[] =
    "local k,new=KEYS[1],ARGV[1] "
    "local old=redis.pcall('getrange',k,0," LAST_BYTE ") "
    "if old=='' and ARGV[4]=='over' then return false end "
    "if type(old)=='table' or old==ARGV[3] then old='' end "
    "for i=1," NUMBER(
        SEALED_ORDER_LEN) " do "
                          "local a,b=string.byte(old,i) or "
                          "0,string.byte(new,i) "
                          "if a>b then return old elseif a<b then break end "
                          "end "
                          "local done=redis.pcall('set',k,new,'px',ARGV[2]) "
                          "if done.err then redis.pcall('del',k) return done "
                          "end "
                          "return false";

int redis_ask_get(struct redis_link *l, void *which, struct redis_bytes key)
{
    const char *words[] = {"GETRANGE", key.p, "0", LAST_BYTE};
    const size_t lengths[] = {8, key.len, 1, sizeof(LAST_BYTE) - 1};

    return redis_link_ask(l, which, 4, words, lengths);
}

int redis_ask_put(struct redis_link *l, void *which, struct redis_bytes key,
                  const uint8_t value[SEALED_VALUE_LEN], int64_t ttl_ms,
                  struct redis_bytes bad, enum redis_put how)
{
    char ttl[24];
    int ttl_len = snprintf(ttl, sizeof(ttl), "%lld", (long long)ttl_ms);
    const char *over = how == REDIS_PUT_OVER ? "over" : "";
    const char *words[] = {"EVAL", put_script, "1", key.p, (const char *)value,
                           ttl,    bad.p,      over};
    const size_t lengths[] = {4,
                              sizeof(put_script) - 1,
                              1,
                              key.len,
                              SEALED_VALUE_LEN,
                              (size_t)ttl_len,
                              bad.len,
                              strlen(over)};

    return redis_link_ask(l, which, 8, words, lengths);
}

int redis_ask_mark(struct redis_link *l, void *which, struct redis_bytes key,
                   int64_t ttl_ms, int anew)
{
    char ttl[24];
    int ttl_len = snprintf(ttl, sizeof(ttl), "%lld", (long long)ttl_ms);
    const char *words[] = {"SET", key.p, "1", "PX", ttl, "XX"};
    const size_t lengths[] = {3, key.len, 1, 2, (size_t)ttl_len, 2};

    return redis_link_ask(l, which, anew ? 5 : 6, words, lengths);
}
