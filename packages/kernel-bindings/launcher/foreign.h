/* What a monitor has to do with other runtimes: it takes over a process that one of them made, and gives a terminal to who
 * called us as a runtime. */
#ifndef TSD_FOREIGN_H
#define TSD_FOREIGN_H
#include "context.h"

/* Makes this process the one that orphans below it are given to, and listens for the runtime's terminal. */
int foreign_prepare(struct context *context, const struct step *step);
/* Waits for the runtime, which is the child, and makes the process that it has started the child instead. `terminal` gets the
 * descriptor of its terminal, or -1. */
int foreign_take_over(struct context *context, int *terminal);
/* Sends a terminal's master to whom the plan named. Does not close it. */
int foreign_give_terminal(struct context *context, int master);
/* The pipe file by which a container that was created is started, opened before the clone. */
int foreign_open_start(struct context *context, const struct step *step);
/* In the child: says that all is ready, and waits for the start. */
int foreign_await_start(struct context *context, const struct step *step);
#endif
