/*
 * One byte at a time; see cli_session.h.
 */

#include "cli_session.h"

#include <stdio.h>
#include <string.h>

#define IAC 255
#define NOP 241
#define SE 240
#define SB 250
#define WILL 251 /* WILL, WONT, DO, DONT have one more byte */

/* ---- telnet ---- */

/* Takes a byte; 1 when it is one of the text. */
static int is_text(struct cli_reader *r, uint8_t c)
{
    switch (r->telnet) {
    case CLI_DATA:
        r->telnet = c == IAC ? CLI_IAC : CLI_DATA;
        return c != IAC;
    case CLI_IAC:
        r->telnet = c == SB                ? CLI_SUB
                    : c >= WILL && c < IAC ? CLI_OPTION
                                           : CLI_DATA;
        return c == IAC;
    case CLI_OPTION:
        r->telnet = CLI_DATA;
        return 0;
    case CLI_SUB:
        r->telnet = c == IAC ? CLI_SUB_IAC : CLI_SUB;
        return 0;
    case CLI_SUB_IAC:
        r->telnet = c == SE ? CLI_DATA : CLI_SUB;
        return 0;
    }
    return 0;
}

void cli_reader_begin(struct cli_reader *r)
{
    r->telnet = CLI_DATA;
    r->len = 0;
}

/* Takes a byte; 1 when it is part of a line, or its end ('\n'). */
static int take(struct cli_reader *r, uint8_t c)
{
    if (!is_text(r, c) || c == '\r' || c == '\0') {
        return 0;
    }
    if (c != '\n' && r->len < CLI_LINE) {
        r->line[r->len++] = (char)c;
    }
    return 1;
}

static int line_is(const struct cli_reader *r, const char *text)
{
    size_t n = strlen(text);

    return r->len == n && memcmp(r->line, text, n) == 0;
}

static int line_begins(const struct cli_reader *r, const char *text)
{
    size_t n = strlen(text);

    return r->len >= n && memcmp(r->line, text, n) == 0;
}

static uint8_t next_byte(const uint8_t **p, size_t *n)
{
    (*n)--;
    return *(*p)++;
}

/* ---- prompts ---- */

/* A prompt has no end of line; a new one begins behind it. */
static enum cli_reply prompt(struct cli_reader *r)
{
    enum cli_reply reply = line_is(r, "> ")                 ? CLI_READY
                           : line_is(r, "Enter password: ") ? CLI_PASSWORD
                                                            : CLI_MORE;

    if (reply != CLI_MORE) {
        r->len = 0;
    }
    return reply;
}

enum cli_reply cli_read_prompt(struct cli_reader *r, const uint8_t **p,
                               size_t *n)
{
    enum cli_reply reply = CLI_MORE;
    uint8_t c;

    while (*n > 0 && reply == CLI_MORE) {
        c = next_byte(p, n);
        if (!take(r, c)) {
            continue;
        }
        if (c == '\n') {
            r->len = 0;
        } else {
            reply = prompt(r);
        }
    }
    return reply;
}

/* ---- sessions ---- */

/* The lines that every version prints for every session, behind its first. */
static const char *const always[] = {
    "      client protocol ",
    "      client addr ",
    "      fingerprints enforced: ",
    "      mobile: ",
    "      usage: rp=",
    "       rate: r=",
};
#define ALWAYS (sizeof(always) / sizeof(always[0]))

void cli_sessions_begin(struct cli_sessions *l, const struct user_name *u)
{
    l->user = *u;
    l->next = 1;
    l->step = 0;
    l->is_theirs = 0;
    l->id = 0;
    l->ended = 0;
    l->total = 0;
    l->count = 0;
}

/* The digits at *p; how many. */
static size_t read_digits(const char *p, size_t n, uint64_t *number)
{
    size_t i;

    *number = 0;
    for (i = 0; i < n && i < 19 && p[i] >= '0' && p[i] <= '9'; i++) {
        *number = 10 * *number + (uint64_t)(p[i] - '0');
    }
    return i;
}

/* Steps over text at *p; 0 when it is not there. */
static int skip(const char **p, size_t *n, const char *text, size_t len)
{
    if (*n < len || memcmp(*p, text, len) != 0) {
        return 0;
    }
    *p += len;
    *n -= len;
    return 1;
}

static int skip_number(const char **p, size_t *n, uint64_t *number)
{
    size_t digits = read_digits(*p, *n, number);

    *p += digits;
    *n -= digits;
    return digits > 0;
}

/* "    1) id=000000000000000001, user <NAME>:" with the next number. */
static int read_first(struct cli_sessions *l, const struct cli_reader *r)
{
    const char *p = r->line;
    size_t n = r->len;
    uint64_t number;

    if (!skip(&p, &n, "    ", 4) || !skip_number(&p, &n, &number) ||
        number != l->next || !skip(&p, &n, ") id=", 5) ||
        !skip_number(&p, &n, &l->id) || !skip(&p, &n, ", user <", 8)) {
        return 0;
    }
    l->is_theirs = skip(&p, &n, l->user.name, l->user.name_len) && n == 2 &&
                   memcmp(p, ">:", 2) == 0;
    return 1;
}

/* "      realm: REALM", the second line. */
static void check_realm(struct cli_sessions *l, const struct cli_reader *r)
{
    const char *p = r->line;
    size_t n = r->len;

    l->is_theirs = l->is_theirs && skip(&p, &n, "      realm: ", 13) &&
                   skip(&p, &n, l->user.realm, l->user.realm_len) && n == 0;
}

static void end_session(struct cli_sessions *l)
{
    if (l->is_theirs && l->count < CLI_SESSIONS) {
        l->ids[l->count++] = l->id;
    }
    l->next++;
    l->step = 0;
}

static void read_total(struct cli_sessions *l, const struct cli_reader *r)
{
    const char *p = r->line;
    size_t n = r->len;

    if (skip(&p, &n, "  Total sessions: ", 18) &&
        skip_number(&p, &n, &l->total) && n == 0) {
        l->ended = 1;
    }
}

/* step: 0 between sessions, 1 the realm is next, 2... always[step - 2] is. */
static void read_line(struct cli_sessions *l, const struct cli_reader *r)
{
    if (l->ended || r->len == CLI_LINE) {
        return;
    }
    if (l->step == 0) {
        if (read_first(l, r)) {
            l->step = 1;
        } else {
            read_total(l, r);
        }
    } else if (l->step == 1) {
        check_realm(l, r);
        l->step = 2;
    } else if (line_begins(r, always[l->step - 2])) {
        if (++l->step == 2 + ALWAYS) {
            end_session(l);
        }
    }
}

enum cli_reply cli_read_sessions(struct cli_reader *r, struct cli_sessions *l,
                                 const uint8_t **p, size_t *n)
{
    uint8_t c;

    while (*n > 0) {
        c = next_byte(p, n);
        if (!take(r, c)) {
            continue;
        }
        if (c == '\n') {
            read_line(l, r);
            r->len = 0;
        } else if (l->ended && line_is(r, "> ")) {
            r->len = 0;
            return CLI_READY;
        }
    }
    return CLI_MORE;
}

/* ---- commands ---- */

int cli_may_name(const struct user_name *u)
{
    if (u->name_len == 0 || u->name_len > USER_NAME_MAX || u->name[0] == '*') {
        return 0;
    }
    for (size_t i = 0; i < u->name_len; i++) {
        unsigned char c = (unsigned char)u->name[i];

        if (c <= ' ' || c == 0x7f || c == IAC) {
            return 0;
        }
    }
    return 1;
}

/* "VERB ARGUMENT\r\n" */
static size_t append(char command[CLI_COMMAND], size_t len, const char verb[3],
                     const char *argument, size_t n)
{
    static const char nop[] = {(char)IAC, (char)NOP};
    char *p = command + len;

    if (len + sizeof(nop) + 3 + n + 2 > CLI_COMMAND) {
        return len;
    }
    if (len) {
        memcpy(p, nop, sizeof(nop));
        p += sizeof(nop);
    }
    memcpy(p, verb, 3);
    memcpy(p + 3, argument, n);
    memcpy(p + 3 + n, "\r\n", 2);
    return (size_t)(p + 3 + n + 2 - command);
}

size_t cli_ps(char command[CLI_COMMAND], size_t len, const struct user_name *u)
{
    return append(command, len, "ps ", u->name, u->name_len);
}

size_t cli_cs(char command[CLI_COMMAND], size_t len, uint64_t id)
{
    char digits[24];
    int n = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)id);

    return append(command, len, "cs ", digits, (size_t)n);
}
