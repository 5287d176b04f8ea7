/* sources: turn_auth_plugin/sealed_value.c turn_auth_plugin/seal_keys.c */

/*
 * Any bytes as a value: they never open. Half of the inputs are a sealed value
 * that was changed somewhere, since a fuzzer does not find one by itself.
 */

#include "sealed_value.h"

#include <stdlib.h>
#include <string.h>

#define NOW 1800000000000

static const struct seal_keys keys = {3, {{1}, {2}, {3}}};
static const struct user_name user = {"octavio.test", 12, "guest", 5};

static void refuse(const struct user_name *u, const uint8_t *data, size_t size)
{
    struct sealed_state s, none = {0};
    uint8_t *exact = malloc(size ? size : 1);

    memcpy(exact, data, size);
    if (sealed_value_open(&s, &keys, "a:", u, exact, size, NOW) !=
            SEALED_FORGED ||
        memcmp(&s, &none, sizeof(s)) != 0) {
        abort();
    }
    free(exact);
}

/* data: what is changed where, in pairs of bytes. */
static void refuse_changed(const uint8_t *data, size_t size)
{
    static const struct sealed_state state = {
        .state = USER_VALID, .as_of_ms = 1, .expires_ms = NOW + 1};
    uint8_t value[SEALED_VALUE_LEN], changed[SEALED_VALUE_LEN];

    if (sealed_value_seal(value, &keys, "a:", &user, &state) != 0) {
        abort();
    }
    memcpy(changed, value, sizeof(value));
    for (size_t i = 0; i + 1 < size; i += 2) {
        changed[data[i] % SEALED_VALUE_LEN] ^= data[i + 1];
    }
    if (memcmp(changed, value, sizeof(value)) != 0) {
        refuse(&user, changed, sizeof(changed));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct user_name u = {"octavio.test", 12, (const char *)data, 0};

    if (size && data[0] & 1) {
        refuse_changed(data + 1, size - 1);
    } else if (size) {
        u.name_len = size - 1 < 8 ? size - 1 : 8;
        refuse(&u, data + 1, size - 1);
    }
    return 0;
}
