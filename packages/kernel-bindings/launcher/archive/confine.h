/* Locks this process into a directory: root, capabilities, and no new code. */
#ifndef TSD_CONFINE_H
#define TSD_CONFINE_H
#include <stdbool.h>

/* Names are bytes that are mostly UTF-8; the tables for that are taken from the host, before a root is changed to. */
bool prepare(void);

/* Makes the directory `root` is a descriptor of the root, keeps only the capabilities that files take, and lets no code
 * be loaded any more. With `overlay_notes` the overlay's own attributes can be read (CAP_SYS_ADMIN stays). 0, or -1 and
 * errno, `call` naming what failed. */
int confine(int root, bool overlay_notes, const char **call);
#endif
