/* Labels of security modules: of the process to come, of mounts, and of trees that are bound into a container. */
#ifndef TSD_LABELS_H
#define TSD_LABELS_H
#include "context.h"

/* Writes a value to the first of these attributes of the thread that there is (proc_pid_attr(5)). */
int child_label(struct context *context, const struct step *step);
/* Gives a path below the root a SELinux label, where its file system has them. */
int mount_label(struct context *context, const struct step *step);
/* Gives a tree of the host's a SELinux label, following no link; refuses the forbidden directories themselves (EPERM). */
int host_relabel(struct context *context, const struct step *step);
#endif
