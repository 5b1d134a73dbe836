/* The monitor's steps and the dispatch of all of them: one case per step. */
#include <errno.h>
#include <limits.h>
#include <linux/netlink.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "child.h"
#include "clone.h"
#include "context.h"
#include "foreign.h"
#include "forward.h"
#include "hook.h"
#include "identity.h"
#include "kernel.h"
#include "labels.h"
#include "landlock.h"
#include "memory.h"
#include "mounts.h"
#include "netlink.h"
#include "trace.h"
#include "trees.h"

int fail(struct context *context, const char *call, const char *path) {
    context->failure = (struct failure){.step = context->step, .error = errno};
    snprintf(context->failure.call, sizeof context->failure.call, "%s", call);
    snprintf(context->failure.path, sizeof context->failure.path, "%s", path);
    return -1;
}

/* Writes a kernel file in one go and closes it. */
static int write_whole(struct context *context, int file, const char *path, const char *value, size_t length) {
    ssize_t written = write(file, value, length);
    int result = written < 0 || (size_t)written != length ? fail(context, "write", path) : 0;
    close(file);
    return result;
}

int write_file(struct context *context, const char *path, const char *value, size_t length) {
    int file = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    return file < 0 ? fail(context, "open", path) : write_whole(context, file, path, value, length);
}

/* From below whatever is mounted over /proc/sys in the container. */
static int set_parameter(struct context *context, const struct step *step) {
    static const char prefix[] = "/proc/sys/";
    const char *path = step->fields[0].string, *name = path + sizeof prefix - 1;
    if (context->parameters < 0 || strncmp(path, prefix, sizeof prefix - 1) != 0)
        return write_file(context, path, step->fields[1].string, step->fields[1].length);
    int file = kernel_openat2(context->parameters, name, O_WRONLY | O_TRUNC, RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS);
    if (file < 0) return fail(context, "openat2", path);
    return write_whole(context, file, path, step->fields[1].string, step->fields[1].length);
}

static int make_directories(struct context *context, const char *path, mode_t mode) {
    char buffer[PATH_MAX];
    size_t length = strlen(path);
    if (length >= sizeof buffer) return errno = ENAMETOOLONG, fail(context, "mkdir", path);
    if (mkdir(path, mode) == 0 || errno == EEXIST) return 0; /* mostly only the last part is new */
    memcpy(buffer, path, length + 1);
    for (size_t i = 1; i <= length; i++) {
        if (buffer[i] != '/' && buffer[i] != 0) continue;
        char kept = buffer[i];
        buffer[i] = 0;
        if (mkdir(buffer, mode) < 0 && errno != EEXIST) return fail(context, "mkdir", path);
        buffer[i] = kept;
    }
    return 0;
}

/* Loads a program of device rules and puts it on a group of version 2, which then holds it. */
static int cgroup_devices(struct context *context, const struct step *step) {
    const char *directory = step->fields[0].string;
    size_t length = step->fields[1].length;
    /* The kernel reads instructions where they are, which must be aligned. */
    void *instructions = length > 0 && length % sizeof(struct bpf_insn) == 0 ? malloc(length) : NULL;
    if (!instructions) return errno = EINVAL, fail(context, "bpf", "program");
    memcpy(instructions, step->fields[1].string, length);
    union bpf_attr load = {
        .prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
        .insn_cnt = (uint32_t)(length / sizeof(struct bpf_insn)),
        .insns = (uint64_t)(uintptr_t)instructions,
        .license = (uint64_t)(uintptr_t)"Apache-2.0",
    };
    int program = kernel_bpf(BPF_PROG_LOAD, &load);
    free(instructions);
    if (program < 0) return fail(context, "bpf", "BPF_PROG_LOAD");
    int group = open(directory, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    int result = 0;
    if (group < 0) {
        result = fail(context, "open", directory);
    } else {
        union bpf_attr attach = {.target_fd = (uint32_t)group, .attach_bpf_fd = (uint32_t)program, .attach_type = BPF_CGROUP_DEVICE};
        if (kernel_bpf(BPF_PROG_ATTACH, &attach) < 0) result = fail(context, "bpf", directory);
        close(group);
    }
    close(program);
    return result;
}

/* The child gets a hard limit that this process may not set in it once it is in a user namespace. */
static int raise_limit(struct context *context, const struct step *step) {
    struct rlimit limit;
    char name[16];
    int resource = (int)step->fields[0].number;
    rlim_t wanted = (rlim_t)step->fields[1].number;
    snprintf(name, sizeof name, "%d", resource);
    if (getrlimit(resource, &limit) < 0) return fail(context, "getrlimit", name);
    if (limit.rlim_max >= wanted) return 0;
    limit.rlim_max = wanted;
    return setrlimit(resource, &limit) < 0 && !step->fields[2].number ? fail(context, "setrlimit", name) : 0;
}

static int oom_score(struct context *context, const struct step *step) {
    const struct field *value = &step->fields[0];
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/oom_score_adj", (int)context->child);
    int result = write_file(context, path, value->string, value->length);
    return step->fields[1].number ? 0 : result;
}

/* Keeps its own copies: the plan's bytes go once the process runs. */
static int open_forward(struct context *context, const struct step *step) {
    const struct field *fields = step->fields, *extra = &fields[5];
    struct forward *forward = calloc(1, sizeof *forward);
    if (!forward) return fail(context, "malloc", "log.forward");
    forward->protocol = (enum forward_protocol)fields[0].number;
    forward->format = (enum forward_format)fields[1].number;
    forward->address = strdup(fields[2].string);
    forward->tag = strdup(fields[3].string);
    forward->facility = (unsigned)fields[4].number;
    forward->fields = malloc(FORWARD_FIELDS_MAX);
    if (!forward->address || !forward->tag || !forward->fields) return fail(context, "malloc", "log.forward");
    for (size_t i = 0; i < extra->length; i++) {
        size_t length = strlen(extra->list[i]);
        if (strchr(extra->list[i], '\n') || forward->fields_length + length + 1 > FORWARD_FIELDS_MAX) continue;
        memcpy(forward->fields + forward->fields_length, extra->list[i], length);
        forward->fields_length += length;
        forward->fields[forward->fields_length++] = '\n';
    }
    context->forward = forward;
    return forward_open(forward) < 0 ? fail(context, "connect", forward->address) : 0;
}

int run_monitor_step(struct context *context, const struct step *step) {
    const struct field *fields = step->fields;
    switch (step->entry->op) {
    case OP_SERVE:
        context->socket_path = fields[0].string;
        context->exit_path = fields[1].string;
        return 0;
    case OP_STDIO:
        context->terminal = fields[0].number;
        context->open_stdin = fields[1].number;
        context->stdin_once = fields[2].number;
        context->columns = (uint16_t)fields[3].number;
        context->rows = (uint16_t)fields[4].number;
        context->stdio_owner = (uid_t)fields[5].number;
        return 0;
    case OP_LOG:
        context->log = (struct log_settings){fields[0].string, fields[1].number, fields[2].number, fields[3].string};
        return 0;
    case OP_LOG_FORWARD: return open_forward(context, step);
    case OP_DIRECTORY: return make_directories(context, fields[0].string, (mode_t)fields[1].number);
    case OP_CGROUP_DEVICES: return cgroup_devices(context, step);
    case OP_WRITE: return write_file(context, fields[0].string, fields[1].string, fields[1].length);
    case OP_MEMORY_WATCH: return memory_watch(context, step);
    case OP_OWNER: return chown(fields[0].string, (uid_t)fields[1].number, (gid_t)fields[2].number) < 0 ? fail(context, "chown", fields[0].string) : 0;
    case OP_PID_NAMESPACE: return context->pid_namespace = fields[0].string, 0;
    case OP_USER_NAMESPACE_JOIN: return context->joined_user_namespace = fields[0].string, 0;
    case OP_RLIMIT_RAISE: return raise_limit(context, step);
    case OP_TIME_NAMESPACE: return time_namespace(context, step);
    case OP_ADOPT: return foreign_prepare(context, step);
    case OP_STREAMS_INHERIT:
        context->inherit_streams = true;
        context->leave = fields[0].number;
        context->console_socket = fields[1].string;
        return 0;
    case OP_START_PIPE: return foreign_open_start(context, step);
    case OP_CLONE: return clone_child(context, step);
    case OP_RELABEL: return host_relabel(context, step);
    case OP_SECCOMP_RECORD:
        context->trace_path = fields[0].string;
        return 0;
    case OP_FAIL_MONITOR: return errno = (int)fields[0].number, fail(context, "fault", "monitor");
    default: return errno = ENOSYS, fail(context, "step", step->entry->name);
    }
}

int run_host_step(struct context *context, const struct step *step) {
    switch (step->entry->op) {
    case OP_NETLINK_HOST: return netlink_host(context, step);
    case OP_USER_NAMESPACE: return identity_open(context, step);
    case OP_BIND_OPEN: return tree_bind_open(context, step);
    case OP_BIND_OPEN_IN: return tree_bind_open_in(context, step);
    case OP_ROOT_OVERLAY: return tree_root_overlay(context, step);
    case OP_IMAGE_OPEN: return tree_image_open(context, step);
    case OP_ROOT_OPEN: return tree_root_open(context, step);
    case OP_TMPFS_OPEN: return tree_tmpfs_open(context, step);
    case OP_NODE: return tree_node(context, step);
    case OP_HAND_OVER: return tree_hand_over(context);
    case OP_HOOK_RUNTIME: return hook_run(context, step, context->child);
    case OP_OOM_SCORE: return oom_score(context, step);
    case OP_FAIL_HOST: return errno = (int)step->fields[0].number, fail(context, "fault", "host");
    default: return errno = ENOSYS, fail(context, "step", step->entry->name);
    }
}

int run_child_step(struct context *context, const struct step *step) {
    const struct field *fields = step->fields;
    switch (step->entry->op) {
    case OP_CGROUP_ENTER: return enter_cgroups(context, step);
    case OP_HOOK_CONTAINER: return hook_run(context, step, context->last_word->pid);
    case OP_UNSHARE: return unshare((int)fields[0].number) < 0 ? fail(context, "unshare", "") : 0;
    case OP_NAMESPACES_JOIN: return join_namespaces(context, step);
    case OP_TAKE_OVER: return tree_take_over(context);
    case OP_USER_NAMESPACE_ROOT: return identity_become_root(context);
    case OP_AWAIT_HOST: return child_await_host(context);
    case OP_NETLINK: return netlink_run(context, NETLINK_ROUTE, &fields[0]);
    case OP_NETFILTER: return netlink_run(context, NETLINK_NETFILTER, &fields[0]);
    case OP_SYSCTL: return set_parameter(context, step);
    case OP_HOSTNAME: return sethostname(fields[0].string, fields[0].length) < 0 ? fail(context, "sethostname", fields[0].string) : 0;
    case OP_DOMAINNAME: return setdomainname(fields[0].string, fields[0].length) < 0 ? fail(context, "setdomainname", fields[0].string) : 0;
    case OP_PROPAGATION: return mount_propagation(context, step);
    case OP_IMAGE_PART: return tree_image_part(context, step);
    case OP_ROOT_ATTACH: return mount_root_attach(context, step);
    case OP_MOUNT: return mount_filesystem(context, step);
    case OP_BIND: return mount_bind(context, step);
    case OP_SYMLINK: return mount_symlink(context, step);
    case OP_MASK: return mount_mask(context, step);
    case OP_READONLY: return mount_readonly(context, step);
    case OP_PIVOT: return mount_pivot(context, step);
    case OP_TERMINAL: return child_terminal(context, step);
    case OP_NAME_SERVER: return child_name_server(context, step);
    case OP_RLIMIT: return child_rlimit(context, step);
    case OP_KEYRING: return child_keyring(context, step);
    case OP_NO_NEW_PRIVILEGES: return child_no_new_privileges(context);
    case OP_SECCOMP: return child_seccomp(context, step);
    case OP_BOUNDING: return child_bounding(context, step);
    case OP_USER: return child_user(context, step);
    case OP_CAPABILITIES: return child_capabilities(context, step);
    case OP_WORKING_DIRECTORY: return child_working_directory(context, step);
    case OP_EXECUTE: return child_execute(context, step);
    case OP_LABEL: return child_label(context, step);
    case OP_MOUNT_LABEL: return mount_label(context, step);
    case OP_SECCOMP_TRACE: return child_seccomp_trace(context);
    case OP_LANDLOCK: return child_landlock(context, step);
    case OP_AWAIT_START: return foreign_await_start(context, step);
    case OP_HOLD: child_hold(context);
    case OP_FAIL_CHILD: return errno = (int)fields[0].number, fail(context, "fault", "child");
    default: return errno = ENOSYS, fail(context, "step", step->entry->name);
    }
}

int run_stage(struct context *context, enum stage stage) {
    for (context->step = 0; context->step < context->plan->length; context->step++) {
        const struct step *step = &context->plan->steps[context->step];
        if (step->entry->stage != stage) continue;
        int result = stage == STAGE_MONITOR ? run_monitor_step(context, step)
                     : stage == STAGE_HOST  ? run_host_step(context, step)
                                            : run_child_step(context, step);
        if (result < 0) return -1;
    }
    return 0;
}
