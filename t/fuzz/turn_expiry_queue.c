/* sources: turn_auth_plugin/expiry_queue.c turn_auth_plugin/name_hash.c */

/*
 * Any sequence of adding and taking: what comes is the earliest of what is
 * there, whole, and never before its time.
 */

#include "expiry_queue.h"

#include <stdlib.h>
#include <string.h>

#define LIMIT 50

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int good)
{
    if (!good) {
        abort();
    }
}

/* The time is said in the name, too. Who moves has another time before. */
static void add(struct expiry_queue *q, int *waiting, uint8_t when, int moves)
{
    char name[256];
    struct user_name u = {"realm", 5, name, 1 + (size_t)when};
    size_t before = expiry_queue_count(q);

    memset(name, when, sizeof(name));
    if (before == LIMIT && !waiting[when]) {
        return;
    }
    if (moves) {
        check(expiry_queue_add(q, 255 - when, EXPIRY_ENDS, &u));
    }
    check(expiry_queue_add(q, when, EXPIRY_ENDS, &u));
    check(expiry_queue_count(q) == before + !waiting[when]);
    waiting[when] = 1;
}

static void take(struct expiry_queue *q, int *waiting, uint8_t now)
{
    int first = 0;
    struct expiry e;

    while (first < 256 && !waiting[first]) {
        first++;
    }
    check(expiry_queue_next_ms(q) == (first < 256 ? first : INT64_MAX));
    if (!expiry_queue_take(q, now, &e)) {
        check(first > now);
        return;
    }
    check(e.when_ms == first && first <= now);
    check(e.name.name_len == 1 + (size_t)first && e.name.realm_len == 5);
    check((uint8_t)e.name.name[0] == first &&
          (uint8_t)e.name.name[e.name.name_len - 1] == first);
    waiting[first]--;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct expiry_queue *q = expiry_queue_create(LIMIT);
    int waiting[256] = {0};

    for (size_t i = 0; i + 2 <= size; i += 2) {
        if (data[i] % 2) {
            add(q, waiting, data[i + 1], data[i] & 2);
        } else {
            take(q, waiting, data[i + 1]);
        }
    }
    expiry_queue_destroy(q);
    return 0;
}
