/* What the steps of one plan share while it is carried out, and how a step says that it failed. */
#ifndef TSD_CONTEXT_H
#define TSD_CONTEXT_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "logfile.h"
#include "plan.h"

#define BIND_SLOTS 256
/* Kinds of namespaces. */
#define NAMESPACES_MAX 8
/* More control group hierarchies than there are. */
#define CGROUP_FILES 32
/* Resource limits that are counted for a user namespace as a whole. */
#define COUNTED_LIMITS 4
/* Where netlink messages find the container's network namespace (IFLA_NET_NS_FD). */
#define NETWORK_NAMESPACE_FD 100

/* Where the monitor keeps the sockets of the container's name server, for daemons to take duplicates of
 * (src/name-server.ts knows the numbers). */
#define NAME_SERVER_DATAGRAM_FD 110
#define NAME_SERVER_STREAM_FD 111
/* Where the monitor keeps the plan that it carried out, for daemons to read (src/plan/kept.ts knows the number). */
#define PLAN_FD 112
#define NAME_SERVER_SOCKETS 2
#define NAME_SERVER_BACKLOG 128
/* Bytes of datagrams that may wait, which the kernel doubles: some 1,300 questions instead of its default of 270. */
#define NAME_SERVER_BUFFER (512 << 10)

/* Why a plan ended: the step, the call, its errno, and the path or name it was about. */
struct failure {
    uint32_t step;
    int error;
    char call[32];
    char path[256];
};

/* How the monitor hears that the control group has run out of memory. */
struct memory_watch {
    int descriptor; /* an eventfd of version 1, an inotify of version 2; -1 for none */
    bool counted;   /* version 2: the file tells of much else, and its count says whether it was this */
    char *events;   /* the file that says how often */
    uint64_t kills; /* by the file's count */
    uint32_t told;  /* how often it has happened */
};

struct forward;
struct child_report;

struct context {
    const struct plan *plan;
    uint32_t step; /* index of the step being carried out */
    struct failure failure;

    /* stdio */
    bool terminal, open_stdin, stdin_once;
    uid_t stdio_owner;
    uint16_t columns, rows;
    int stdio[3]; /* the child's ends of its streams (-1: /dev/null, or the terminal to come) */

    /* the child and the channel to it */
    pid_t child;
    int pidfd;
    struct child_report *last_word; /* in shared memory: a child that may make no call any more can still leave it there */
    int sync; /* one end each of a SOCK_SEQPACKET pair; in the child it closes at execve */

    /* namespaces of others that the clone joins: their paths, or NULL */
    const char *pid_namespace, *joined_user_namespace;

    /* the container's user namespace (a descriptor, or -1) and the host's ids of its root */
    int user_namespace;
    uid_t root_user;
    gid_t root_group;
    struct rlimit limits[COUNTED_LIMITS]; /* the child's own, while ours are raised */
    bool limits_raised;

    /* detached trees that the monitor has opened, and the child after it (descriptors, or -1) */
    int root;
    int slots[BIND_SLOTS];

    /* copies of layers that overlays were made of, up to the start (tree_release_layers), or NULL */
    int *layers;
    size_t layer_count;

    /* /proc/sys of the container's own /proc, or else the host's (-1 before there is either): the host's is slow to look through beside many containers, since the
     * kernel keeps entries there for each network namespace */
    int parameters;

    /* the files by which the child enters its control groups, opened by who may */
    int cgroup_files[CGROUP_FILES];
    size_t cgroup_count;

    /* other runtimes: the step that has a process of theirs taken over, where its terminal comes in (or -1); whether the
     * streams are this program's own, who gets the terminal (or ""), whether the monitor leaves its process alone, and the
     * pipe that it is started by (or -1) */
    const struct step *adopted;
    int console_listener, start_pipe;
    bool inherit_streams, leave;
    const char *console_socket;

    /* places, as the plan named them; empty when it did not */
    const char *socket_path, *exit_path, *trace_path;
    struct log_settings log; /* without a path: none */
    struct forward *forward;
    struct memory_watch memory;
};

/* Notes the failure of the present step, with errno as it stands; returns -1. */
int fail(struct context *context, const char *call, const char *path);

int run_monitor_step(struct context *context, const struct step *step);
int run_host_step(struct context *context, const struct step *step);
int run_child_step(struct context *context, const struct step *step);

/* Carries out all steps of one stage in order; 0, or -1 with `context->failure`. */
int run_stage(struct context *context, enum stage stage);

int write_file(struct context *context, const char *path, const char *value, size_t length);
#endif
