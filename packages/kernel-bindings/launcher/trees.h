/* Detached trees that become a container's root and mounts: opened on the host by who may, before they are handed to the
 * container's process. */
#ifndef TSD_TREES_H
#define TSD_TREES_H
#include <stdbool.h>

#include "context.h"

/* Opens (O_PATH) the place that a source names, with no link in its path if it is confined; with a subpath, what that leads to
 * without leaving the source. */
int tree_open_source(struct context *context, const char *source, bool confined, const char *subpath);
int tree_bind_open(struct context *context, const struct step *step);
int tree_bind_open_in(struct context *context, const struct step *step);
int tree_root_overlay(struct context *context, const struct step *step);
/* An image's files as a tree that nobody can write to. */
int tree_image_open(struct context *context, const struct step *step);
/* In the child: a part of such a tree takes its place. */
int tree_image_part(struct context *context, const struct step *step);
/* Lets go of the copies of layers that overlays were made of. Each waits for all processors (synchronize_rcu), so it is done when
 * nobody waits for this process any more. */
void tree_release_layers(struct context *context);
/* A directory of the host's as the root. */
int tree_root_open(struct context *context, const struct step *step);
int tree_tmpfs_open(struct context *context, const struct step *step);
int tree_node(struct context *context, const struct step *step);

/* Sends the root and all slots through `context->sync`, and closes them here. */
int tree_hand_over(struct context *context);
/* Takes them in the child. */
int tree_take_over(struct context *context);
#endif
