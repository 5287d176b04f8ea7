/* See cms_slots.h. Lists are short: a name's addresses, 16 slots at most. */

#include "cms_slots.h"

#include <string.h>

/* marks an answer that is yet to be placed */
#define WAITING ((size_t)-2)

static int
same(const cms_slots_address_t *a, const cms_slots_address_t *b)
{
    return a->len == b->len && memcmp(a->p, b->p, a->len) == 0;
}

static size_t
find_held(const cms_slots_address_t *held, size_t nslots,
          const cms_slots_address_t *a)
{
    size_t i;

    for (i = 0; i < nslots; i++) {
        if (held[i].len && same(&held[i], a)) {
            return i;
        }
    }
    return CMS_SLOTS_NONE;
}

/* whether answer i counts, or is said again by a better one */
static int
counts(const cms_slots_address_t *answers, size_t n, size_t i)
{
    size_t k;

    for (k = 0; k < n; k++) {
        if (k != i && same(&answers[k], &answers[i])
            && (answers[k].priority < answers[i].priority
                || (answers[k].priority == answers[i].priority && k < i))) {
            return 0;
        }
    }
    return answers[i].len > 0;
}

/* the next to get a place, or n: the best priority, and in it who has one */
static size_t
choose(const cms_slots_address_t *held, size_t nslots,
       const cms_slots_address_t *answers, size_t n)
{
    size_t i, best;
    int is_held, best_held;

    best = n;
    best_held = 0;
    for (i = 0; i < n; i++) {
        if (answers[i].slot != WAITING) {
            continue;
        }
        is_held = find_held(held, nslots, &answers[i]) != CMS_SLOTS_NONE;
        if (best == n || answers[i].priority < answers[best].priority
            || (answers[i].priority == answers[best].priority && is_held
                && !best_held)) {
            best = i;
            best_held = is_held;
        }
    }
    return best;
}

static int
taken(const cms_slots_address_t *answers, size_t n, size_t slot)
{
    size_t i;

    for (i = 0; i < n; i++) {
        if (answers[i].slot == slot) {
            return 1;
        }
    }
    return 0;
}

/* slots for those chosen (WAITING still): first who has one, then the new */
static void
assign(const cms_slots_address_t *held, size_t nslots,
       cms_slots_address_t *answers, size_t n, size_t *chosen, size_t nchosen)
{
    size_t i, slot;

    for (i = 0; i < nchosen; i++) {
        answers[chosen[i]].slot = find_held(held, nslots,
                                            &answers[chosen[i]]);
    }
    slot = 0;
    for (i = 0; i < nchosen; i++) {
        if (answers[chosen[i]].slot == CMS_SLOTS_NONE) {
            while (taken(answers, n, slot)) {
                slot++;
            }
            answers[chosen[i]].slot = slot;
        }
    }
}

size_t
cms_slots_place(const cms_slots_address_t *held, size_t nslots,
                cms_slots_address_t *answers, size_t n)
{
    size_t chosen[CMS_SLOTS_MAX], nchosen, left, i;

    for (i = 0; i < n; i++) {
        answers[i].slot = WAITING;
    }
    for (i = 0; i < n; i++) {
        if (!counts(answers, n, i)) {
            answers[i].slot = CMS_SLOTS_NONE;
        }
    }

    nchosen = 0;
    left = 0;
    while ((i = choose(held, nslots, answers, n)) < n) {
        answers[i].slot = CMS_SLOTS_NONE;
        if (nchosen < nslots && nchosen < CMS_SLOTS_MAX) {
            chosen[nchosen++] = i;
        } else {
            left++;
        }
    }
    assign(held, nslots, answers, n, chosen, nchosen);
    return left;
}

static unsigned
divisor(unsigned a, unsigned b)
{
    unsigned rest;

    while (b) {
        rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static unsigned
scaled(unsigned weight, unsigned common, unsigned most)
{
    weight /= common;
    most /= common;
    if (most > CMS_SLOTS_WEIGHT_MAX) {
        weight = (unsigned)(((unsigned long long)weight * CMS_SLOTS_WEIGHT_MAX
                             + most / 2)
                            / most);
    }
    return weight ? weight : 1;
}

/* those of one priority, from the first of them on */
static void
scale_priority(cms_slots_address_t *answers, size_t n, size_t first)
{
    unsigned priority, common, most;
    size_t i;

    priority = answers[first].priority;
    common = 0;
    most = 0;
    for (i = first; i < n; i++) {
        if (answers[i].priority == priority) {
            common = divisor(answers[i].weight, common);
            most = answers[i].weight > most ? answers[i].weight : most;
        }
    }
    for (i = first; i < n; i++) {
        if (answers[i].priority == priority) {
            answers[i].weight = scaled(answers[i].weight,
                                       common ? common : 1, most);
        }
    }
}

void
cms_slots_scale(cms_slots_address_t *answers, size_t n)
{
    size_t i, k;

    for (i = 0; i < n; i++) {
        for (k = 0; k < i && answers[k].priority != answers[i].priority; k++) {
        }
        if (k == i) {
            scale_priority(answers, n, i);
        }
    }
}
