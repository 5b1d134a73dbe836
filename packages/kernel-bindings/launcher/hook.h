/* Hooks: programs of the host's, or of the container's, that are told of a container that is being made. */
#ifndef TSD_HOOK_H
#define TSD_HOOK_H
#include "context.h"

/* The step: runs a hook to its end. `pid` is the container's process, as the host numbers it. */
int hook_run(struct context *context, const struct step *step, pid_t pid);
#endif
