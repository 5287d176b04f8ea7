/*
 * A bucket of waiting time, filled steadily; see miss_budget.h.
 */

#include "miss_budget.h"

/* Full after 10 s, and enough for one deadline twice over. */
#define FULL_US 1000000
#define FILL_US_PER_MS 100

void miss_budget_begin(struct miss_budget *b, int64_t now_ms)
{
    pthread_mutex_init(&b->lock, NULL);
    b->left_us = FULL_US;
    b->filled_ms = now_ms;
}

int miss_budget_allows(struct miss_budget *b, int64_t now_ms)
{
    int64_t gone_ms;
    int allows;

    pthread_mutex_lock(&b->lock);
    gone_ms = now_ms - b->filled_ms;
    if (gone_ms > 0) {
        b->filled_ms = now_ms;
        b->left_us = gone_ms >= FULL_US / FILL_US_PER_MS
                         ? FULL_US
                         : b->left_us + gone_ms * FILL_US_PER_MS;
        b->left_us = b->left_us > FULL_US ? FULL_US : b->left_us;
    }
    allows = b->left_us > 0;
    pthread_mutex_unlock(&b->lock);
    return allows;
}

void miss_budget_spend(struct miss_budget *b, int64_t waited_ms)
{
    pthread_mutex_lock(&b->lock);
    b->left_us -= 1000 * (waited_ms > 1 ? waited_ms : 1);
    pthread_mutex_unlock(&b->lock);
}
