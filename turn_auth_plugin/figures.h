/*
 * What the plugin counts and measures, for the administrator's monitoring.
 * Called from everywhere, by any thread: no call waits, or takes a lock.
 * figures_writer.c writes it to files, figures_text.c says what they look like.
 */

#ifndef FIGURES_H
#define FIGURES_H

#include <stddef.h>
#include <stdint.h>

/* ---- look-ups ---- */

enum figures_outcome {
    FIGURES_VALID,      /* a key was answered */
    FIGURES_REFUSED,    /* no such user, disabled, expired */
    FIGURES_UNANSWERED, /* nobody could be asked in time; refused as well */
    FIGURES_OUTCOMES,
};

/* Where the answer came from. */
enum figures_tier {
    FIGURES_MEMORY,
    FIGURES_STALE, /* memory, past its time, because nobody could be asked */
    FIGURES_REDIS,
    FIGURES_POSTGRESQL,
    FIGURES_SECRET,  /* time-limited user: computed from a secret */
    FIGURES_NOWHERE, /* of FIGURES_UNANSWERED */
    FIGURES_TIERS,
};

/* Upper ends of the histogram's buckets are in figures.c; one more is +Inf. */
#define FIGURES_BUCKETS 15
extern const int64_t figures_bucket_us[FIGURES_BUCKETS];

/* One look-up of a user's key; how long coturn waited for it. */
void figures_look_up(enum figures_outcome outcome, enum figures_tier tier,
                     int64_t microseconds);

/* ---- logins ---- */

/* An Allocate request with credentials: what coturn found. */
enum figures_login {
    FIGURES_LOGIN_RIGHT,
    FIGURES_LOGIN_WRONG_PASSWORD,
    FIGURES_LOGIN_UNKNOWN_NAME, /* no such user, disabled, expired */
    FIGURES_LOGIN_UNANSWERED,   /* nobody could be asked; refused as well */
    FIGURES_LOGINS,
};

void figures_login(enum figures_login outcome);

/* ---- counters ---- */

/* What each means stands beside its name in figures_text.c. */
enum figures_counter {
    FIGURES_POSTGRESQL_QUESTIONS,
    FIGURES_POSTGRESQL_OUTAGES,
    FIGURES_REDIS_QUESTIONS,
    FIGURES_REDIS_OUTAGES,
    FIGURES_REDIS_FILLS,
    FIGURES_REDIS_UNSEALED,
    FIGURES_REDIS_REPLAYED,
    FIGURES_FEED_CHANGES,
    FIGURES_FEED_NOTIFICATIONS,
    FIGURES_FEED_RESYNCS,
    FIGURES_REVOKED_USERS,
    FIGURES_REVOKED_UNENFORCED,
    FIGURES_RELAYS_CLOSED,
    FIGURES_COUNTERS,
};

void figures_count(enum figures_counter counter, uint64_t n);

/* ---- states ---- */

enum figures_store {
    FIGURES_STORE_POSTGRESQL,
    FIGURES_STORE_REDIS,
    FIGURES_CLI, /* coturn's, for closing relays */
};
enum figures_store_state {
    FIGURES_STORE_OFF, /* not configured; at first */
    FIGURES_STORE_UP,
    FIGURES_STORE_AWAY,
};
#define FIGURES_STORES 3

void figures_store_state(enum figures_store store,
                         enum figures_store_state state);

/* complete: memory is known to hold every valid user, the feed is live. */
void figures_cache(size_t users, size_t absent, size_t bytes, int complete);

enum figures_feed {
    FIGURES_FEED_NONE, /* no feed: plain coturn tables; at first */
    FIGURES_FEED_POLL, /* a standby is polled */
    FIGURES_FEED_LIVE,
    FIGURES_FEED_BROKEN, /* there was one, and is none now */
};

/*
 * confirmed_ms: monotonic; all changes committed before then are in memory. 0:
 * none yet.
 */
void figures_feed(enum figures_feed feed, int64_t confirmed_ms);

/* ---- reading ---- */

/*
 * Each number by itself is right; they are not read at one and the same time.
 */
struct figures {
    uint64_t look_ups[FIGURES_OUTCOMES][FIGURES_TIERS];
    uint64_t buckets[FIGURES_BUCKETS + 1]; /* each without the smaller ones */
    uint64_t look_up_us;                   /* sum */
    uint64_t logins[FIGURES_LOGINS];
    uint64_t counters[FIGURES_COUNTERS];
    enum figures_store_state stores[FIGURES_STORES];
    uint64_t users, absent, bytes;
    int complete;
    enum figures_feed feed;
    int64_t confirmed_ms;
};

void figures_read(struct figures *f);

#endif
