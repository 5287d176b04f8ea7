/* sources: turn_auth_plugin/login_faults.c */

#include "login_faults.h"
#include "tap.h"

static struct login_faults faults;
static struct login_fault_entry told;

static int note(enum login_fault fault, const char *name, int64_t now_ms)
{
    const struct user_name u = {"r", 1, name, strlen(name)};

    return login_faults_note(&faults, fault, &u, now_ms);
}

static int lines(int64_t now_ms)
{
    int n = 0;

    while (login_faults_due(&faults, &told, now_ms)) {
        n++;
    }
    return n;
}

static void one_name(void)
{
    is_int(note(LOGIN_WRONG_PASSWORD, "guest", 1000), 1, "the first, at once");
    for (int i = 0; i < 12; i++) {
        if (note(LOGIN_WRONG_PASSWORD, "guest", 2000)) {
            ok(0, "then they are counted");
        }
    }
    is_int((long)login_faults_next_ms(&faults), 61000, "for a minute");
    is_int(lines(60999), 0, "not earlier");
    is_int(lines(61000), 1, "then there is a line");
    is_int((long)told.count, 12, "with their number");
    is_mem(told.name, told.name_len, "guest", "the name");
    is_mem(told.realm, told.realm_len, "r", "the realm");
    is_int(told.fault, LOGIN_WRONG_PASSWORD, "and the fault");
    is_int(note(LOGIN_WRONG_PASSWORD, "guest", 62000), 0, "one more");
    is_int(lines(121000), 1, "after another minute");
    is_int((long)told.count, 1, "that one");
    is_int(lines(181000), 0, "who is quiet gets no line");
    ok(login_faults_next_ms(&faults) == INT64_MAX, "and is forgotten");
    is_int(note(LOGIN_WRONG_PASSWORD, "guest", 181001), 1, "and is new again");
    lines(300000);
}

static void two_faults(void)
{
    is_int(note(LOGIN_UNKNOWN_NAME, "guest", 300000), 1, "another fault of it");
    is_int(note(LOGIN_WRONG_PASSWORD, "guest", 300000), 1, "is another thing");
    lines(400000);
}

static void many_names(void)
{
    char name[32];
    int first = 0;

    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof(name), "nobody%d", i);
        first += note(LOGIN_UNKNOWN_NAME, name, 500000);
    }
    is_int(first, LOGIN_FAULT_NAMES, "a flood of names: so many lines");
    is_int(note(LOGIN_WRONG_PASSWORD, "guest", 500000), 1,
           "which takes no room from users");
    is_int(lines(560000), 1, "then one line for all others");
    is_int((long)told.count, 1000 - LOGIN_FAULT_NAMES, "with their number");
    is_int((long)told.name_len, 0, "and no name");
    lines(700000);
}

static void odd_names(void)
{
    char name[600];
    struct user_name u = {name, 127, name, sizeof(name)};

    memset(name, 'x', sizeof(name));
    is_int(login_faults_note(&faults, 0, &u, 800000), 1, "a long name");
    is_int(login_faults_note(&faults, 0, &u, 800000), 0, "is cut");
    u = (struct user_name){NULL, 0, "x", 1};
    is_int(login_faults_note(&faults, 0, &u, 800000), 1, "no realm");
    u = (struct user_name){NULL, 0, NULL, 0};
    is_int(login_faults_note(&faults, 0, &u, 800000), 0,
           "no name: counted with the others");
    is_int(lines(860000), 2, "they get their lines");
}

int main(void)
{
    one_name();
    two_faults();
    many_names();
    odd_names();
    return done_testing();
}
