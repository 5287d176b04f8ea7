/*
 * What turn.prom and turn.json look like. Called by figures_writer.c; does no
 * I/O. Every figure has one row in a table in figures_text.c, which says what
 * it means; the same words are the HELP of turn.prom.
 *
 * turn.json, for cms_status and scripts (all times in seconds):
 *   version, pid, started, updated     of the plugin; started, updated: unix
 *                                      time - older than 10 s: it has ended
 *   status                             "active"
 *   listening                          [{"protocol":"udp","address":
 *                                      "192.0.2.1","port":3478}, ...]
 *   clients.tcp, clients.udp           TLS and DTLS included; tcp is counted,
 *                                      udp estimated: relays.udp
 *   relays.tcp, relays.udp             by how their client is connected;
 *                                      their sum is counted; each TCP client
 *                                      is taken to have one: see own_sockets.h
 *   stores.postgresql, .redis, .cli    "off", "up", "away"
 *   cache.users, .absent, .bytes, .complete
 *   feed.state                         "none", "polled", "live", "broken"
 *   feed.lag                           null: nothing was read yet
 *   look_ups.OUTCOME.TIER              counters since started
 *   look_up_seconds.sum, .count, .buckets   {"0.001": how many were as fast,
 *                                      ...}
 *   logins.OUTCOME                     Allocate requests with credentials:
 *                                      "right", "wrong_password",
 *                                      "unknown_name" (no such user, disabled,
 *                                      expired), "unanswered" (nobody could be
 *                                      asked); the log names the users
 *   logins.recent.OUTCOME              those in the last .seconds (up to 600)
 *   counters.NAME                      the other counters
 */

#ifndef FIGURES_TEXT_H
#define FIGURES_TEXT_H

#include "figures.h"
#include "own_sockets.h"

struct figures_page {
    struct figures figures;
    struct own_sockets sockets;
    uint64_t recent_logins[FIGURES_LOGINS]; /* of the last recent_seconds */
    unsigned recent_seconds;
    long pid;
    double started; /* unix time */
    double updated;
    int64_t now_ms; /* monotonic, as figures.confirmed_ms is */
};

/* Enough for either text. */
#define FIGURES_TEXT 32768

/* The text with a '\0' behind it; its length, less than FIGURES_TEXT. */
size_t figures_prom(char text[FIGURES_TEXT], const struct figures_page *page);
size_t figures_json(char text[FIGURES_TEXT], const struct figures_page *page);

/* The estimates. */
unsigned figures_relays_tcp(const struct own_sockets *s);
unsigned figures_relays_udp(const struct own_sockets *s);
unsigned figures_clients_udp(const struct own_sockets *s);

#endif
