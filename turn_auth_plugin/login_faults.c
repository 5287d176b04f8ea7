/*
 * One small table for each fault; see login_faults.h. The last entry of each
 * stands for all names without a place.
 */

#include "login_faults.h"

#include <string.h>

static size_t cut(size_t len)
{
    return len < LOGIN_FAULT_TEXT ? len : LOGIN_FAULT_TEXT;
}

static int is_of(const struct login_fault_entry *e, const struct user_name *u)
{
    size_t realm = cut(u->realm_len), name = cut(u->name_len);

    return e->is_used && e->realm_len == realm && e->name_len == name &&
           (!realm || memcmp(e->realm, u->realm, realm) == 0) &&
           (!name || memcmp(e->name, u->name, name) == 0);
}

/* The entry of a name; else a free one, else that of all others. */
static struct login_fault_entry *find(struct login_fault_entry *entries,
                                      const struct user_name *u)
{
    struct login_fault_entry *free_one = NULL;

    for (int i = 0; i < LOGIN_FAULT_NAMES; i++) {
        if (is_of(&entries[i], u)) {
            return &entries[i];
        }
        if (!free_one && !entries[i].is_used) {
            free_one = &entries[i];
        }
    }
    return free_one && u->name_len ? free_one : &entries[LOGIN_FAULT_NAMES];
}

static int is_others(const struct login_faults *f,
                     const struct login_fault_entry *e, enum login_fault fault)
{
    return e == &f->entries[fault][LOGIN_FAULT_NAMES];
}

static void begin(struct login_fault_entry *e, enum login_fault fault,
                  int64_t now_ms)
{
    e->fault = fault;
    e->is_used = 1;
    e->told_ms = now_ms;
    e->count = 0;
    e->realm_len = e->name_len = 0;
}

int login_faults_note(struct login_faults *f, enum login_fault fault,
                      const struct user_name *u, int64_t now_ms)
{
    struct login_fault_entry *e = find(f->entries[fault], u);

    if (e->is_used) {
        e->count++;
        return 0;
    }
    begin(e, fault, now_ms);
    if (is_others(f, e, fault)) {
        e->count = 1;
        return 0;
    }
    e->realm_len = cut(u->realm_len);
    e->name_len = cut(u->name_len);
    memcpy(e->name, u->name, e->name_len);
    if (e->realm_len) {
        memcpy(e->realm, u->realm, e->realm_len);
    }
    return 1;
}

static int64_t due_ms(const struct login_fault_entry *e)
{
    return e->is_used ? e->told_ms + LOGIN_FAULT_PAUSE : INT64_MAX;
}

static int take(struct login_fault_entry *e, struct login_fault_entry *told,
                int64_t now_ms)
{
    if (due_ms(e) > now_ms) {
        return 0;
    }
    if (e->count == 0) {
        e->is_used = 0;
        return 0;
    }
    *told = *e;
    e->told_ms = now_ms;
    e->count = 0;
    return 1;
}

const struct login_fault_entry *login_faults_due(struct login_faults *f,
                                                 struct login_fault_entry *told,
                                                 int64_t now_ms)
{
    for (int fault = 0; fault < LOGIN_FAULTS; fault++) {
        for (int i = 0; i <= LOGIN_FAULT_NAMES; i++) {
            if (take(&f->entries[fault][i], told, now_ms)) {
                return told;
            }
        }
    }
    return NULL;
}

int64_t login_faults_next_ms(const struct login_faults *f)
{
    int64_t next = INT64_MAX;

    for (int fault = 0; fault < LOGIN_FAULTS; fault++) {
        for (int i = 0; i <= LOGIN_FAULT_NAMES; i++) {
            int64_t due = due_ms(&f->entries[fault][i]);

            next = due < next ? due : next;
        }
    }
    return next;
}
