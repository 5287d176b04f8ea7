/*
 * Finds the end of a ClientHello over its records, then walks through it.
 * Called by cms_preread.
 */

#include "cms_client_hello.h"

#include <string.h>

#define RECORD_HEADER 5
#define RECORD_MAX 16384 /* RFC 8446 section 5.1 */
#define EMPTY_RECORDS 32 /* that OpenSSL takes, though nobody may send any */
#define RECORD_HANDSHAKE 22
#define MESSAGE_HEADER 4
#define MESSAGE_CLIENT_HELLO 1
#define VERSION_AND_RANDOM 34

#define EXTENSION_SERVER_NAME 0
#define EXTENSION_ALPN 16
#define NAME_TYPE_HOST 0

static size_t
least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t
number(const unsigned char *p, size_t len)
{
    size_t n = 0;

    while (len--) {
        n = n << 8 | *p++;
    }
    return n;
}

/* ---- where it ends ---- */

/* The records, up to the end of the message. */
typedef struct {
    const unsigned char *p;
    size_t len;
    size_t pos;
    size_t got;  /* of the message, before pos */
    size_t want; /* its length with header, as far as that is known */
    size_t empty;
    unsigned char header[MESSAGE_HEADER];
} records_t;

static cms_client_hello_status_t
more(cms_client_hello_t *h, size_t need)
{
    h->need = need;
    return need > CMS_CLIENT_HELLO_MAX ? CMS_CLIENT_HELLO_BAD
                                       : CMS_CLIENT_HELLO_MORE;
}

/* What there is of the message's header, at the beginning of a record. */
static int
read_message_header(records_t *r, size_t have)
{
    size_t n = least(MESSAGE_HEADER - r->got, have);

    memcpy(r->header + r->got, r->p + r->pos, n);
    if (r->got + n == MESSAGE_HEADER) {
        r->want = MESSAGE_HEADER + number(r->header + 1, 3);
    }
    return r->got + n == 0 || r->header[0] == MESSAGE_CLIENT_HELLO;
}

static cms_client_hello_status_t
read_record(records_t *r, cms_client_hello_t *h)
{
    const unsigned char *p = r->p + r->pos;
    size_t size, have, rest;

    if (r->len - r->pos < RECORD_HEADER) {
        return more(h, r->pos + RECORD_HEADER + r->want - r->got);
    }
    size = number(p + 3, 2);
    r->empty += size == 0;
    if (p[0] != RECORD_HANDSHAKE || p[1] != 3 || size > RECORD_MAX ||
        r->empty > EMPTY_RECORDS) {
        return CMS_CLIENT_HELLO_BAD;
    }
    r->pos += RECORD_HEADER;
    have = least(size, r->len - r->pos);
    if (r->got < MESSAGE_HEADER && !read_message_header(r, have)) {
        return CMS_CLIENT_HELLO_BAD;
    }
    rest = r->want - r->got;
    if (have < least(size, rest) || r->pos + rest > CMS_CLIENT_HELLO_MAX) {
        return more(h, r->pos + rest + (rest > size ? RECORD_HEADER : 0));
    }
    r->pos += least(size, rest);
    r->got += least(size, rest);
    return CMS_CLIENT_HELLO_OK;
}

/* OK if the whole message is there; sets its length. */
static cms_client_hello_status_t
find_end(cms_client_hello_t *h, const unsigned char *p, size_t len,
         size_t *message_len)
{
    records_t r = {p, len, 0, 0, MESSAGE_HEADER, 0, {0}};
    cms_client_hello_status_t status;

    if (len > 0 && (p[0] != RECORD_HANDSHAKE || (len > 1 && p[1] != 3))) {
        return CMS_CLIENT_HELLO_NO;
    }
    do {
        status = read_record(&r, h);
    } while (status == CMS_CLIENT_HELLO_OK && r.got < r.want);
    *message_len = r.want;
    return status;
}

/* ---- what it says ---- */

/* Bytes of the message, or of a part of it, which are known to be there. */
typedef struct {
    const unsigned char *p;
    size_t in_record; /* bytes at p before the next record header */
    size_t left;
} part_t;

/* Moves on; 0 if the part ends before. to may be NULL. */
static int
take(part_t *r, unsigned char *to, size_t len)
{
    size_t n;

    if (len > r->left) {
        return 0;
    }
    r->left -= len;
    while (len > 0) {
        if (r->in_record == 0) {
            r->in_record = number(r->p + 3, 2);
            r->p += RECORD_HEADER;
        }
        n = least(len, r->in_record);
        if (to) {
            memcpy(to, r->p, n);
            to += n;
        }
        r->p += n;
        r->in_record -= n;
        len -= n;
    }
    return 1;
}

static int
take_number(part_t *r, size_t bytes, size_t *n)
{
    unsigned char text[2];

    if (!take(r, text, bytes)) {
        return 0;
    }
    *n = number(text, bytes);
    return 1;
}

/* A vector with so many bytes of length before it; r moves behind it. */
static int
take_vector(part_t *r, size_t bytes, part_t *vector)
{
    size_t len;

    if (!take_number(r, bytes, &len)) {
        return 0;
    }
    *vector = *r;
    vector->left = len;
    return take(r, NULL, len);
}

static int
is_host_name(const unsigned char *p, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++) {
        unsigned char c = p[i] | 0x20;

        if (!((c >= 'a' && c <= 'z') || (p[i] >= '0' && p[i] <= '9') ||
              p[i] == '-' || p[i] == '.' || p[i] == '_')) {
            return 0;
        }
    }
    return 1;
}

static void
read_server_name(cms_client_hello_t *h, part_t extension)
{
    part_t list, name;
    size_t type;

    if (!take_vector(&extension, 2, &list)) {
        return;
    }
    while (take_number(&list, 1, &type) && take_vector(&list, 2, &name)) {
        size_t len = name.left;

        if (type != NAME_TYPE_HOST || len >= sizeof(h->server_name)) {
            continue;
        }
        take(&name, h->server_name, len);
        if (is_host_name(h->server_name, len)) {
            h->server_name_len = len;
            return;
        }
    }
}

/* Is there room for it still? A comma is in place of the one before it. */
static int
add_protocol(cms_client_hello_t *h, const unsigned char *id, size_t len)
{
    size_t comma = h->alpn_len > 0;

    if (comma + len > sizeof(h->alpn) - h->alpn_len) {
        return 0;
    }
    if (comma) {
        h->alpn[h->alpn_len++] = ',';
    }
    memcpy(h->alpn + h->alpn_len, id, len);
    h->alpn_len += len;
    return 1;
}

static void
read_alpn(cms_client_hello_t *h, part_t extension)
{
    unsigned char id[255];
    part_t list, name;
    int room = 1;

    h->alpn_present = 1;
    if (!take_vector(&extension, 2, &list)) {
        return;
    }
    while (take_vector(&list, 1, &name)) {
        size_t len = name.left;

        take(&name, id, len);
        room = room && add_protocol(h, id, len);
        if (len >= 5 && memcmp(id, "stun.", 5) == 0) {
            h->alpn_stun = 1;
        }
        if ((len == 2 && memcmp(id, "h2", 2) == 0) ||
            (len >= 5 && memcmp(id, "http/", 5) == 0)) {
            h->alpn_http = 1;
        }
    }
}

static int
read_extensions(cms_client_hello_t *h, part_t *extensions)
{
    part_t extension;
    size_t type;
    int named = 0;

    while (extensions->left > 0) {
        if (!take_number(extensions, 2, &type) ||
            !take_vector(extensions, 2, &extension)) {
            return 0;
        }
        if (type == EXTENSION_SERVER_NAME && !named) {
            named = 1;
            read_server_name(h, extension);
        }
        if (type == EXTENSION_ALPN && !h->alpn_present) {
            read_alpn(h, extension);
        }
    }
    return 1;
}

/* RFC 8446 section 4.1.2; before TLS 1.3 extensions may be missing. */
static int
read_message(cms_client_hello_t *h, part_t *message)
{
    part_t session_id, cipher_suites, compression_methods, extensions;

    if (!take(message, NULL, MESSAGE_HEADER + VERSION_AND_RANDOM) ||
        !take_vector(message, 1, &session_id) ||
        !take_vector(message, 2, &cipher_suites) ||
        !take_vector(message, 1, &compression_methods)) {
        return 0;
    }
    return message->left == 0 || (take_vector(message, 2, &extensions) &&
                                  read_extensions(h, &extensions));
}

void
cms_client_hello_clear(cms_client_hello_t *h)
{
    h->need = 0;
    h->server_name_len = 0;
    h->alpn_len = 0;
    h->alpn_present = h->alpn_stun = h->alpn_http = h->broken = 0;
}

cms_client_hello_status_t
cms_client_hello_read(cms_client_hello_t *h, const unsigned char *p, size_t len)
{
    part_t message = {p, 0, 0};
    cms_client_hello_status_t status;

    cms_client_hello_clear(h);
    status = find_end(h, p, len, &message.left);
    if (status == CMS_CLIENT_HELLO_OK && !read_message(h, &message)) {
        status = CMS_CLIENT_HELLO_BAD;
    }
    if (status == CMS_CLIENT_HELLO_BAD) {
        cms_client_hello_clear(h);
        h->broken = 1;
    }
    return status;
}
