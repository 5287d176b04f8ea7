/*
 * One digest context for each thread, kept until the thread ends; see
 * hmac_sha1.h.
 */

#include "hmac_sha1.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <string.h>

#define BLOCK 64

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t at_end;
static __thread EVP_MD_CTX *context;

static void free_context(void *ctx)
{
    EVP_MD_CTX_free(ctx);
}

static void make_key(void)
{
    pthread_key_create(&at_end, free_context);
}

static EVP_MD_CTX *thread_context(void)
{
    EVP_MD_CTX *ctx = context;

    if (ctx) {
        return ctx;
    }
    ctx = EVP_MD_CTX_new();
    if (ctx && EVP_DigestInit_ex(ctx, EVP_sha1(), NULL) != 1) {
        EVP_MD_CTX_free(ctx);
        return NULL;
    }
    pthread_once(&once, make_key);
    pthread_setspecific(at_end, ctx);
    context = ctx;
    return ctx;
}

/* SHA-1 of two pieces; the algorithm is the context's already. */
static int digest(EVP_MD_CTX *ctx, uint8_t out[HMAC_SHA1_LEN],
                  const uint8_t *first, size_t first_len, const void *second,
                  size_t len)
{
    return EVP_DigestInit_ex(ctx, NULL, NULL) == 1 &&
           EVP_DigestUpdate(ctx, first, first_len) == 1 &&
           EVP_DigestUpdate(ctx, second, len) == 1 &&
           EVP_DigestFinal_ex(ctx, out, NULL) == 1;
}

static void pad(uint8_t block[BLOCK], uint8_t with)
{
    for (int i = 0; i < BLOCK; i++) {
        block[i] ^= with;
    }
}

int hmac_sha1(uint8_t mac[HMAC_SHA1_LEN], const void *key, size_t key_len,
              const void *data, size_t len)
{
    EVP_MD_CTX *ctx = thread_context();
    uint8_t block[BLOCK] = {0};
    int done = ctx != NULL;

    if (done && key_len > BLOCK) {
        done = digest(ctx, block, key, key_len, "", 0);
    } else if (done) {
        memcpy(block, key, key_len);
    }
    pad(block, 0x36);
    done = done && digest(ctx, mac, block, BLOCK, data, len);
    pad(block, 0x36 ^ 0x5c);
    done = done && digest(ctx, mac, block, BLOCK, mac, HMAC_SHA1_LEN);
    explicit_bzero(block, sizeof(block));
    return done;
}
