/* sources: turn_auth_plugin/asked.c */

#include "asked.h"
#include "tap.h"

static char this, that;

int main(void)
{
    struct asked_queue q = {0};

    asked_put(&q, 1, &this, 1000);
    asked_put(&q, -2, &that, 1001);
    is_int((long)q.count, 2, "two questions");
    ok(q.first->what == 1 && q.first->which == &this &&
           q.first->asked_ms == 1000 && !q.first->answered,
       "the first that was asked comes first, as it was asked");
    asked_drop(&q);
    ok(q.first->what == -2 && q.first->which == &that && !q.first->next,
       "then the second");
    asked_drop(&q);
    ok(!q.first && q.count == 0, "then none");

    ok(asked_put(&q, 3, NULL, 0) == 0 && q.first->what == 3,
       "empty and asked again");
    asked_put(&q, 4, NULL, 0);
    asked_drop_all(&q);
    ok(!q.first && q.count == 0, "all are forgotten");
    ok(asked_put(&q, 5, NULL, 0) == 0 && q.first->what == 5 && q.count == 1,
       "and asked again");
    asked_drop_all(&q);
    return done_testing();
}
