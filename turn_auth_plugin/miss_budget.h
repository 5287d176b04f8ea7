/*
 * How long auth workers may wait for the database in vain. While a worker waits
 * for a name nobody has, the known users queued behind it wait as well; so a
 * flood of such names may take a tenth of one worker's time and no more. A name
 * that comes when the budget is used up is refused at once and asked for in the
 * background: if it is a user's, the next try succeeds. Only names nothing
 * speaks for are counted; with a feed that is live there are none, but on plain
 * coturn tables a user who never logged in here may have to try twice while
 * there is a flood. Waits that found a user cost nothing. Called by look_up.c.
 */

#ifndef MISS_BUDGET_H
#define MISS_BUDGET_H

#include <pthread.h>
#include <stdint.h>

struct miss_budget {
    pthread_mutex_t lock;
    int64_t left_us;
    int64_t filled_ms; /* up to when it was filled */
};

void miss_budget_begin(struct miss_budget *b, int64_t now_ms);
/* May a worker wait now? */
int miss_budget_allows(struct miss_budget *b, int64_t now_ms);
/* A worker waited for nothing, this long. */
void miss_budget_spend(struct miss_budget *b, int64_t waited_ms);

#endif
