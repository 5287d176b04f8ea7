/*
 * The affinity cookie: which target a guest is with. Its value is an ID of
 * the target's address that says nothing of the address, and that several
 * edges with the same key agree on. Pure.
 */

#ifndef CMS_AFFINITY_H
#define CMS_AFFINITY_H

#include <stddef.h>

#define CMS_AFFINITY_KEY_LEN 32
#define CMS_AFFINITY_ID_LEN 16

/* "cms_affinity", or with a port "cms_affinity_65535" */
#define CMS_AFFINITY_NAME_MAX 18

/* room for what cms_affinity_set_cookie() writes */
#define CMS_AFFINITY_COOKIE_MAX 128

/*
 * The ID of one address of a web bridge: 64 bits of HMAC-SHA256 (RFC 2104)
 * in lower-case hex, without a zero behind it. 1, or 0 when libcrypto cannot.
 */
int cms_affinity_id(const unsigned char key[CMS_AFFINITY_KEY_LEN],
                    const unsigned char *webbridge, size_t webbridge_len,
                    const unsigned char *address, size_t address_len,
                    unsigned char id[CMS_AFFINITY_ID_LEN]);

/*
 * The cookie's name, without a zero behind it; its length. Browsers do not
 * tell ports apart, so a guest URI with a port has it in the name; 0: none.
 */
size_t cms_affinity_name(unsigned char name[CMS_AFFINITY_NAME_MAX],
                         unsigned port);

/*
 * The next cookie of that name in the value of a Cookie header (RFC 6265,
 * 4.2.1) whose value has the form of an ID: 1, *id at CMS_AFFINITY_ID_LEN
 * bytes of the value and *pos behind it, or 0. *pos is 0 at first. Whatever
 * else a client may send under the name is passed over.
 */
int cms_affinity_find(const unsigned char *value, size_t len,
                      const unsigned char *name, size_t name_len, size_t *pos,
                      const unsigned char **id);

/*
 * The value of Set-Cookie for a session cookie of that name, which has at most
 * CMS_AFFINITY_NAME_MAX bytes: with the zero behind it at most
 * CMS_AFFINITY_COOKIE_MAX bytes; its length.
 */
size_t cms_affinity_set_cookie(unsigned char *buf, const unsigned char *name,
                               size_t name_len,
                               const unsigned char id[CMS_AFFINITY_ID_LEN],
                               int secure);

/*
 * A key from the text of a key file: 64 hex digits, as "openssl rand -hex 32"
 * prints them, and nothing but white space around. 1, or 0.
 */
int cms_affinity_key(const unsigned char *text, size_t len,
                     unsigned char key[CMS_AFFINITY_KEY_LEN]);

#endif
