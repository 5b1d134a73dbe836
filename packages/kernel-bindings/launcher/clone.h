/* The clone, and the namespaces and control groups that the new process joins. */
#ifndef TSD_CLONE_H
#define TSD_CLONE_H
#include "context.h"

int clone_child(struct context *context, const struct step *step);
int time_namespace(struct context *context, const struct step *step);
int join_namespaces(struct context *context, const struct step *step);
int enter_cgroups(struct context *context, const struct step *step);
#endif
