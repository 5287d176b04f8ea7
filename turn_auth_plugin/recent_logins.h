/*
 * How many logins there were in the last ten minutes: what went wrong long ago
 * is no fault of now. Called by figures_writer.c; asks nobody, and time is
 * passed in.
 */

#ifndef RECENT_LOGINS_H
#define RECENT_LOGINS_H

#include "figures.h"

#define RECENT_LOGINS_MINUTES 10

/* All zero at first. */
struct recent_logins {
    struct {
        int64_t at_ms;
        uint64_t counts[FIGURES_LOGINS];
    } minutes[RECENT_LOGINS_MINUTES]; /* counts as they were, oldest first */
    size_t used;
};

/*
 * recent: what came to the counts now in the seconds that are returned, from
 * 540 to 600, less in the first minutes. Called at least once a minute.
 */
unsigned recent_logins_at(struct recent_logins *r, int64_t now_ms,
                          const uint64_t now[FIGURES_LOGINS],
                          uint64_t recent[FIGURES_LOGINS]);

#endif
