/*
 * Several keys behind one: coturn takes one key for a name, but a name may
 * have several (a secret is being rotated; a time-limited name is an ordinary
 * user as well). Then it gets a handle, a random key that nobody else knows;
 * the first message that one of the keys verifies decides which it stands for,
 * and so it stays. Made by user_keys.c, resolved by message_integrity.c; asks
 * nobody. Any thread may call any function.
 */

#ifndef KEY_HANDLES_H
#define KEY_HANDLES_H

#include <stddef.h>
#include <stdint.h>

#define KEY_HANDLE_LEN 16
#define KEY_HANDLE_KEYS 16 /* so many keys a name may have at a time */

typedef uint8_t key_handle_key[KEY_HANDLE_LEN];

struct key_handles;

/*
 * open: how many handles may wait for their first message (the oldest go
 * first); decided: how many are kept after it (those not used for long go
 * first; coturn asks for the user again when a handle is gone). Memory for
 * them is taken with the first handle. NULL when there is none.
 */
struct key_handles *key_handles_create(size_t open, size_t decided);
void key_handles_destroy(struct key_handles *k);

/* A handle for count (1 to KEY_HANDLE_KEYS) keys. 1, or 0: no memory. */
int key_handles_make(struct key_handles *k, key_handle_key handle,
                     const key_handle_key *keys, unsigned count);

/* Was one ever made? Reads one atomic. */
int key_handles_any(struct key_handles *k);

/*
 * The keys a handle stands for: their number; 0 when it is no handle, or was
 * forgotten. *is_decided: which one it is was decided.
 */
unsigned key_handles_find(struct key_handles *k, const key_handle_key handle,
                          key_handle_key keys[KEY_HANDLE_KEYS],
                          int *is_decided);
/* A message was verified with this key. */
void key_handles_decide(struct key_handles *k, const key_handle_key handle,
                        const key_handle_key key);
/* None of its keys verified the message: the handle is good for nothing. */
void key_handles_drop(struct key_handles *k, const key_handle_key handle);

/* How many there are, open and decided, for tests. */
size_t key_handles_count(struct key_handles *k);

#endif
