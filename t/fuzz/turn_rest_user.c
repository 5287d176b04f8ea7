/* sources: turn_auth_plugin/rest_user.c turn_auth_plugin/hmac_sha1.c */

/*
 * Any name: what counts as time-limited is what says its time in digits up to
 * the end or a colon, and that time is the one in the name.
 */

#include "rest_user.h"

#include <stdlib.h>
#include <string.h>

static void check(int good)
{
    if (!good) {
        abort();
    }
}

/* The same, by other means. */
static int expected(const char *name, size_t len, int64_t *until)
{
    char digits[64];
    size_t n = 0, zeros = 0;

    while (zeros < len && name[zeros] == '0') {
        zeros++;
    }
    while (zeros + n < len && n < 20 &&
           memchr("0123456789", name[zeros + n], 10)) {
        n++;
    }
    if (zeros + n == 0 || n > 10 ||
        (zeros + n < len && name[zeros + n] != ':')) {
        return 0;
    }
    memcpy(digits, name + zeros, n);
    digits[n] = '\0';
    *until = n ? atoll(digits) : 0;
    return *until <= (int64_t)UINT32_MAX;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t key[REST_USER_KEY_LEN], again[REST_USER_KEY_LEN];
    int64_t until = -1, want = -1;
    size_t half = size / 2;
    char *name = malloc(size ? size : 1);

    memcpy(name, data, size);
    check(rest_user_parse(name, size, &until) == expected(name, size, &want));
    check(until == -1 || until == want);
    if (rest_user_key(key, name, half, "r", 1, name + half, size - half)) {
        check(size > half);
        rest_user_key(again, name, half, "r", 1, name + half, size - half);
        check(memcmp(key, again, sizeof(key)) == 0);
    }
    free(name);
    return 0;
}
