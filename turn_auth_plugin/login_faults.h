/*
 * Which logins failed, for the log: the first of a name at once, then how many
 * there were, once a minute. Bounded, whatever comes: names for which there is
 * no room are counted together, and unknown ones, which anybody can make up,
 * take no room from those of users. Called by logins.c; asks nobody, and time
 * is passed in.
 */

#ifndef LOGIN_FAULTS_H
#define LOGIN_FAULTS_H

#include "user_name.h"

#include <stdint.h>

enum login_fault {
    LOGIN_WRONG_PASSWORD,
    LOGIN_UNKNOWN_NAME, /* no such user, disabled, expired */
    LOGIN_FAULTS,
};

#define LOGIN_FAULT_NAMES 32    /* of each fault */
#define LOGIN_FAULT_TEXT 128    /* longer names and realms are cut */
#define LOGIN_FAULT_PAUSE 60000 /* ms between two lines of a name */

/* One name and one fault; name_len 0: all names for which there was no room. */
struct login_fault_entry {
    enum login_fault fault;
    int is_used;
    int64_t told_ms; /* when there was a line, or there could have been one */
    uint64_t count;  /* since then */
    size_t realm_len, name_len;
    char realm[LOGIN_FAULT_TEXT], name[LOGIN_FAULT_TEXT];
};

/* All zero at first. */
struct login_faults {
    struct login_fault_entry entries[LOGIN_FAULTS][LOGIN_FAULT_NAMES + 1];
};

/* A login failed. 1: the first of this name for a minute, to be told now. */
int login_faults_note(struct login_faults *f, enum login_fault fault,
                      const struct user_name *u, int64_t now_ms);

/*
 * An entry whose minute is over, with its count in that minute, or NULL when
 * there is none (any more). A name that was quiet is forgotten.
 */
const struct login_fault_entry *login_faults_due(struct login_faults *f,
                                                 struct login_fault_entry *told,
                                                 int64_t now_ms);

/* When to call that again; INT64_MAX: nothing is open. */
int64_t login_faults_next_ms(const struct login_faults *f);

#endif
