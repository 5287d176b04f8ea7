/*
 * What the stream module counts and the status page of the http module
 * shows, in the shared memory zone "cms_share". The two modules share no
 * symbols: the http module finds the zone by its name.
 */

#ifndef CMS_SHARE_FIGURES_H
#define CMS_SHARE_FIGURES_H

#include <stdint.h>

#define CMS_SHARE_ZONE_NAME "cms_share"

/* Changes with the layout: figures of another one are not read. */
#define CMS_SHARE_FIGURES_MAGIC 0x636d7301

/* What became of a connection; each is counted once, when that is known. */
typedef enum {
    CMS_SHARE_HTTPS,        /* TLS, handed to https= */
    CMS_SHARE_HTTPS_OPENED, /* HTTP in TLS without ALPN, handed to http= */
    CMS_SHARE_TURN_TCP,     /* STUN, connected to turn= */
    CMS_SHARE_TURN_TLS,     /* STUN in TLS, connected to turn= */
    CMS_SHARE_PLAIN_HTTP,   /* HTTP without TLS, handed over for its 400 */
    CMS_SHARE_UNKNOWN,      /* none of these: closed */
    CMS_SHARE_SILENT,       /* said too little before the deadline: closed */
    CMS_SHARE_GONE,         /* closed by the client before it was known */
    CMS_SHARE_REFUSED,      /* known, and no target for it: closed */
    CMS_SHARE_OUTCOMES
} cms_share_outcome_t;

/*
 * In shared memory, written with atomic adds. Counted since nginx started;
 * reloads keep them.
 */
typedef struct {
    uint64_t magic; /* set last */
    uint64_t outcomes[CMS_SHARE_OUTCOMES];
    uint64_t opened; /* TLS handed to turns=, to be opened and looked into */
} cms_share_figures_t;

#endif
