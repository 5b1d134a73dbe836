/* Hears from the kernel when a control group has run out of memory, while its processes live on. */
#ifndef TSD_MEMORY_H
#define TSD_MEMORY_H
#include <stdbool.h>

#include "context.h"

/* The step: watches a group's file of events; with version 1 by the group's file of event controls. */
int memory_watch(struct context *context, const struct step *step);

/* Called when the descriptor is readable; whether the group has run out of memory. */
bool memory_ran_out(struct memory_watch *watch);
#endif
