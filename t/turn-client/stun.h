/*
 * STUN and TURN messages (RFC 8489, 8656, 6062) as a client needs them: built
 * and read in a buffer, no I/O. Used by turn_client and turn_load.
 */

#ifndef STUN_H
#define STUN_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define STUN_BINDING 0x0001
#define STUN_ALLOCATE 0x0003
#define STUN_REFRESH 0x0004
#define STUN_SEND 0x0006
#define STUN_DATA 0x0007
#define STUN_PERMISSION 0x0008
#define STUN_CHANNEL_BIND 0x0009
#define STUN_CONNECT 0x000a

#define STUN_REQUEST 0x0000
#define STUN_INDICATION 0x0010
#define STUN_SUCCESS 0x0100
#define STUN_ERROR 0x0110
#define STUN_CLASS 0x0110

#define STUN_USERNAME 0x0006
#define STUN_MESSAGE_INTEGRITY 0x0008
#define STUN_ERROR_CODE 0x0009
#define STUN_CHANNEL_NUMBER 0x000c
#define STUN_LIFETIME 0x000d
#define STUN_XOR_PEER_ADDRESS 0x0012
#define STUN_DATA_VALUE 0x0013
#define STUN_REALM 0x0014
#define STUN_NONCE 0x0015
#define STUN_XOR_RELAYED_ADDRESS 0x0016
#define STUN_REQUESTED_ADDRESS_FAMILY 0x0017
#define STUN_REQUESTED_TRANSPORT 0x0019
#define STUN_XOR_MAPPED_ADDRESS 0x0020

#define STUN_HEADER 20
#define STUN_MAX 2048

/* A message; bytes[0..len) is what goes over the wire. */
struct stun {
    uint8_t bytes[STUN_MAX];
    size_t len;
};

/* Begins a message with a random transaction ID. */
void stun_begin(struct stun *m, unsigned method, unsigned class);
void stun_add(struct stun *m, unsigned type, const void *value, size_t len);
void stun_add_string(struct stun *m, unsigned type, const char *value);
void stun_add_u32(struct stun *m, unsigned type, uint32_t value);
void stun_add_address(struct stun *m, unsigned type,
                      const struct sockaddr_storage *addr);
/* key: 16 bytes. The last attribute of an authenticated request. */
void stun_add_integrity(struct stun *m, const uint8_t *key);

/* MD5(user:realm:password), RFC 8489 9.2.2. */
void stun_key(uint8_t *key, const char *user, const char *realm,
              const char *password);

/*
 * The length of the message at the start of (p, n), 0 when more bytes are
 * needed, or -1 when it is none.
 */
int stun_length(const uint8_t *p, size_t n);
unsigned stun_method(const struct stun *m);
unsigned stun_class(const struct stun *m);
int stun_same_transaction(const struct stun *a, const struct stun *b);
/* The value of the first attribute of this type, or NULL. */
const uint8_t *stun_find(const struct stun *m, unsigned type, size_t *len);
/* 0, or -1 when the attribute is missing or malformed. */
int stun_find_address(const struct stun *m, unsigned type,
                      struct sockaddr_storage *addr);
/* The error code (401, ...), 0 for none; the reason is cut to size. */
int stun_error(const struct stun *m, char *reason, size_t size);

/* "192.0.2.1:3478", "[::1]:3478", "192.0.2.1" (port 0); 0 or -1. */
int stun_parse_address(const char *text, struct sockaddr_storage *addr);
const char *stun_print_address(const struct sockaddr_storage *addr);
socklen_t stun_address_length(const struct sockaddr_storage *addr);

#endif
