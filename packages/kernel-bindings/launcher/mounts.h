/* Mounts below a container's root: every path is resolved by descriptor, inside the root. */
#ifndef TSD_MOUNTS_H
#define TSD_MOUNTS_H
#include "context.h"

int mount_propagation(struct context *context, const struct step *step);
int mount_root_attach(struct context *context, const struct step *step);
int mount_filesystem(struct context *context, const struct step *step);
int mount_bind(struct context *context, const struct step *step);
int mount_symlink(struct context *context, const struct step *step);
int mount_mask(struct context *context, const struct step *step);
int mount_readonly(struct context *context, const struct step *step);
int mount_pivot(struct context *context, const struct step *step);

/* Sets options ("key=value" or "flag") on a file system being configured, and makes a detached mount of it. */
int configure_all(struct context *context, int fs, const struct field *options);
int create_mount(struct context *context, int fs, uint64_t attributes, const char *name);

/* Opens the directory that `path`'s last component is in, making it if need be; `buffer` (PATH_MAX) takes `*name`. */
int open_parent_inside(int root, const char *path, char *buffer, const char **name);

/* Opens (O_PATH) the directory `path` below `root`, making what is missing with `mode`; -1 and errno. */
int open_directory_inside(int root, const char *path, mode_t mode);
#endif
