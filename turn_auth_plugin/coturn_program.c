/*
 * Reads which functions of libpq the main program imports; see
 * coturn_program.h.
 */

#define _GNU_SOURCE
#include "coturn_program.h"

#include <errno.h>
#include <link.h>
#include <string.h>

struct imports {
    int connects;
    int executes;
    const char *unknown;
};

/*
 * Functions of libpq that the plugin stands in for, or that work on results
 * and strings and never see a connection of ours.
 */
static const char *const harmless[] = {
    "PQconnectdb",     "PQfinish",       "PQstatus",
    "PQerrorMessage",  "PQexec",         "PQexecParams",
    "PQclear",         "PQgetvalue",     "PQgetlength",
    "PQgetisnull",     "PQntuples",      "PQnfields",
    "PQfname",         "PQfnumber",      "PQresultStatus",
    "PQresStatus",     "PQcmdTuples",    "PQcmdStatus",
    "PQfreemem",       "PQlibVersion",   "PQresultErrorMessage",
    "PQconninfoParse", "PQconninfoFree", "PQresultErrorField",
};

static void note_import(struct imports *im, const char *name)
{
    if (strncmp(name, "PQ", 2) != 0) {
        return;
    }
    im->connects |= strcmp(name, "PQconnectdb") == 0;
    im->executes |= strcmp(name, "PQexec") == 0;
    for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++) {
        if (strcmp(name, harmless[i]) == 0) {
            return;
        }
    }
    im->unknown = name;
}

/* Undefined symbols stand before those that the GNU hash table covers. */
static size_t count_undefined(const ElfW(Word) * gnu_hash,
                              const ElfW(Word) * sysv_hash)
{
    if (gnu_hash) {
        return gnu_hash[1];
    }
    return sysv_hash ? sysv_hash[1] : 0;
}

static void read_dynamic(const ElfW(Dyn) * dyn, ElfW(Addr) base,
                         struct imports *im)
{
    const ElfW(Word) *gnu_hash = NULL, *sysv_hash = NULL;
    const ElfW(Sym) *symbols = NULL;
    const char *strings = NULL;

    for (; dyn->d_tag != DT_NULL; dyn++) {
        ElfW(Addr) at = dyn->d_un.d_ptr;

        /* glibc has made these absolute already, except where it cannot. */
        at += at < base ? base : 0;
        if (dyn->d_tag == DT_SYMTAB) {
            symbols = (const void *)at;
        } else if (dyn->d_tag == DT_STRTAB) {
            strings = (const void *)at;
        } else if (dyn->d_tag == DT_GNU_HASH) {
            gnu_hash = (const void *)at;
        } else if (dyn->d_tag == DT_HASH) {
            sysv_hash = (const void *)at;
        }
    }
    if (!symbols || !strings) {
        return;
    }
    for (size_t i = 1; i < count_undefined(gnu_hash, sysv_hash); i++) {
        if (symbols[i].st_shndx == SHN_UNDEF) {
            note_import(im, strings + symbols[i].st_name);
        }
    }
}

/* The first object that is told is the main program. */
static int read_program(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type == PT_DYNAMIC) {
            read_dynamic(
                (const void *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr),
                info->dlpi_addr, arg);
        }
    }
    return 1;
}

enum coturn_program coturn_program(const char **unknown)
{
    struct imports im = {0};

    *unknown = NULL;
    dl_iterate_phdr(read_program, &im);
    if (!im.connects || !im.executes) {
        return PROGRAM_OTHER;
    }
    if (im.unknown) {
        *unknown = im.unknown;
        return PROGRAM_OTHER;
    }
    return strstr(program_invocation_name, "turnadmin") ? PROGRAM_TURNADMIN
                                                        : PROGRAM_TURNSERVER;
}
