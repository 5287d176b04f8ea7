/* sources: ngx_cms_proxy_module/cms_client_hello.c */

/* What a ClientHello says, however it is cut, and what is none. */

#include "client_hellos.h"
#include "cms_client_hello.h"
#include "tap.h"

#include <stdlib.h>

#define OK CMS_CLIENT_HELLO_OK
#define MORE CMS_CLIENT_HELLO_MORE
#define NO CMS_CLIENT_HELLO_NO
#define BAD CMS_CLIENT_HELLO_BAD

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

typedef struct {
    unsigned char p[3 * CMS_CLIENT_HELLO_MAX];
    size_t len;
} bytes_t;

static void
add(bytes_t *b, const void *p, size_t len)
{
    if (len > sizeof(b->p) - b->len) {
        abort();
    }
    memcpy(b->p + b->len, p, len);
    b->len += len;
}

static void
add_number(bytes_t *b, size_t n, size_t bytes)
{
    while (bytes--) {
        unsigned char c = n >> 8 * bytes;

        add(b, &c, 1);
    }
}

static void
add_hex(bytes_t *b, const char *hex)
{
    unsigned n;

    while (*hex) {
        if (*hex == ' ') {
            hex++;
            continue;
        }
        if (sscanf(hex, "%2x", &n) != 1) {
            abort();
        }
        add_number(b, n, 1);
        hex += 2;
    }
}

/* Where a vector's length of so many bytes stands, to be filled by end(). */
static size_t
begin(bytes_t *b, size_t bytes)
{
    add_number(b, 0, bytes);
    return b->len;
}

static void
end(bytes_t *b, size_t at, size_t bytes)
{
    size_t len = b->len - at;

    b->len = at - bytes;
    add_number(b, len, bytes);
    b->len += len;
}

/* ---- making one ---- */

/* Message: all up to the extensions. */
static size_t
begin_message(bytes_t *b)
{
    size_t at;

    b->len = 0;
    add_hex(b, "01");
    at = begin(b, 3);
    add_hex(b, "0303");
    add(b, "random, random, random, random, ", 32);
    add_hex(b, "04 01020304 0004 1301c02f 01 00");
    return at;
}

static void
message_of(bytes_t *b, const char *extensions)
{
    size_t message = begin_message(b);
    size_t at = begin(b, 2);

    add_hex(b, extensions);
    end(b, at, 2);
    end(b, message, 3);
}

/* The message in records of so many bytes. */
static void
records_of(bytes_t *to, const bytes_t *message, size_t size)
{
    size_t pos, n;

    to->len = 0;
    for (pos = 0; pos < message->len; pos += n) {
        n = message->len - pos < size ? message->len - pos : size;
        add_hex(to, "160301");
        add_number(to, n, 2);
        add(to, message->p + pos, n);
    }
}

static void
add_server_name(bytes_t *b, const char *name, size_t len)
{
    add_hex(b, "0000");
    add_number(b, len + 5, 2);
    add_number(b, len + 3, 2);
    add_hex(b, "00");
    add_number(b, len, 2);
    add(b, name, len);
}

/* Protocols with spaces between them. */
static void
add_alpn(bytes_t *b, const char *ids)
{
    size_t extension, list;

    add_hex(b, "0010");
    extension = begin(b, 2);
    list = begin(b, 2);
    while (*ids) {
        size_t len = strcspn(ids, " ");

        add_number(b, len, 1);
        add(b, ids, len);
        ids += len + (ids[len] == ' ');
    }
    end(b, list, 2);
    end(b, extension, 2);
}

static void
add_padding(bytes_t *b, size_t len)
{
    add_hex(b, "0015");
    add_number(b, len, 2);
    while (len--) {
        add_number(b, 0, 1);
    }
}

/* ---- reading it ---- */

/* From memory that ends where the bytes do. */
static cms_client_hello_status_t
look(cms_client_hello_t *h, const void *p, size_t len)
{
    unsigned char *copy = malloc(len);
    cms_client_hello_status_t status;

    memcpy(copy, p, len);
    memset(h, 0x55, sizeof(*h));
    status = cms_client_hello_read(h, copy, len);
    free(copy);
    return status;
}

static int
same(const cms_client_hello_t *a, const cms_client_hello_t *b)
{
    return a->server_name_len == b->server_name_len &&
           memcmp(a->server_name, b->server_name, a->server_name_len) == 0 &&
           a->alpn_len == b->alpn_len &&
           memcmp(a->alpn, b->alpn, a->alpn_len) == 0 &&
           a->alpn_present == b->alpn_present && a->alpn_stun == b->alpn_stun &&
           a->alpn_http == b->alpn_http;
}

/* MORE before its end, and nothing else there than its need said. */
static int
prefixes(const unsigned char *p, size_t len)
{
    cms_client_hello_t h;
    size_t n, need = 0;

    for (n = 0; n < len; n++) {
        if (look(&h, p, n) != MORE || h.need <= n || h.need > len ||
            h.need < need) {
            printf("#   at %zu of %zu: need %zu\n", n, len, h.need);
            return 0;
        }
        need = h.need;
    }
    return look(&h, p, len) == OK;
}

/* The same in records of any size, which end at any byte. */
static int
splits(const bytes_t *message, const cms_client_hello_t *want)
{
    static bytes_t wire;
    cms_client_hello_t h;
    size_t size;

    for (size = 1; size <= message->len; size++) {
        records_of(&wire, message, size);
        if (look(&h, wire.p, wire.len) != OK || !same(&h, want)) {
            printf("#   in records of %zu\n", size);
            return 0;
        }
    }
    return 1;
}

typedef struct {
    const char *name;
    const char *hex;
    const char *server_name;
    const char *alpn;
    int http;
} seen_case_t;

static const seen_case_t seen[] = {
    {"Chromium's for a page", chromium_page, "localhost", "h2,http/1.1", 1},
    {"Chromium's for a WebSocket", chromium_websocket, "localhost", "http/1.1",
     1},
    {"Chromium's for turns:", chromium_turns, "", "", 0},
    {"OpenSSL's of TLS 1.2", openssl_tls12, "", "", 0},
};

static void
read_seen(const seen_case_t *c)
{
    static bytes_t wire, message;
    cms_client_hello_t h, again;

    wire.len = message.len = 0;
    add_hex(&wire, c->hex);
    add(&message, wire.p + 5, wire.len - 5);
    is_int(look(&h, wire.p, wire.len), OK, c->name);
    is_mem(h.server_name, h.server_name_len, c->server_name, "  its name");
    is_mem(h.alpn, h.alpn_len, c->alpn, "  its protocols");
    is_int(h.alpn_present, c->alpn[0] != '\0', "  which are there");
    is_int(h.alpn_http, c->http, "  and HTTP or not");
    is_int(h.alpn_stun, 0, "  but not STUN");
    ok(prefixes(wire.p, wire.len), "  is wanted whole");
    ok(splits(&message, &h), "  and says the same in records of any size");
    add(&wire, "\x16\x03\x03\xff\xff and anything", 17);
    ok(look(&again, wire.p, wire.len) == OK && same(&h, &again),
       "  whatever follows it");
}

/* ---- extensions ---- */

typedef struct {
    const char *name;
    const char *extensions; /* hex */
    const char *server_name;
    const char *alpn;
    const char *flags; /* p: ALPN is present, s: STUN, h: HTTP */
} extension_case_t;

#define SNI_A "0000 0006 0004 00 0001 61 "
#define ALPN_H2 "0010 0005 0003 02 6832 "

static const extension_case_t extension_cases[] = {
    {"no extension", "", "", "", ""},
    {"name, then protocols", SNI_A ALPN_H2, "a", "h2", "ph"},
    {"protocols, then a name", ALPN_H2 SNI_A, "a", "h2", "ph"},
    {"unknown ones around", "7a7a 0000 " SNI_A "abcd 0003 010203", "a", "", ""},
    {"a second name, which is ignored", SNI_A "0000 0006 0004 00 0001 62", "a",
     "", ""},
    {"second protocols, which are ignored", ALPN_H2 "0010 0006 0004 03 782f79",
     "", "h2", "ph"},
    {"a name of another type before it",
     "0000 000b 0009 07 0002 7878 00 0001 61", "a", "", ""},
    {"a name of another type alone", "0000 0007 0005 07 0002 7878", "", "", ""},
    {"an empty name", "0000 0005 0003 00 0000", "", "", ""},
    {"a name with a space", "0000 0008 0006 00 0003 612062", "", "", ""},
    {"a name with a zero byte", "0000 0008 0006 00 0003 610062", "", "", ""},
    {"a name with a newline", "0000 0008 0006 00 0003 610a62", "", "", ""},
    {"a name with a slash", "0000 0008 0006 00 0003 2e2e2f", "", "", ""},
    {"a name with a colon", "0000 0007 0005 00 0002 3a31", "", "", ""},
    {"a name that is not ASCII", "0000 0007 0005 00 0002 c3bc", "", "", ""},
    {"every byte next to an allowed one",
     "0000 000b 0009 00 0006 40 5b 60 7b 2f 3a", "", "", ""},
    {"the edges of what a name may hold",
     "0000 000e 000c 00 0009 41 5a 61 7a 30 39 2d 2e 5f", "AZaz09-._", "", ""},
    {"a name longer than its list", "0000 0006 0004 00 0002 61", "", "", ""},
    {"a list longer than its extension", "0000 0006 0005 00 0001 61", "", "",
     ""},
    {"a name list without its length", "0000 0001 00", "", "", ""},
    {"an answer's empty server_name", "0000 0000", "", "", ""},
    {"no protocol", "0010 0002 0000", "", "", "p"},
    {"protocols without their length", "0010 0000", "", "", "p"},
    {"protocols longer than their extension", "0010 0005 0004 02 6832", "", "",
     "p"},
    {"a protocol cut off", "0010 0008 0006 02 6832 03 7878", "", "h2", "ph"},
    {"an empty protocol", "0010 0006 0004 00 02 6832", "", "h2", "ph"},
    {"HTTP/1.0", "0010 000b 0009 08 687474702f312e30", "", "http/1.0", "ph"},
    {"capitals are another protocol", "0010 0005 0003 02 4832", "", "H2", "p"},
    {"h2c is another one", "0010 0006 0004 03 683263", "", "h2c", "p"},
    {"stun.turn", "0010 000c 000a 09 7374756e2e7475726e", "", "stun.turn",
     "ps"},
    {"stun.nat-discovery behind h2",
     "0010 0018 0016 02 6832 12 7374756e2e6e61742d646973636f76657279", "",
     "h2,stun.nat-discovery", "psh"},
    {"just stun", "0010 0007 0005 04 7374756e", "", "stun", "p"},
    {"GREASE", "0010 0008 0006 02 0a0a 02 6832", "", "\n\n,h2", "ph"},
};

static void
read_extension(const extension_case_t *c)
{
    static bytes_t message, wire;
    cms_client_hello_t h;
    char flags[4] = "";

    message_of(&message, c->extensions);
    records_of(&wire, &message, 16384);
    is_int(look(&h, wire.p, wire.len), OK, c->name);
    is_mem(h.server_name, h.server_name_len, c->server_name, "  its name");
    is_mem(h.alpn, h.alpn_len, c->alpn, "  its protocols");
    strcat(flags, h.alpn_present ? "p" : "");
    strcat(flags, h.alpn_stun ? "s" : "");
    strcat(flags, h.alpn_http ? "h" : "");
    is_mem(flags, strlen(flags), c->flags, "  what they are");
    ok(prefixes(wire.p, wire.len) && splits(&message, &h), "  however cut");
}

/* ---- what is none ---- */

typedef struct {
    const char *name;
    const char *hex;
    cms_client_hello_status_t status;
} none_case_t;

#define BODY                                                                   \
    "0303 0000000000000000000000000000000000000000000000000000"                \
    "000000000000 "

#define HELLO "16 0301 002d 01000029" BODY "00 0002 1301 01 00 "
#define EMPTY "16 0301 0000 "
#define EMPTY_8 EMPTY EMPTY EMPTY EMPTY EMPTY EMPTY EMPTY EMPTY
#define EMPTY_32 EMPTY_8 EMPTY_8 EMPTY_8 EMPTY_8

static const none_case_t none_cases[] = {
    {"nothing", "", MORE},
    {"a first byte", "16", MORE},
    {"HTTP", "474554", NO},
    {"a record of another type", "17", NO},
    {"an alert", "15 0301", NO},
    {"version 2", "16 02", NO},
    {"a hello of SSLv2", "802e 01 0301 0015 0000 0010", NO},
    {"version 3.0", "16 0300 0026", MORE},
    {"a version yet to come", "16 03ff 0026", MORE},
    {"an empty record", "16 0301 0000", MORE},
    {"empty records before it", EMPTY EMPTY HELLO, OK},
    {"empty records inside it",
     "16 0301 0001 01" EMPTY "16 0301 0005 0000290303" EMPTY
     "16 0301 0027 0000000000000000000000000000000000000000000000000000"
     "000000000000 00 0002 1301 01 00", OK},
    {"32 empty records", EMPTY_32, MORE},
    {"33 empty records", EMPTY_32 EMPTY, BAD},
    {"33 empty records inside it", "16 0301 0001 01" EMPTY_32 EMPTY, BAD},
    {"a record too long", "16 0301 4001", BAD},
    {"the longest record", "16 0301 4000", MORE},
    {"a ServerHello", "16 0301 0004 02", BAD},
    {"a HelloRequest", "16 0301 0004 00", BAD},
    {"an alert inside it", "16 0301 0002 0100 15 0301 0002", BAD},
    {"another version inside it", "16 0301 0002 0100 16 0201 0002", BAD},
    {"an empty message", "16 0301 0004 01000000", BAD},
    {"only a random", "16 0301 0026 01000022" BODY, BAD},
    {"a session id too long for it",
     "16 0301 002c 01000028" BODY "06 0000 00 0000", BAD},
    {"cipher suites too long for it",
     "16 0301 002d 01000029" BODY "00 0004 1301 01 00", BAD},
    {"compression methods too long",
     "16 0301 002b 01000027" BODY "00 0000 03 0000", BAD},
    {"no extensions at all", HELLO, OK},
    {"a record that goes on behind it",
     "16 0301 0040 01000029" BODY "00 0002 1301 01 00", OK},
    {"half a length of extensions",
     "16 0301 002e 0100002a" BODY "00 0002 1301 01 00 00", BAD},
    {"extensions too long for it",
     "16 0301 002f 0100002b" BODY "00 0002 1301 01 00 0001", BAD},
    {"something behind the extensions",
     "16 0301 0030 0100002c" BODY "00 0002 1301 01 00 0000 00", OK},
    {"half an extension",
     "16 0301 0031 0100002d" BODY "00 0002 1301 01 00 0002 0010", BAD},
    {"an extension too long for it",
     "16 0301 0033 0100002f" BODY "00 0002 1301 01 00 0004 0010 0001", BAD},
    {"protocols, then what is too long",
     "16 0301 003c 01000038" BODY "00 0002 1301 01 00 000d" ALPN_H2 "0010 0001",
     BAD},
    {"a message that is too large", "16 0301 0004 0100fff8", BAD},
    {"one by far", "16 0301 0004 01010100", BAD},
    {"one that fits with its records", "16 0301 0004 0100ffde", MORE},
};

static void
read_none(const none_case_t *c)
{
    static bytes_t b;
    cms_client_hello_t h;

    b.len = 0;
    add_hex(&b, c->hex);
    is_int(look(&h, b.p, b.len), c->status, c->name);
    ok(h.server_name_len == 0 && h.alpn_len == 0 && !h.alpn_present &&
           !h.alpn_stun && !h.alpn_http,
       "  says nothing");
    is_int(h.broken, c->status == BAD, "  and is broken or not");
}

/* ---- sizes ---- */

static void
long_names(void)
{
    static bytes_t message, wire;
    static char name[300];
    cms_client_hello_t h;
    size_t len, at, extensions;

    memset(name, 'a', sizeof(name));
    for (len = 254; len < 258; len++) {
        at = begin_message(&message);
        extensions = begin(&message, 2);
        add_server_name(&message, name, len);
        end(&message, extensions, 2);
        end(&message, at, 3);
        records_of(&wire, &message, 16384);
        ok(look(&h, wire.p, wire.len) == OK, "a name of %zu bytes", len);
        is_int(h.server_name_len, len > 255 ? 0 : len, "  up to 255 count");
    }
}

/* Protocols of 99 and 99 bytes, and one that has room behind them or not. */
static void
long_protocols(size_t last)
{
    static bytes_t message, wire;
    static char ids[600];
    cms_client_hello_t h;
    size_t at, extensions;

    memset(ids, 'x', sizeof(ids));
    ids[99] = ids[199] = ids[200 + last] = ' ';
    strcpy(ids + 200 + last, " h2 stun.turn");
    at = begin_message(&message);
    extensions = begin(&message, 2);
    add_alpn(&message, ids);
    end(&message, extensions, 2);
    end(&message, at, 3);
    records_of(&wire, &message, 16384);
    ok(look(&h, wire.p, wire.len) == OK, "protocols of 99, 99 and %zu", last);
    is_int(h.alpn_len,
           last > 56   ? 199
           : last > 53 ? 200 + last
                       : 203 + last,
           "  are cut at one of them");
    ok(h.alpn_http && h.alpn_stun, "  and all are known");
}

static void
padded(size_t padding, size_t size, cms_client_hello_status_t status)
{
    static bytes_t message, wire;
    cms_client_hello_t h;
    size_t at, extensions;

    at = begin_message(&message);
    extensions = begin(&message, 2);
    add_padding(&message, padding);
    add_server_name(&message, "cmsweb.octavio.test", 19);
    add_alpn(&message, "h2 http/1.1");
    end(&message, extensions, 2);
    end(&message, at, 3);
    records_of(&wire, &message, size);
    ok(look(&h, wire.p, wire.len) == status, "%zu bytes in records of %zu: %s",
       wire.len, size, status == OK ? "read" : "too many");
    if (status == OK) {
        is_mem(h.server_name, h.server_name_len, "cmsweb.octavio.test",
               "  its name");
        is_mem(h.alpn, h.alpn_len, "h2,http/1.1", "  its protocols");
        is_int(look(&h, wire.p, wire.len - 1), MORE, "  is wanted whole");
        is_int(h.need, wire.len, "  down to the last byte");
    }
}

/* As few looks as need asks for, also where records hold a byte each. */
static void
needs(void)
{
    static bytes_t message, wire;
    cms_client_hello_t h;
    size_t len = 0, looks = 0;

    message_of(&message, SNI_A ALPN_H2);
    records_of(&wire, &message, 1);
    while (look(&h, wire.p, len) == MORE && h.need <= wire.len) {
        looks++;
        len = h.need;
    }
    is_int(len, wire.len, "following need comes to the end");
    look(&h, wire.p, 5);
    is_int(h.need, 5 + 1 + 5 + 3, "the rest of a header is in another record");
    look(&h, wire.p, 5 + 1 + 5 + 1);
    is_int(h.need, 5 + 1 + 5 + 1 + 5 + 2, "a length is in another record");
    look(&h, wire.p, 4 * 6);
    is_int(h.need, 4 * 6 + 5 + message.len - 4, "so is what follows it");
    ok(looks < 40, "after %zu looks at %zu records", looks, message.len);
}

int
main(void)
{
    size_t i;

    for (i = 0; i < COUNT(seen); i++) {
        read_seen(&seen[i]);
    }
    for (i = 0; i < COUNT(extension_cases); i++) {
        read_extension(&extension_cases[i]);
    }
    for (i = 0; i < COUNT(none_cases); i++) {
        read_none(&none_cases[i]);
    }
    long_names();
    for (i = 50; i < 60; i++) {
        long_protocols(i);
    }
    padded(20000, 16384, OK);
    padded(65000, 16384, OK);
    padded(10000, 1, OK);
    padded(65500, 16384, BAD);
    padded(20000, 1, BAD);
    needs();
    return done_testing();
}
