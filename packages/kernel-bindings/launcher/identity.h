/* Whose files and processes a container's are: its user namespace, and the host's ids behind it. */
#ifndef TSD_IDENTITY_H
#define TSD_IDENTITY_H
#include "context.h"

/* Writes the maps of the child's new user namespace (or takes them as they are, where it joined one), and opens it for
 * mounts to be mapped by. */
int identity_open(struct context *context, const struct step *step);

/* Makes this process's files belong to the container's root until `identity_leave`; it keeps its capabilities. Nothing
 * changes where there is no user namespace. */
int identity_assume(struct context *context);
void identity_leave(struct context *context);

/* Becomes root of the user namespace that this process is in. */
int identity_become_root(struct context *context);

/* Limits of what a user namespace's processes may have together (user_namespaces(7)) are those of its maker: raised as
 * far as they go before the clone; the child puts its own back. */
void identity_raise_limits(struct context *context);
int identity_restore_limits(struct context *context);
#endif
