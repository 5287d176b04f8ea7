/*
 * A cursor in a transaction that only reads; see full_reading.h.
 */

#include "full_reading.h"

#include "user_rows.h"

#include <stdio.h>

/* Takes about a millisecond to store: look-ups are answered in between. */
#define FETCH_SQL "fetch 1000 from turn_users"
/*
 * The server works on the next slices while this one is stored, and while they
 * are on their way: as many as 10 ms each way ask for.
 */
#define FETCHES_AHEAD 16

enum { BEGIN, LIMITS, SNAPSHOT, DECLARE, FETCH, COMMIT };

#define DECLARE_SQL "declare turn_users no scroll cursor for "
#define USERS "select realm,name," USER_RECORD_COLUMNS " from turn.user_record"

/*
 * What a snapshot (xmin:xmax:running,...) does not show: what began after it,
 * and what was running then. Two look-ups in an index; one condition for both
 * would read all since xmin, which one forgotten transaction keeps far back.
 */
static const char *const users_sql[] = {
    [FULL_READING_ALL] = USERS,
    [FULL_READING_CHANGED] =
        (USERS " where xact>=pg_snapshot_xmax($1::text::pg_snapshot) "
               "union all " USERS " where xact=any(string_to_array("
               "nullif(split_part($1::text,':',3),''),',')::xid8[])"),
    /* A standby does not say what is running. */
    [FULL_READING_CHANGED_STANDBY] =
        (USERS " where xact>=pg_snapshot_xmin($1::text::pg_snapshot)"),
};

const char *full_reading_sql(enum full_reading_which which)
{
    return users_sql[which];
}

static void ask(struct full_reading *r, int what, const char *sql,
                const char *value)
{
    if (link_ask(r->link, FULL_READING_WHAT + what, NULL, sql, value != NULL,
                 &value) != 0) {
        r->failed = r->lost = 1;
    }
}

static void ask_for_slices(struct full_reading *r)
{
    while (r->fetches < FETCHES_AHEAD && !r->failed && !r->ended) {
        ask(r, FETCH, FETCH_SQL, NULL);
        r->fetches++;
    }
}

void full_reading_begin(struct full_reading *r, struct link *l,
                        enum full_reading_which which, const char *snapshot)
{
    char sql[1024];

    *r = (struct full_reading){.link = l};
    snprintf(sql, sizeof(sql), DECLARE_SQL "%s", users_sql[which]);
    ask(r, BEGIN, "begin isolation level repeatable read read only", NULL);
    /* All of it is wanted, and it may take long. */
    ask(r, LIMITS,
        "select set_config('statement_timeout','0',true),"
        "set_config('cursor_tuple_fraction','1',true),"
        "set_config('jit','off',true)",
        NULL);
    ask(r, SNAPSHOT,
        "select epoch,identity,now_ms,pg_current_snapshot()::text "
        "from turn.edge_state()",
        NULL);
    ask(r, DECLARE, sql, which == FULL_READING_ALL ? NULL : snapshot);
    ask_for_slices(r);
}

static int is_good(const PGresult *res)
{
    return res && (PQresultStatus(res) == PGRES_COMMAND_OK ||
                   PQresultStatus(res) == PGRES_TUPLES_OK);
}

static void end(struct full_reading *r)
{
    if (!r->ended) {
        r->ended = 1;
        ask(r, COMMIT, "commit", NULL);
    }
}

enum full_reading_event full_reading_answer(struct full_reading *r, int what,
                                            const PGresult *res)
{
    what -= FULL_READING_WHAT;
    r->fetches -= what == FETCH;
    if (!is_good(res)) {
        r->failed = 1;
        end(r);
    }
    switch (what) {
    case SNAPSHOT:
        return r->failed ? FULL_READING_GOES_ON : FULL_READING_SNAPSHOT;
    case FETCH:
        if (r->failed) {
            return FULL_READING_GOES_ON;
        }
        if (PQntuples(res) == 0) {
            end(r);
            return FULL_READING_GOES_ON;
        }
        ask_for_slices(r);
        return FULL_READING_ROWS;
    case COMMIT:
        return r->failed ? FULL_READING_FAILED : FULL_READING_DONE;
    default:
        return FULL_READING_GOES_ON;
    }
}
