/*
 * turn.json, which the coturn plugin writes (turn_auth_plugin/figures_text.h
 * says what is in it), as the status page takes it: known members of the right
 * kind and nothing else. Called by ngx_http_cms_proxy_status_turn.c. Pure: the
 * text and the time are passed in.
 */

#ifndef CMS_TURN_FILE_H
#define CMS_TURN_FILE_H

#include <jansson.h>
#include <stddef.h>

#define CMS_TURN_FILE_MAX 262144

/* "updated" is older than this, in seconds: turnserver has ended. */
#define CMS_TURN_FILE_OLD 10

#define CMS_TURN_ERROR 256

/*
 * Member "turn" of the status document for this text, at this unix time: its
 * "state" is "running" or "stopped". NULL when the text is damaged, and then
 * error says what is wrong, for people. The caller owns the result.
 */
json_t *cms_turn_file(const char *text, size_t len, double now,
                      char error[CMS_TURN_ERROR]);

#endif
