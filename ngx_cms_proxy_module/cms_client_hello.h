/*
 * Reads the ClientHello that a TLS connection begins with, as far as it says
 * where the connection wants to go. Pure: no nginx types, no allocation, no
 * state: called again with the same bytes and more, it begins anew.
 */

#ifndef CMS_CLIENT_HELLO_H
#define CMS_CLIENT_HELLO_H

#include <stddef.h>

/*
 * What a hello may take with its record headers. Post-quantum keys make them
 * 2 KB to some 10 KB; stacks take 64 KB to 128 KB.
 */
#define CMS_CLIENT_HELLO_MAX 65536

typedef struct {
    /*
     * Of MORE: a hello that begins so has at least so many bytes in all;
     * looking at fewer is in vain (but for NO or BAD, which may be seen
     * sooner). It may turn out to be longer. Who waits for need before each
     * look needs 60 looks at most, however small a client's records are.
     */
    size_t need;

    /*
     * Of OK. The host name asked for (RFC 6066 section 3), letter case as
     * sent; empty where there is none, or none that could be a host name.
     */
    size_t server_name_len; /* 0..255 */
    unsigned char server_name[256];

    /*
     * Of OK. The protocols offered (RFC 7301), as sent, with commas between
     * them; those from the first on that has no more room are left out.
     * They are a client's bytes: anything can be among them.
     */
    size_t alpn_len; /* 0..256 */
    unsigned char alpn[256];

    unsigned alpn_present:1; /* the extension is there, whatever it holds */
    unsigned alpn_stun:1;    /* "stun.turn" or another "stun." (RFC 7443) */
    unsigned alpn_http:1;    /* "h2" or an "http/" */
    unsigned broken:1;       /* of BAD */
} cms_client_hello_t;

typedef enum {
    CMS_CLIENT_HELLO_NO,   /* no TLS record; a hello of SSLv2 neither */
    CMS_CLIENT_HELLO_MORE, /* could be one, and does not end here */
    CMS_CLIENT_HELLO_OK,
    CMS_CLIENT_HELLO_BAD, /* TLS, but no stack reads on; or too large */
} cms_client_hello_status_t;

/*
 * Takes a hello of any version in records of any size (RFC 8446 section 5.1),
 * and ignores what it does not know. A server_name or ALPN extension that is
 * malformed inside counts as far as it can be read. The answer to some bytes,
 * unless it is MORE, is the answer to these bytes with anything behind them.
 * h is overwritten in any case. Time: linear in the least of len and
 * CMS_CLIENT_HELLO_MAX.
 */
cms_client_hello_status_t cms_client_hello_read(cms_client_hello_t *h,
                                                const unsigned char *p,
                                                size_t len);

/* As if read: nothing known. */
void cms_client_hello_clear(cms_client_hello_t *h);

#endif
