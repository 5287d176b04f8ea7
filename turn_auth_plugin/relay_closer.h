/*
 * Closes the live relays of revoked users through coturn's CLI, from a thread
 * of its own. Called by the store thread.
 */

#ifndef RELAY_CLOSER_H
#define RELAY_CLOSER_H

#include "settings.h"
#include "user_name.h"

struct relay_closer;

/*
 * Starts the thread; settings must live as long as it. NULL when no `cli` is
 * set (one line says that live relays last), and when there is no memory or no
 * thread.
 */
struct relay_closer *relay_closer_start(const struct settings *s);

/*
 * This user was revoked: closes all relays it has now or gets within 200 ms
 * (an allocation that was being made). The CLI does not say with which key a
 * relay was made: who logs in with a new password within these 200 ms is closed
 * once, too. Returns at once; the same name again is one more look only. r may
 * be NULL: then it is counted as not enforced, and so are names that cannot be
 * said to the CLI (cli_session.h).
 */
void relay_closer_close(struct relay_closer *r, const struct user_name *u);

/*
 * Waits for the thread's end; nothing is closed any more. r, which may be NULL,
 * stays: the store thread may not have ended.
 */
void relay_closer_stop(struct relay_closer *r);

#endif
