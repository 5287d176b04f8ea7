/*
 * Writes the figures (figures.h) to figures_dir/turn.prom and turn.json every
 * two seconds, from a thread of its own. Started by store.c.
 */

#ifndef FIGURES_WRITER_H
#define FIGURES_WRITER_H

#include "settings.h"

/*
 * Settings must live as long as the process. Does nothing where figures_dir is
 * none. 0, or -1 when there is no thread to be had. May be called again.
 */
int figures_start(const struct settings *s);
/* Waits for the thread's end; called at exit. */
void figures_stop(void);

#endif
