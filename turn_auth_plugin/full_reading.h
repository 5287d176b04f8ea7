/*
 * Reading many users from turn.user_record in one snapshot, slice by slice, so
 * that neither memory nor time is taken in one piece. Called by feed_reading.c,
 * on the feed's link, one reading at a time.
 */

#ifndef FULL_READING_H
#define FULL_READING_H

#include "link.h"

/* The questions it asks: what is FULL_READING_WHAT and the next numbers. */
#define FULL_READING_WHAT 100

struct full_reading {
    struct link *link;
    int failed;
    int lost;    /* could not ask: the link is to be given up */
    int ended;   /* the last slice was here */
    int fetches; /* asked and not answered */
};

/* Which users; snapshot is one that the database gave earlier. */
enum full_reading_which {
    FULL_READING_ALL,
    FULL_READING_CHANGED,        /* what snapshot did not show */
    FULL_READING_CHANGED_STANDBY /* the same and more; for a standby */
};

/* Asks what is to be asked first; answers follow, or the link's down(). */
void full_reading_begin(struct full_reading *r, struct link *l,
                        enum full_reading_which which, const char *snapshot);

enum full_reading_event {
    FULL_READING_GOES_ON,
    /* res has one row: epoch, identity, now_ms, the snapshot that is read. */
    FULL_READING_SNAPSHOT,
    /* res has rows: realm, name, then USER_RECORD_COLUMNS. */
    FULL_READING_ROWS,
    FULL_READING_DONE,
    FULL_READING_FAILED,
};

/* An answer came: what it means. */
enum full_reading_event full_reading_answer(struct full_reading *r, int what,
                                            const PGresult *res);

/* The select that reads them: realm, name, record; $1 is the snapshot. */
const char *full_reading_sql(enum full_reading_which which);

#endif
