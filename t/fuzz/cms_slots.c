/* sources: ngx_cms_proxy_module/cms_slots.c */

/*
 * Every slot is used once at most, held addresses that remain do not move
 * while there is room, and none is lost while a slot is free.
 */

#include "cms_slots.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static size_t
distinct(const uint8_t *p, size_t n)
{
    size_t i, count = 0;

    for (i = 0; i < n; i++) {
        count += memchr(p, p[i], i) == NULL;
    }
    return count;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cms_slots_address_t held[CMS_SLOTS_MAX], answers[128];
    size_t nslots, n, i, k, placed = 0, left, want;

    if (size < 2) {
        return 0;
    }
    nslots = data[0] % CMS_SLOTS_MAX + 1;
    data++;
    size--;
    if (size < nslots) {
        return 0;
    }
    for (i = 0; i < nslots; i++) {
        held[i].p = data + i;
        held[i].len = data[i] != 0 && memchr(data, data[i], i) == NULL;
    }
    n = size - nslots < 128 ? size - nslots : 128;
    for (i = 0; i < n; i++) {
        answers[i].p = data + nslots + i;
        answers[i].len = 1;
        answers[i].priority = i % 3;
    }
    for (i = 0; i < n; i++) {
        answers[i].weight = *answers[i].p * 257u;
    }
    cms_slots_scale(answers, n);
    for (i = 0; i < n; i++) {
        if (answers[i].weight < 1
            || answers[i].weight > CMS_SLOTS_WEIGHT_MAX) {
            abort();
        }
    }
    left = cms_slots_place(held, nslots, answers, n);
    for (i = 0; i < n; i++) {
        if (answers[i].slot == CMS_SLOTS_NONE) {
            continue;
        }
        placed++;
        if (answers[i].slot >= nslots) {
            abort();
        }
        for (k = 0; k < i; k++) {
            if (answers[k].slot == answers[i].slot) {
                abort();
            }
        }
        for (k = 0; k < nslots; k++) {
            if (held[k].len && *held[k].p == *answers[i].p
                && answers[i].slot != k) {
                abort();
            }
        }
    }
    want = distinct(data + nslots, n);
    if (placed + left != want || (left && placed < nslots)) {
        abort();
    }
    return 0;
}
