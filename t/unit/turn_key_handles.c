/* sources: turn_auth_plugin/key_handles.c turn_auth_plugin/secret_memory.c */

#include "key_handles.h"
#include "tap.h"

#include <pthread.h>
#include <stdlib.h>

static key_handle_key keys[KEY_HANDLE_KEYS];
static struct key_handles *k;

/* How many keys it stands for, and whether they are those it was made for. */
static long find(const key_handle_key handle, int *is_decided)
{
    key_handle_key got[KEY_HANDLE_KEYS];
    unsigned n = key_handles_find(k, handle, got, is_decided);

    if (n > 1 && memcmp(got, keys, n * sizeof(got[0])) != 0) {
        return -1;
    }
    return (long)n;
}

static void one_handle(void)
{
    key_handle_key handle, got[KEY_HANDLE_KEYS];
    int decided;

    ok(!key_handles_any(k), "none to begin with");
    is_int(find(keys[0], &decided), 0, "... so nothing is a handle");
    ok(key_handles_make(k, handle, (const key_handle_key *)keys, 3), "one");
    ok(key_handles_any(k), "... is seen");
    is_int(find(handle, &decided), 3, "... stands for its keys");
    ok(!decided, "... all of them");
    is_int(find(keys[0], &decided), 0, "a key is no handle");
    key_handles_decide(k, handle, keys[1]);
    is_int(key_handles_find(k, handle, got, &decided), 1, "decided: one key");
    ok(decided && memcmp(got[0], keys[1], 16) == 0, "... that one");
    key_handles_decide(k, handle, keys[2]);
    key_handles_find(k, handle, got, &decided);
    ok(memcmp(got[0], keys[1], 16) == 0, "... for good");
    key_handles_drop(k, handle);
    is_int(find(handle, &decided), 1, "... whatever another message says");
    key_handles_make(k, handle, (const key_handle_key *)keys, 2);
    key_handles_drop(k, handle);
    is_int(find(handle, &decided), 0, "no key was right: forgotten");
}

static void too_many_open(void)
{
    key_handle_key handle[20];
    int decided;

    for (int i = 0; i < 20; i++) {
        key_handles_make(k, handle[i], (const key_handle_key *)keys, 16);
    }
    is_int(find(handle[3], &decided), 0, "16 fit: the oldest went");
    is_int(find(handle[4], &decided), 16, "... the others stay");
    for (int i = 0; i < 20; i++) {
        key_handles_drop(k, handle[i]);
    }
}

/* 8 fit, one is there since one_handle(). */
static void too_many_decided(void)
{
    key_handle_key handle[20];
    int decided, alive = 1;

    for (int i = 0; i < 20; i++) {
        key_handles_make(k, handle[i], (const key_handle_key *)keys, 2);
        key_handles_decide(k, handle[i], keys[0]);
        alive &= find(handle[0], &decided) == 1;
    }
    ok(alive, "one that is used stays");
    is_int(find(handle[19], &decided), 1, "the last one is there");
    is_int(find(handle[5], &decided), 0, "one not used for long is not");
    is_int((long)key_handles_count(k), 8, "no more than fit");
}

static void *work(void *arg)
{
    key_handle_key handle, got[KEY_HANDLE_KEYS];
    int decided;

    for (int i = 0; i < 20000; i++) {
        key_handles_make(k, handle, (const key_handle_key *)keys, 2);
        if (i & 1) {
            key_handles_decide(k, handle, keys[0]);
        } else {
            key_handles_drop(k, handle);
        }
        if (key_handles_find(k, handle, got, &decided) && !decided) {
            *(int *)arg = 1;
        }
    }
    return NULL;
}

static void threads(void)
{
    pthread_t t[4];
    int wrong = 0;

    for (int i = 0; i < 4; i++) {
        pthread_create(&t[i], NULL, work, &wrong);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(t[i], NULL);
    }
    ok(!wrong, "four threads at once");
    ok(key_handles_count(k) <= 8 + 16, "... within bounds");
}

int main(void)
{
    for (int i = 0; i < KEY_HANDLE_KEYS; i++) {
        memset(keys[i], i + 1, sizeof(keys[i]));
    }
    k = key_handles_create(16, 8);
    one_handle();
    too_many_open();
    too_many_decided();
    threads();
    key_handles_destroy(k);
    return done_testing();
}
