/*
 * What the files of the change feed share: feed.c (the link, and what is known
 * of changes as a whole), feed_server.c (what server it is that tells them),
 * feed_reading.c (users come into memory) and feed_listen.c (notifications).
 * Nobody else includes it; see feed.h. All is the store thread's but where it
 * says otherwise.
 */

#ifndef FEED_INSIDE_H
#define FEED_INSIDE_H

#include "feed.h"

#include "full_reading.h"
#include "outage.h"
#include "server_clock.h"

#include <stdatomic.h>

/* Changes are read so often, however quiet it is. */
#define FEED_HEARTBEAT_MS 500
/* The same while nobody listens, because of too many notifications. */
#define FEED_FLOODED_READ_MS 50
/* After an error. */
#define FEED_TRY_AGAIN_MS 1000

/* The questions; those of full_reading.h follow. */
enum { THERE, STATE, LISTEN, CHANGES };

#define FEED_STATE_SQL                                                         \
    "select in_recovery,epoch,identity,now_ms from turn.edge_state()"

enum phase {
    AWAY,      /* no connection */
    ASKING,    /* what server is this? */
    NONE,      /* one without a feed */
    READING,   /* many users, in slices */
    FOLLOWING, /* what changed */
};

struct feed {
    struct feed_options o;
    struct server_clock clock;
    _Atomic int64_t live_until_ms;
    _Atomic int64_t confirmed_ms;

    /* All below belongs to the store thread. */
    struct link *link;
    enum phase phase;
    int in_recovery;
    int standby; /* the same, or a server that takes no writes */
    int asking;  /* so many answers are to come */
    int lost;    /* could not ask what should have been: begin anew */
    int hinted;  /* something changed, it was said */
    int listening;
    int64_t asked_ms;  /* the last question for changes */
    int64_t look_ms;   /* NONE, standby: when to look again what there is */
    int hosts_tried;   /* in vain, for a primary */
    int64_t server_ms; /* when to tell again which it is */
    int64_t live_since_ms;
    uint32_t epoch;
    char identity[256]; /* of the database that snapshot is of */
    char *snapshot;     /* all that it shows is in memory; NULL: read all */

    struct full_reading reading;
    int reads_all;
    int64_t reading_ms; /* when its snapshot was asked for */
    char *next_snapshot;

    int notifications; /* in this second */
    int64_t second_ms;
    int64_t deaf_until_ms;
    int was_deaf;

    int64_t started_ms;
    int read_before;
    struct outage outage; /* of the feed alone */
    char reason[256];
    int none_told;
};

/* ---- feed.c ---- */

/* Asks on its link; value, perhaps NULL, is its $1. */
void feed_ask(struct feed *f, int what, const char *sql, const char *value);
/* It tells changes, or there is nothing that could. */
void feed_end_silence(struct feed *f);
/* All that was committed before asked_ms is in memory. */
void feed_confirm(struct feed *f, int64_t asked_ms);
/* The server says its time, in that column of the first row. */
void feed_hear_clock(struct feed *f, int64_t asked_ms, const PGresult *res,
                     int column);

/* ---- feed_server.c ---- */

/* Asks what server this is; goes on from there. */
void feed_look(struct feed *f);
/* The answers. */
void feed_take_there(struct feed *f, const PGresult *res);
void feed_take_state(struct feed *f, int64_t asked_ms, const PGresult *res);
/* One without a feed: looks again after a while. res: what it refused, how. */
void feed_do_without(struct feed *f, const char *why, int64_t pause_ms);
void feed_do_without_because(struct feed *f, const PGresult *res);
/* The other links follow: said now and then. */
void feed_tell_server(struct feed *f);
/* When it should be seen whether there is something better, and doing so. */
int64_t feed_look_due_ms(const struct feed *f);
void feed_look_again(struct feed *f);

/* ---- feed_reading.c ---- */

/* Reads users slice by slice: all, or many that changed. */
void feed_begin_reading(struct feed *f, enum full_reading_which which);
void feed_break_reading(struct feed *f);
void feed_take_reading(struct feed *f, int what, int64_t asked_ms,
                       const PGresult *res);
/* From now on what changes is asked for, at the times due. */
void feed_follow(struct feed *f);
int64_t feed_read_due_ms(const struct feed *f);
void feed_ask_for_changes(struct feed *f, int64_t now_ms);
void feed_take_changes(struct feed *f, int64_t asked_ms, const PGresult *res);

/* ---- feed_listen.c ---- */

void feed_listen(struct feed *f, int on);
/* Of struct link_events: a notification came. */
void feed_notified(void *owner, const char *channel);
/* After a flood: when to listen again. */
int64_t feed_listen_due_ms(const struct feed *f);

#endif
