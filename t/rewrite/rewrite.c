/*
 * Takes texts and mappings on its standard input and writes the rewritten
 * texts: the core of the rewriting as a command, for t/rewrite-random.t, which
 * compares it with Edge::Rewriter. Each piece of a text is put into memory of
 * its own that ends where it ends, and is overwritten as soon as it is taken.
 *
 * Numbers are 32 bits, little endian; a string is its length and its bytes.
 * A job: count of mappings, each {kind, from, from_port, to, to_port} with
 * kind 0 authority, 1 domain, 2 authority whose `to` is the job's; to,
 * to_port, also_port; the way to search (one that is not there is the usual
 * one); count of pieces, each a string. The answer: a string.
 */

#include "cms_rewrite.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_LEN 253

typedef struct {
    unsigned char *p;
    size_t len;
} string_t;

typedef struct {
    cms_rewrite_set_t set;
    cms_rewrite_mapping_t mappings[CMS_REWRITE_MAPPINGS_MAX];
    unsigned char to[CMS_REWRITE_MAPPINGS_MAX + 1]
                    [CMS_REWRITE_TO_SIZE(NAME_MAX_LEN)];
    string_t names[CMS_REWRITE_MAPPINGS_MAX];
    cms_rewrite_to_t asked;
    unsigned also_port;
} job_t;

static void
give_up(const char *why)
{
    fprintf(stderr, "rewrite: %s\n", why);
    exit(2);
}

static int
read_number(uint32_t *n)
{
    unsigned char b[4];

    if (fread(b, 1, 4, stdin) != 4) {
        return 0;
    }
    *n = b[0] | b[1] << 8 | b[2] << 16 | (uint32_t)b[3] << 24;
    return 1;
}

static uint32_t
number(void)
{
    uint32_t n;

    if (!read_number(&n)) {
        give_up("the input ends too early");
    }
    return n;
}

/* In memory of exactly its size, so that a sanitizer sees one byte too far. */
static string_t
string(void)
{
    string_t s;

    s.len = number();
    s.p = malloc(s.len ? s.len : 1);
    if (s.p == NULL || fread(s.p, 1, s.len, stdin) != s.len) {
        give_up("a string is cut off");
    }
    return s;
}

static void
read_to(cms_rewrite_to_t *to, unsigned char *buffer)
{
    string_t host = string();

    if (host.len > NAME_MAX_LEN) {
        give_up("a name is too long");
    }
    cms_rewrite_to_write(to, buffer, host.p, host.len, number());
    free(host.p);
}

static void
read_mapping(cms_rewrite_mapping_t *m, string_t *name, unsigned char *buffer)
{
    uint32_t kind = number();

    *name = string();
    m->kind = kind == 1 ? CMS_REWRITE_DOMAIN : CMS_REWRITE_AUTHORITY;
    m->from = name->p;
    m->from_len = name->len;
    m->from_port = number();
    read_to(&m->to, buffer);
    if (kind == 2) {
        memset(&m->to, 0, sizeof(m->to));
    }
}

/* What is put out, all of it, until the answer's length is known. */
static void
put(string_t *out, const unsigned char *p, size_t len)
{
    static size_t room;

    if (out->p == NULL || out->len + len > room) {
        room = 2 * (out->len + len) + 64;
        out->p = realloc(out->p, room);
        if (out->p == NULL) {
            give_up("no memory");
        }
    }
    if (len) {
        memcpy(out->p + out->len, p, len);
    }
    out->len += len;
}

static void
rewrite_piece(cms_rewrite_t *rw, string_t *piece, int last, string_t *out)
{
    const unsigned char *in = piece->p, *end = in + piece->len, *p;
    unsigned char *taken = piece->p;
    size_t len;

    while (cms_rewrite_next(rw, &in, end, last, &p, &len) !=
           CMS_REWRITE_MORE) {
        put(out, p, len);
        memset(taken, 0xee, in - taken);
        taken = piece->p + (in - piece->p);
    }
    if (in != end) {
        give_up("input is left over");
    }
    if (last && cms_rewrite_held(rw) != 0) {
        give_up("something is held back at the end");
    }
}

static void
write_answer(const string_t *out)
{
    unsigned char b[4] = {out->len, out->len >> 8, out->len >> 16,
                          out->len >> 24};

    if (fwrite(b, 1, 4, stdout) != 4 ||
        fwrite(out->p, 1, out->len, stdout) != out->len ||
        fflush(stdout) != 0) {
        give_up("cannot write");
    }
}

static void
run_job(job_t *job, size_t count, string_t *out)
{
    cms_rewrite_t rw;
    string_t piece;
    uint32_t pieces, way;
    size_t i;

    if (count > CMS_REWRITE_MAPPINGS_MAX) {
        give_up("too many mappings");
    }
    for (i = 0; i < count; i++) {
        read_mapping(&job->mappings[i], &job->names[i], job->to[i]);
    }
    cms_rewrite_compile(&job->set, job->mappings, count);
    read_to(&job->asked, job->to[CMS_REWRITE_MAPPINGS_MAX]);
    job->also_port = number();
    way = number();
    if (way < cms_search_ways()) {
        (void)cms_search_use(&job->set.search, way);
    }
    cms_rewrite_begin(&rw, &job->set, &job->asked, job->also_port);
    out->len = 0;
    put(out, NULL, 0);
    for (pieces = number(); pieces; pieces--) {
        piece = string();
        rewrite_piece(&rw, &piece, pieces == 1, out);
        free(piece.p);
    }
    for (i = 0; i < count; i++) {
        free(job->names[i].p);
    }
}

int
main(void)
{
    static job_t job;
    string_t out = {NULL, 0};
    uint32_t count;

    while (read_number(&count)) {
        run_job(&job, count, &out);
        write_answer(&out);
    }
    free(out.p);
    return 0;
}
