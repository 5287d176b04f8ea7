/*
 * A connection to coturn's CLI: socket, deadlines, login. Sends nothing but the
 * password, `ps USER` and `cs ID`. Called by relay_closer.c; belongs to its
 * thread.
 */

#ifndef CLI_CONNECTION_H
#define CLI_CONNECTION_H

#include "cli_session.h"
#include "settings.h"

struct cli_connection {
    int fd;      /* -1: not connected */
    int stop_fd; /* readable: the thread is to end, every wait breaks off */
    struct cli_reader reader;
    uint8_t bytes[16384]; /* received, not yet read: from at, left */
    const uint8_t *at;
    size_t left;
    const char *error; /* of the last call that failed */
};

void cli_connection_begin(struct cli_connection *c, int stop_fd);

/*
 * Connects to address (settings.h: cli) and logs in. Only where this process
 * itself listens there, so that nobody else is told the password. 0, or -1 with
 * c->error.
 */
int cli_connect(struct cli_connection *c, const char *address,
                const struct setting_secret *password);
void cli_close(struct cli_connection *c);

/*
 * All 0, or -1 with c->error; then the connection is closed. A list is asked
 * for by its user: *count of the users, as many as fit into one message, at
 * least one. Their lists are then to be read, in that order.
 */
int cli_ask(struct cli_connection *c, const struct user_name *const *users,
            size_t *count);
int cli_read_list(struct cli_connection *c, const struct user_name *u,
                  struct cli_sessions *l);
int cli_cancel(struct cli_connection *c, const uint64_t *ids, size_t count);

#endif
