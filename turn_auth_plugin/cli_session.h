/*
 * What coturn's CLI (telnet) sends: prompts, and the list of a user's sessions
 * that its command `ps USER` prints. Called by relay_closer.c; knows no socket.
 *
 * The list is text in which clients have a say: user names, and the ORIGIN
 * attribute (up to 127 bytes of anything, printed as it is, lines that look
 * like sessions included). A session counts only when all lines that coturn
 * always prints for one follow its first line; they do not fit into an ORIGIN,
 * so that nobody's text can name a session.
 */

#ifndef CLI_SESSION_H
#define CLI_SESSION_H

#include "user_name.h"

#include <stddef.h>
#include <stdint.h>

#define CLI_SESSIONS 256 /* what coturn prints at most, unless configured */
#define CLI_LINE 1024

enum cli_reply {
    CLI_MORE,     /* not yet whole */
    CLI_READY,    /* the prompt for a command */
    CLI_PASSWORD, /* asks for the password (again) */
};

/* Telnet to lines. */
struct cli_reader {
    enum { CLI_DATA, CLI_IAC, CLI_OPTION, CLI_SUB, CLI_SUB_IAC } telnet;
    size_t len; /* of the line so far; CLI_LINE: it is too long to matter */
    char line[CLI_LINE];
};

/* The sessions of one user in one realm. */
struct cli_sessions {
    struct user_name user; /* the caller's, until the list is read */
    unsigned next;         /* number of the next session in the list */
    unsigned step;         /* lines of this session that have come */
    int is_theirs;         /* so far this session is the user's */
    uint64_t id;
    int ended;      /* the line with the total has come */
    uint64_t total; /* of the user's name in all realms, not all printed */
    uint64_t ids[CLI_SESSIONS]; /* in this realm */
    size_t count;
};

/* All zeros begin a connection. */
void cli_reader_begin(struct cli_reader *r);

/*
 * Both take bytes from (*p, *n) up to the end of one reply, and step over them;
 * CLI_MORE when there are none left. To be called for the reply to the
 * greeting, the password and each `cs ID`...
 */
enum cli_reply cli_read_prompt(struct cli_reader *r, const uint8_t **p,
                               size_t *n);

/* ... and for the reply to `ps USER`, which l collects. */
void cli_sessions_begin(struct cli_sessions *l, const struct user_name *u);
enum cli_reply cli_read_sessions(struct cli_reader *r, struct cli_sessions *l,
                                 const uint8_t **p, size_t *n);

/*
 * Whether `ps` may be sent with this name: not empty, no control character or
 * space, no '*' at its start (which lists other users), and no 0xff, which
 * telnet can only send in a way that makes coturn take what follows it for a
 * command of its own.
 */
int cli_may_name(const struct user_name *u);

/*
 * Both append a command to the len bytes that are there, and return the length
 * then, or len when there is no room for it: `ps USER` (a user that
 * cli_may_name) and `cs ID`. The CLI takes bytes that arrive together as one
 * command, unless a telnet command (NOP) is between them: that is put there. It
 * reads 4096 bytes at a time and a part of a command would be another command,
 * so CLI_COMMAND bytes are sent at a time, and their replies awaited.
 */
#define CLI_BATCH 64 /* commands that fit, when names are not long */
#define CLI_COMMAND 2048
size_t cli_ps(char command[CLI_COMMAND], size_t len, const struct user_name *u);
size_t cli_cs(char command[CLI_COMMAND], size_t len, uint64_t id);

#endif
