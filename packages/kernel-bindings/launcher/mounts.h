/* Mounts below a container's root: every path is resolved by descriptor, inside the root. */
#ifndef TSD_MOUNTS_H
#define TSD_MOUNTS_H
#include "context.h"

int mount_bind_open(struct context *context, const struct step *step);
int mount_bind_open_in(struct context *context, const struct step *step);
int mount_propagation(struct context *context, const struct step *step);
int mount_root_overlay(struct context *context, const struct step *step);
int mount_filesystem(struct context *context, const struct step *step);
int mount_bind(struct context *context, const struct step *step);
int mount_node(struct context *context, const struct step *step);
int mount_symlink(struct context *context, const struct step *step);
int mount_mask(struct context *context, const struct step *step);
int mount_readonly(struct context *context, const struct step *step);
int mount_pivot(struct context *context, const struct step *step);

/* Opens (O_PATH) the directory `path` below `root`, making what is missing with `mode`; -1 and errno. */
int open_directory_inside(int root, const char *path, mode_t mode);
#endif
