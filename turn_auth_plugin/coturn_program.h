/*
 * Is the program that this library was preloaded into coturn? LD_PRELOAD is
 * inherited by shells and whatever a unit starts, so the plugin must do nothing
 * anywhere else. Called once by libpq_boundary.c.
 */

#ifndef COTURN_PROGRAM_H
#define COTURN_PROGRAM_H

enum coturn_program {
    PROGRAM_OTHER,      /* leave it alone */
    PROGRAM_TURNADMIN,  /* only passes statements through */
    PROGRAM_TURNSERVER, /* answers them */
};

/*
 * coturn is a program whose own code uses libpq by PQconnectdb and PQexec and
 * by no function on connections that the plugin does not stand in for. Its
 * name does not matter, except that turnadmin is turnserver called "turnadmin"
 * (coturn's own rule). When a program looks like a coturn too new to be known,
 * *unknown is the function it uses, else NULL. *calls_hmac: does it check and
 * make MESSAGE-INTEGRITY by OpenSSL's HMAC() (message_integrity.h)?
 */
enum coturn_program coturn_program(const char **unknown, int *calls_hmac);

#endif
