/* The steps a container's process takes on itself, up to its execve. */
#ifndef TSD_CHILD_H
#define TSD_CHILD_H
#include "context.h"

/* What the child says to its monitor: a failure, or, with descriptors attached, the master of its terminal or the sockets
 * of its name server (datagrams, then streams); or which descriptor the listener of its trace will be (failure.step); or that
 * it waits for its start. */
enum child_message { CHILD_FAILED = 1, CHILD_TERMINAL = 2, CHILD_NAME_SERVER = 3, CHILD_TRACE = 4, CHILD_WAITING = 5 };
#define CHILD_MAX_DESCRIPTORS 2

struct child_report {
    uint32_t kind;
    pid_t pid; /* in the shared one: the child's, as the host numbers it */
    struct failure failure;
};

/* Runs the child's stage of the plan; does not return. */
_Noreturn void child_main(struct context *context);

int child_await_host(struct context *context);
int child_terminal(struct context *context, const struct step *step);
int child_name_server(struct context *context, const struct step *step);
int child_rlimit(struct context *context, const struct step *step);
int child_keyring(struct context *context, const struct step *step);
int child_no_new_privileges(struct context *context);
int child_seccomp(struct context *context, const struct step *step);
int child_bounding(struct context *context, const struct step *step);
int child_user(struct context *context, const struct step *step);
int child_capabilities(struct context *context, const struct step *step);
int child_working_directory(struct context *context, const struct step *step);
/* Stays, doing nothing, for the sake of the namespaces; ends with its monitor. */
_Noreturn void child_hold(struct context *context);
int child_execute(struct context *context, const struct step *step);
#endif
