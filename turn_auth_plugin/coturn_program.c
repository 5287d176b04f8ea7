/*
 * Reads which functions the main program imports; see
 * coturn_program.h.
 */

#define _GNU_SOURCE
#include "coturn_program.h"

#include <errno.h>
#include <link.h>
#include <stdint.h>
#include <string.h>

struct imports {
    int connects;
    int executes;
    int hmac; /* OpenSSL's */
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
    im->hmac |= strcmp(name, "HMAC") == 0;
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

/* The parts of the program's dynamic section that name what it imports. */
struct dynamic {
    const ElfW(Sym) * symbols;
    const char *strings;
    ElfW(Addr) tables[3]; /* relocations: PLT, RELA, REL */
    size_t sizes[3];
    int plt_is_rela;
};

static void read_entry(struct dynamic *d, const ElfW(Dyn) * e, ElfW(Addr) base)
{
    /* glibc has made addresses absolute already, except where it cannot. */
    ElfW(Addr) at = e->d_un.d_ptr + (e->d_un.d_ptr < base ? base : 0);

    switch (e->d_tag) {
    case DT_SYMTAB:
        d->symbols = (const void *)at;
        break;
    case DT_STRTAB:
        d->strings = (const void *)at;
        break;
    case DT_JMPREL:
        d->tables[0] = at;
        break;
    case DT_RELA:
        d->tables[1] = at;
        break;
    case DT_REL:
        d->tables[2] = at;
        break;
    case DT_PLTRELSZ:
        d->sizes[0] = e->d_un.d_val;
        break;
    case DT_RELASZ:
        d->sizes[1] = e->d_un.d_val;
        break;
    case DT_RELSZ:
        d->sizes[2] = e->d_un.d_val;
        break;
    case DT_PLTREL:
        d->plt_is_rela = e->d_un.d_val == DT_RELA;
        break;
    default:
        break;
    }
}

static size_t symbol_of(const ElfW(Rel) * r)
{
    return sizeof(r->r_info) == 8 ? (size_t)((uint64_t)r->r_info >> 32)
                                  : (size_t)(r->r_info >> 8);
}

/* Every function that the program calls stands in a relocation. */
static void read_relocations(const struct dynamic *d, int table,
                             struct imports *im)
{
    int rela = table == 1 || (table == 0 && d->plt_is_rela);
    size_t step = rela ? sizeof(ElfW(Rela)) : sizeof(ElfW(Rel));

    for (size_t at = 0; at + step <= d->sizes[table]; at += step) {
        /* A Rela begins as a Rel does. */
        const ElfW(Rel) *r = (const void *)(d->tables[table] + at);
        size_t symbol = symbol_of(r);

        if (symbol) {
            note_import(im, d->strings + d->symbols[symbol].st_name);
        }
    }
}

static void read_dynamic(const ElfW(Dyn) * e, ElfW(Addr) base,
                         struct imports *im)
{
    struct dynamic d = {0};

    for (; e->d_tag != DT_NULL; e++) {
        read_entry(&d, e, base);
    }
    for (int table = 0; d.symbols && d.strings && table < 3; table++) {
        if (d.tables[table]) {
            read_relocations(&d, table, im);
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

enum coturn_program coturn_program(const char **unknown, int *calls_hmac)
{
    struct imports im = {0};

    *unknown = NULL;
    dl_iterate_phdr(read_program, &im);
    *calls_hmac = im.hmac;
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
