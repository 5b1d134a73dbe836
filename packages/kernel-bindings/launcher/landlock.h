/* Landlock: what the process to come may reach of the file system, of ports, and of other processes. */
#ifndef TSD_LANDLOCK_H
#define TSD_LANDLOCK_H
#include "context.h"

int child_landlock(struct context *context, const struct step *step);
#endif
