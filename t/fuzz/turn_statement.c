/* sources: turn_auth_plugin/statement.c */

/*
 * Any text as a statement: values lie inside the text or are parameters, hold
 * no quote when they were literals, and what a recognised statement says is
 * said by its literal form as well.
 */

#include "statement.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int values_of(enum statement_kind kind)
{
    switch (kind) {
    case STATEMENT_USER_KEY:
        return 2;
    case STATEMENT_REALM_SECRETS:
    case STATEMENT_OAUTH_KEY:
        return 1;
    default:
        return 0;
    }
}

static void check(int good)
{
    if (!good) {
        abort();
    }
}

static void check_literal(const struct statement_value *v, const char *text,
                          size_t size)
{
    check(v->p >= text && v->p + v->len <= text + size);
    check(!memchr(v->p, '\'', v->len) && !memchr(v->p, '\\', v->len) &&
          !memchr(v->p, '\0', v->len));
}

/* A statement with this value in it is recognised, and gives it back. */
static void check_round_trip(const uint8_t *data, size_t size)
{
    static const char form[] = "select value from turn_secret where realm='";
    struct statement s;
    char text[1200];
    size_t n = sizeof(form) - 1;
    int plain = !memchr(data, '\'', size) && !memchr(data, '\\', size) &&
                !memchr(data, '\0', size);

    if (size > 1000) {
        return;
    }
    memcpy(text, form, n);
    memcpy(text + n, data, size);
    text[n + size] = '\'';
    statement_recognise(&s, text, n + size + 1, NULL, 0);
    if (plain) {
        check(s.kind == STATEMENT_REALM_SECRETS && s.values[0].len == size &&
              memcmp(s.values[0].p, data, size) == 0);
    } else {
        check(s.kind == STATEMENT_OTHER ||
              !memchr(s.values[0].p, '\'', s.values[0].len));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const params[] = {"one", NULL, "three"};
    char *text = malloc(size ? size : 1);
    struct statement s;

    memcpy(text, data, size);
    statement_recognise(&s, text, size, NULL, 0);
    for (int i = 0; i < values_of(s.kind); i++) {
        check_literal(&s.values[i], text, size);
    }
    statement_recognise(&s, text, size, params, 3);
    for (int i = 0; i < values_of(s.kind); i++) {
        if (s.values[i].p != params[0] && s.values[i].p != params[2]) {
            check_literal(&s.values[i], text, size);
        }
    }
    check_round_trip(data, size);
    free(text);
    return 0;
}
