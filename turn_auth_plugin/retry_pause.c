/*
 * Twice as long each time; see retry_pause.h.
 */

#include "retry_pause.h"

#define FIRST_MS 100
#define LONGEST_MS 1000

void retry_pause_failed(struct retry_pause *p, int64_t up_ms, int64_t now_ms)
{
    if (up_ms && now_ms - up_ms >= LONGEST_MS) {
        p->next_ms = 0;
    }
    p->until_ms = now_ms + p->next_ms;
    p->next_ms = p->next_ms ? 2 * p->next_ms : FIRST_MS;
    if (p->next_ms > LONGEST_MS) {
        p->next_ms = LONGEST_MS;
    }
}

void retry_pause_end(struct retry_pause *p, int64_t now_ms)
{
    p->until_ms = now_ms;
    p->next_ms = FIRST_MS;
}
