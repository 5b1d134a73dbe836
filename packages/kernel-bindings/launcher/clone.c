/* The clone, and the namespaces and control groups that the new process joins. */
#include "clone.h"

#include <errno.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "child.h"
#include "identity.h"
#include "kernel.h"

static int join_namespace(struct context *context, const char *path, int type) {
    int namespace = open(path, O_RDONLY | O_CLOEXEC);
    if (namespace < 0) return fail(context, "open", path);
    int result = setns(namespace, type) < 0 ? fail(context, "setns", path) : 0;
    close(namespace);
    return result;
}

/* Joins namespaces in their order. All are opened before the first is joined: from within one, others may be out of sight. */
int join_namespaces(struct context *context, const struct step *step) {
    const struct field *paths = &step->fields[0], *types = &step->fields[1];
    int namespaces[NAMESPACES_MAX], result = 0;
    size_t opened = 0;
    if (paths->length != types->length || paths->length > NAMESPACES_MAX) return errno = EINVAL, fail(context, "setns", "paths");
    for (; opened < paths->length && result == 0; opened++) {
        namespaces[opened] = open(paths->list[opened], O_RDONLY | O_CLOEXEC);
        if (namespaces[opened] < 0) result = fail(context, "open", paths->list[opened]);
    }
    for (size_t i = 0; i < opened && result == 0; i++)
        if (setns(namespaces[i], (int)plan_number(types, i)) < 0) result = fail(context, "setns", paths->list[i]);
    for (size_t i = 0; i < opened; i++)
        if (namespaces[i] >= 0) close(namespaces[i]);
    return result;
}

/* A time namespace for the processes to come, with its clocks' offsets (time_namespaces(7)). */
int time_namespace(struct context *context, const struct step *step) {
    if (unshare(CLONE_NEWTIME) < 0) return fail(context, "unshare", "time");
    return write_file(context, "/proc/self/timens_offsets", step->fields[0].string, step->fields[0].length);
}

/* Opens the files by which the child will enter its control groups: who opened them is who must be allowed to
 * (cgroups(7)), and the child may be nobody there. */
static int open_cgroup_files(struct context *context) {
    for (uint32_t i = 0; i < context->plan->length; i++) {
        const struct step *step = &context->plan->steps[i];
        if (step->entry->op != OP_CGROUP_ENTER) continue;
        const struct field *files = &step->fields[0];
        if (files->length > CGROUP_FILES) return errno = EINVAL, fail(context, "open", "control groups");
        for (size_t at = 0; at < files->length; at++) {
            int file = open(files->list[at], O_WRONLY | O_CLOEXEC);
            if (file < 0) return fail(context, "open", files->list[at]);
            context->cgroup_files[context->cgroup_count++] = file;
        }
    }
    return 0;
}

static void close_cgroup_files(struct context *context) {
    while (context->cgroup_count) close(context->cgroup_files[--context->cgroup_count]);
}

int enter_cgroups(struct context *context, const struct step *step) {
    int result = 0;
    for (size_t i = 0; i < context->cgroup_count && result == 0; i++)
        if (write(context->cgroup_files[i], "0", 1) != 1) result = fail(context, "write", step->fields[0].list[i]);
    close_cgroup_files(context);
    return result;
}

/* A clone in somebody's user namespace is made by a process that has joined it, and is the monitor's child all the same. */
static pid_t clone_joined(struct context *context, struct clone_args *arguments) {
    int told[2];
    if (pipe2(told, O_CLOEXEC) < 0) return -1;
    pid_t maker = fork();
    if (maker == 0) {
        int32_t answer = -1;
        arguments->flags |= CLONE_PARENT;
        arguments->exit_signal = 0; /* the maker's own, which is SIGCHLD */
        bool joined = (!context->pid_namespace || join_namespace(context, context->pid_namespace, CLONE_NEWPID) == 0) &&
                      join_namespace(context, context->joined_user_namespace, CLONE_NEWUSER) == 0;
        if (joined) answer = kernel_clone3(arguments);
        if (joined && answer == 0) return 0;
        if (answer < 0) answer = -errno;
        (void)!write(told[1], &answer, sizeof answer);
        _exit(0);
    }
    int32_t answer = -EAGAIN;
    close(told[1]);
    if (maker > 0) {
        if (read(told[0], &answer, sizeof answer) != sizeof answer) answer = -ECHILD;
        while (waitpid(maker, NULL, 0) < 0 && errno == EINTR) continue;
    }
    close(told[0]);
    if (answer < 0) return errno = -answer, -1;
    context->pidfd = kernel_pidfd_open(answer);
    return answer;
}

static pid_t clone_process(struct context *context, struct clone_args *arguments) {
    if (context->joined_user_namespace) return clone_joined(context, arguments);
    if (context->pid_namespace && join_namespace(context, context->pid_namespace, CLONE_NEWPID) < 0) return -1;
    arguments->flags |= CLONE_PIDFD;
    arguments->pidfd = (uint64_t)(uintptr_t)&context->pidfd;
    return kernel_clone3(arguments);
}

/* The clone: the new process carries out the child's stage and never returns from here. */
int clone_child(struct context *context, const struct step *step) {
    int pair[2];
    context->last_word = mmap(NULL, sizeof *context->last_word, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (context->last_word == MAP_FAILED) return context->last_word = NULL, fail(context, "mmap", "");
    if (open_cgroup_files(context) < 0) return -1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) return fail(context, "socketpair", "");
    struct clone_args arguments = {.flags = step->fields[0].number, .exit_signal = SIGCHLD};
    if (arguments.flags & CLONE_NEWUSER) identity_raise_limits(context);
    context->failure = (struct failure){0};
    pid_t child = clone_process(context, &arguments);
    if (child == 0) {
        close(pair[0]);
        context->sync = pair[1];
        child_main(context);
    }
    int error = errno;
    close(pair[1]);
    close_cgroup_files(context);
    if (child < 0) {
        close(pair[0]);
        return context->failure.error ? -1 : (errno = error, fail(context, "clone3", ""));
    }
    context->child = context->last_word->pid = child;
    context->sync = pair[0];
    return 0;
}

