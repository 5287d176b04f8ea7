/* sources: ngx_cms_proxy_module/cms_slots.c */

/* Addresses stay in their slots, priorities, too many of them. */

#include "cms_slots.h"
#include "tap.h"

#define SLOTS 4

/* held and answers as text, a character each; '.' is an empty slot */
static const char *
place(const char *held, const char *answers, const char *priorities)
{
    static char got[SLOTS + 4];
    cms_slots_address_t h[SLOTS], a[16];
    size_t i, n = strlen(answers), left;

    for (i = 0; i < SLOTS; i++) {
        h[i].p = (const unsigned char *)held + i;
        h[i].len = held[i] != '.';
    }
    for (i = 0; i < n; i++) {
        a[i].p = (const unsigned char *)answers + i;
        a[i].len = 1;
        a[i].priority = priorities ? (unsigned)priorities[i] : 0;
    }
    left = cms_slots_place(h, SLOTS, a, n);
    memset(got, '.', SLOTS);
    for (i = 0; i < n; i++) {
        if (a[i].slot != CMS_SLOTS_NONE) {
            got[a[i].slot] = answers[i];
        }
    }
    snprintf(got + SLOTS, 4, " %d", (int)left);
    return got;
}

#define is_placed(held, answers, priorities, want, name)       \
    is_mem(place(held, answers, priorities), SLOTS + 2, want, name)

static void
is_scaled(const unsigned *weights, const char *priorities,
          const unsigned *want, const char *name)
{
    cms_slots_address_t a[8];
    size_t i, n = strlen(priorities);
    int good = 1;

    for (i = 0; i < n; i++) {
        a[i].priority = (unsigned)priorities[i];
        a[i].weight = weights[i];
    }
    cms_slots_scale(a, n);
    for (i = 0; i < n; i++) {
        good = good && a[i].weight == want[i];
    }
    ok(good, "%s", name);
}

#define W(...) ((const unsigned[]){__VA_ARGS__})

int
main(void)
{
    is_scaled(W(65535, 65535), "aa", W(1, 1), "equal weights are 1");
    is_scaled(W(20, 60), "aa", W(1, 3), "shares stay");
    is_scaled(W(1, 65535), "aa", W(1, 100), "large ones are cut");
    is_scaled(W(30001, 60001), "aa", W(50, 100), "about in proportion");
    is_scaled(W(0, 0, 5), "aaa", W(1, 1, 1), "none is 0");
    is_scaled(W(0, 0), "aa", W(1, 1), "not even all of them");
    is_scaled(W(7, 65535, 14, 65535), "abab", W(1, 1, 2, 1),
              "each priority by itself");

    is_placed("....", "ab", NULL, "ab.. 0", "new ones in order");
    is_placed("ab..", "ba", NULL, "ab.. 0", "a rotated answer moves nobody");
    is_placed("ab..", "b", NULL, ".b.. 0", "one that is gone frees its slot");
    is_placed(".b..", "cb", NULL, "cb.. 0", "a new one takes the free slot");
    is_placed("ab..", "bc", NULL, "cb.. 0",
              "or that of one which is gone, in the same answer");
    is_placed("ab..", "", NULL, ".... 0", "no answer: nothing is held");
    is_placed("....", "aa", NULL, "a... 0", "the same twice counts once");
    is_placed("....", "aba", "211", "ba.. 0",
              "and with two priorities by the better one");
    is_placed("....", "abcdef", NULL, "abcd 2", "no room for all: the first");
    is_placed("cdef", "abcdef", NULL, "cdef 2", "or who is there already");
    is_placed("cdef", "abcdef", "112222", "cdab 2",
              "unless others have a better priority");
    is_placed("abcd", "efgh", NULL, "efgh 0", "all new");
    is_placed("a.c.", "xcya", NULL, "axcy 0", "old and new mixed");
    return done_testing();
}
