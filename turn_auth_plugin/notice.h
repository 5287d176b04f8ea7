/*
 * The plugin's lines for the administrator: on stderr, where systemd's journal
 * and a terminal see them, or to syslog when turnserver has no stderr (-o). No
 * line ever holds a key, a secret or a password.
 */

#ifndef NOTICE_H
#define NOTICE_H

/* One line, without its end. */
void notice(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
