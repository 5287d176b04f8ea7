/* sources: turn_auth_plugin/server_clock.c */

#include "server_clock.h"
#include "tap.h"

#define UNIX 1700000000000

int main(void)
{
    struct server_clock c;

    server_clock_begin(&c, 1000, UNIX);
    is_int(server_clock_unix_ms(&c, 1500), UNIX + 500, "at first our own");
    server_clock_hear(&c, 2000, 2100, UNIX + 60050);
    is_int(server_clock_unix_ms(&c, 2050), UNIX + 60050,
           "the server's, from half way between question and answer");
    server_clock_hear(&c, 3000, 3010, UNIX + 61007);
    is_int(server_clock_unix_ms(&c, 3005), UNIX + 61007,
           "a quicker answer is better");
    server_clock_hear(&c, 4000, 4500, UNIX + 70000);
    is_int(server_clock_unix_ms(&c, 4000), UNIX + 62002,
           "a slow one does not count");
    for (int i = 0; i < 490; i++) {
        server_clock_hear(&c, 5000, 5500, UNIX + 63250);
    }
    is_int(server_clock_unix_ms(&c, 5250), UNIX + 63250,
           "... until the quick one is old");
    server_clock_hear(&c, 6000, 6500, UNIX + 3600000);
    is_int(server_clock_unix_ms(&c, 6250), UNIX + 3600000,
           "a server whose clock was set is believed");
    return done_testing();
}
