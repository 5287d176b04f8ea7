/*
 * A user as TURN knows it: a realm and a name in it. Passed by all parts that
 * look users up.
 */

#ifndef USER_NAME_H
#define USER_NAME_H

#include <stddef.h>

#define USER_NAME_MAX 512 /* longer names are not remembered */
#define USER_REALM_MAX 127

/* Neither text needs a 0 at its end; both are the caller's. */
struct user_name {
    const char *realm;
    size_t realm_len;
    const char *name;
    size_t name_len;
};

#endif
