/* The steps a container's process takes on itself, up to its execve. */
#include "child.h"

#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/magic.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "identity.h"
#include "kernel.h"
#include "mounts.h"

/* Under a filter that denies everything, neither the word nor the exit gets through: then the illegal instruction does. */
static _Noreturn void report(struct context *context) {
    struct child_report message = {.kind = CHILD_FAILED, .failure = context->failure};
    if (context->last_word) *context->last_word = message;
    (void)!send(context->sync, &message, sizeof message, MSG_NOSIGNAL);
    syscall(SYS_exit_group, 125);
    __builtin_trap();
}

/* Puts the streams the monitor made at 0, 1 and 2; what it did not make is /dev/null. */
static int place_streams(struct context *context) {
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0) return fail(context, "open", "/dev/null");
    for (int i = 0; i < 3; i++)
        if (dup2(context->stdio[i] >= 0 ? context->stdio[i] : null, i) < 0) return fail(context, "dup2", "stdio");
    close(null);
    return 0;
}

_Noreturn void child_main(struct context *context) {
    /* Until the execve nobody in the container may look into this process, which still sees the host. */
    prctl(PR_SET_DUMPABLE, 0);
    prctl(PR_SET_PDEATHSIG, 0);
    signal(SIGPIPE, SIG_DFL);
    setsid();
    if (place_streams(context) == 0 && identity_restore_limits(context) == 0) run_stage(context, STAGE_CHILD);
    report(context);
}

int child_await_host(struct context *context) {
    char byte;
    ssize_t size;
    do size = recv(context->sync, &byte, 1, 0);
    while (size < 0 && errno == EINTR);
    /* End of file: the monitor is gone, or its host steps failed; what we report nobody reads. */
    return size == 1 ? 0 : (errno = ECANCELED, fail(context, "recv", "host"));
}

/* Hands descriptors (CHILD_MAX_DESCRIPTORS at most) to the monitor. */
static int send_descriptors(int channel, enum child_message kind, const int *descriptors, size_t count) {
    struct child_report message = {.kind = kind};
    struct iovec part = {&message, sizeof message};
    union { char bytes[CMSG_SPACE(sizeof(int) * CHILD_MAX_DESCRIPTORS)]; struct cmsghdr align; } control = {0};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = (socklen_t)CMSG_SPACE(sizeof(int) * count)};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = (socklen_t)CMSG_LEN(sizeof(int) * count);
    memcpy(CMSG_DATA(rights), descriptors, sizeof(int) * count);
    return sendmsg(channel, &header, MSG_NOSIGNAL) < 0 ? -1 : 0;
}

/* The master must be a real pty multiplexer: what the container calls /dev/pts/ptmx could be anything. */
static int open_master(struct context *context) {
    int master = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NOFOLLOW);
    if (master < 0) return fail(context, "open", "/dev/pts/ptmx");
    struct statfs system;
    struct stat status;
    if (fstatfs(master, &system) == 0 && fstat(master, &status) == 0 && system.f_type == DEVPTS_SUPER_MAGIC &&
        S_ISCHR(status.st_mode) && status.st_rdev == makedev(5, 2))
        return master;
    close(master);
    return errno = ENODEV, fail(context, "fstat", "/dev/pts/ptmx");
}

/* Shows the terminal as /dev/console, mounted from the descriptor that was checked. */
static int attach_console(struct context *context, int slave) {
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", slave);
    int place = open("/dev/console", O_CREAT | O_RDONLY | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC, 0600);
    if (place < 0) return fail(context, "open", "/dev/console");
    close(place);
    place = open("/dev/console", O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (place < 0) return fail(context, "open", "/dev/console");
    int tree = kernel_open_tree(AT_FDCWD, path, OPEN_TREE_CLONE);
    int result = tree < 0                              ? fail(context, "open_tree", "/dev/console")
                 : kernel_move_mount(tree, place) < 0 ? fail(context, "move_mount", "/dev/console")
                                                      : 0;
    if (tree >= 0) close(tree);
    close(place);
    return result;
}

int child_terminal(struct context *context, const struct step *step) {
    int master = open_master(context), unlocked = 0, slave = -1, result = -1;
    if (master < 0) return -1;
    struct winsize size = {.ws_col = (unsigned short)step->fields[0].number, .ws_row = (unsigned short)step->fields[1].number};
    if (ioctl(master, TIOCSPTLCK, &unlocked) < 0) { fail(context, "ioctl", "TIOCSPTLCK"); goto out; }
    slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0) { fail(context, "ioctl", "TIOCGPTPEER"); goto out; }
    if (size.ws_col && size.ws_row && ioctl(slave, TIOCSWINSZ, &size) < 0) { fail(context, "ioctl", "TIOCSWINSZ"); goto out; }
    if (step->fields[2].number && attach_console(context, slave) < 0) goto out;
    if (ioctl(slave, TIOCSCTTY, 0) < 0) { fail(context, "ioctl", "TIOCSCTTY"); goto out; }
    if (send_descriptors(context->sync, CHILD_TERMINAL, &master, 1) < 0) { fail(context, "sendmsg", "terminal"); goto out; }
    if (dup2(slave, 0) < 0 || dup2(slave, 1) < 0 || dup2(slave, 2) < 0) { fail(context, "dup2", "terminal"); goto out; }
    result = 0;
out:
    if (slave >= 0) close(slave);
    close(master);
    return result;
}

/* The sockets of the name server, in the container's network namespace. The monitor keeps them open, so that what is
 * asked while no daemon is there waits for the next one. */
int child_name_server(struct context *context, const struct step *step) {
    const char *text = step->fields[0].string;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)step->fields[1].number)};
    if (inet_pton(AF_INET, text, &address.sin_addr) != 1) return errno = EINVAL, fail(context, "inet_pton", text);
    static const int types[CHILD_MAX_DESCRIPTORS] = {SOCK_DGRAM, SOCK_STREAM};
    int sockets[CHILD_MAX_DESCRIPTORS] = {-1, -1}, on = 1, buffer = NAME_SERVER_BUFFER, result = -1;
    for (size_t i = 0; i < CHILD_MAX_DESCRIPTORS; i++) {
        sockets[i] = socket(AF_INET, types[i] | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (sockets[i] < 0) { fail(context, "socket", text); goto out; }
        /* Another's port, left in TIME_WAIT, is no reason not to start; a datagram socket would share with a living one. */
        if (types[i] == SOCK_STREAM && setsockopt(sockets[i], SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0) { fail(context, "setsockopt", text); goto out; }
        if (bind(sockets[i], (struct sockaddr *)&address, sizeof address) < 0) { fail(context, "bind", text); goto out; }
    }
    /* Without it less can wait, no more. */
    (void)!setsockopt(sockets[0], SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
    if (listen(sockets[1], NAME_SERVER_BACKLOG) < 0) { fail(context, "listen", text); goto out; }
    if (send_descriptors(context->sync, CHILD_NAME_SERVER, sockets, CHILD_MAX_DESCRIPTORS) < 0) { fail(context, "sendmsg", text); goto out; }
    result = 0;
out:
    for (size_t i = 0; i < CHILD_MAX_DESCRIPTORS; i++)
        if (sockets[i] >= 0) close(sockets[i]);
    return result;
}

int child_rlimit(struct context *context, const struct step *step) {
    struct rlimit limit = {step->fields[1].number, step->fields[2].number};
    int resource = (int)step->fields[0].number;
    if (setrlimit(resource, &limit) == 0) return 0;
    int error = errno;
    struct rlimit present;
    /* What only a default asked for is set as far as this host lets us. */
    if (step->fields[3].number && getrlimit(resource, &present) == 0) {
        if (limit.rlim_max > present.rlim_max) limit.rlim_max = present.rlim_max;
        if (limit.rlim_cur > limit.rlim_max) limit.rlim_cur = limit.rlim_max;
        if (setrlimit(resource, &limit) == 0) return 0;
    }
    char name[16];
    snprintf(name, sizeof name, "%d", resource);
    return errno = error, fail(context, "setrlimit", name);
}

int child_keyring(struct context *context, const struct step *step) {
    long ring = syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, step->fields[0].string);
    /* Kernels without keyrings, or a full quota of root's, are no reason not to start: there is then no key to see. */
    return ring < 0 && errno != ENOSYS && errno != EDQUOT ? fail(context, "keyctl", step->fields[0].string) : 0;
}

int child_no_new_privileges(struct context *context) {
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? fail(context, "prctl", "PR_SET_NO_NEW_PRIVS") : 0;
}

int child_seccomp(struct context *context, const struct step *step) {
    const struct field *filter = &step->fields[0];
    size_t length = filter->length / sizeof(struct sock_filter);
    if (!length || length > BPF_MAXINSNS || filter->length % sizeof(struct sock_filter)) return errno = EINVAL, fail(context, "seccomp", "filter");
    struct sock_filter *instructions = malloc(filter->length); /* the plan's bytes are unaligned */
    if (!instructions) return fail(context, "malloc", "filter");
    memcpy(instructions, filter->string, filter->length);
    struct sock_fprog program = {.len = (unsigned short)length, .filter = instructions};
    long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, (unsigned)step->fields[1].number, &program);
    free(instructions);
    return result < 0 ? fail(context, "seccomp", "filter") : 0;
}

int child_bounding(struct context *context, const struct step *step) {
    for (unsigned capability = 0; capability < 64; capability++) {
        if (step->fields[0].number >> capability & 1) continue;
        int present = prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
        if (present < 0) break; /* above the last one this kernel knows */
        if (present && prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0) return fail(context, "prctl", "PR_CAPBSET_DROP");
    }
    return 0;
}

/* The streams belong to the user, so that /dev/stdout can be opened again; the host's /dev/null, which stood in for what
 * was not asked for, is exchanged for the container's. */
static int hand_over_streams(struct context *context, uid_t user) {
    struct stat status;
    for (int descriptor = 0; descriptor < 3; descriptor++) {
        if (fstat(descriptor, &status) < 0) return fail(context, "fstat", "stdio");
        if (S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3)) {
            int null = open("/dev/null", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
            bool real = null >= 0 && fstat(null, &status) == 0 && S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3);
            int result = real ? dup2(null, descriptor) : 0;
            if (null >= 0) close(null);
            if (result < 0) return fail(context, "dup2", "/dev/null");
        } else if (fchown(descriptor, user, (gid_t)-1) < 0 && errno != EROFS && errno != EPERM && errno != EINVAL) {
            return fail(context, "fchown", "stdio");
        }
    }
    return 0;
}

int child_user(struct context *context, const struct step *step) {
    uid_t user = (uid_t)step->fields[0].number;
    gid_t group = (gid_t)step->fields[1].number;
    const struct field *extra = &step->fields[2];
    gid_t *groups = calloc(extra->length ? extra->length : 1, sizeof *groups);
    if (!groups) return fail(context, "malloc", "groups");
    for (size_t i = 0; i < extra->length; i++) groups[i] = (gid_t)plan_number(extra, i);
    int result = setgroups(extra->length, groups);
    free(groups);
    if (result < 0) return fail(context, "setgroups", "");
    if (hand_over_streams(context, user) < 0) return -1;
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0) return fail(context, "prctl", "PR_SET_KEEPCAPS");
    if (setresgid(group, group, group) < 0) return fail(context, "setresgid", "");
    if (setresuid(user, user, user) < 0) return fail(context, "setresuid", "");
    if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0) return fail(context, "prctl", "PR_SET_KEEPCAPS");
    prctl(PR_SET_DUMPABLE, 0); /* changing the user may have set it again */
    umask((mode_t)step->fields[3].number);
    return 0;
}

int child_capabilities(struct context *context, const struct step *step) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    for (int half = 0; half < 2; half++) {
        data[half].effective = (uint32_t)(step->fields[0].number >> (32 * half));
        data[half].permitted = (uint32_t)(step->fields[1].number >> (32 * half));
        data[half].inheritable = (uint32_t)(step->fields[2].number >> (32 * half));
    }
    if (syscall(SYS_capset, &header, data) < 0) return fail(context, "capset", "");
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0) return fail(context, "prctl", "PR_CAP_AMBIENT");
    for (unsigned long capability = 0; capability < 64; capability++)
        if (step->fields[3].number >> capability & 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) < 0)
            return fail(context, "prctl", "PR_CAP_AMBIENT");
    return 0;
}

int child_working_directory(struct context *context, const struct step *step) {
    const char *path = step->fields[0].string;
    if (step->fields[1].number) {
        int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        int made = root < 0 ? -1 : open_directory_inside(root, path, 0755);
        int error = errno;
        if (root >= 0) close(root);
        if (made < 0) return errno = error, fail(context, "mkdir", path);
        close(made);
    }
    return chdir(path) < 0 ? fail(context, "chdir", path) : 0;
}

static const char *environment_value(const struct field *environment, const char *name) {
    size_t length = strlen(name);
    for (size_t i = 0; i < environment->length; i++)
        if (strncmp(environment->list[i], name, length) == 0 && environment->list[i][length] == '=')
            return environment->list[i] + length + 1;
    return NULL;
}

/* execve, but a directory is told apart from a file that may not be executed. */
static void execute_one(const char *path, const struct field *arguments, const struct field *environment) {
    execve(path, (char *const *)arguments->list, (char *const *)environment->list);
    struct stat status;
    if (errno == EACCES && stat(path, &status) == 0 && S_ISDIR(status.st_mode)) errno = EISDIR;
}

int child_execute(struct context *context, const struct step *step) {
    const char *file = step->fields[0].string;
    const struct field *arguments = &step->fields[1], *environment = &step->fields[2];
    /* Whatever was open here (the plan, the channel, mounts) ends with the execve; only 0, 1 and 2 go on. */
    if (kernel_close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) < 0) return fail(context, "close_range", "");
    if (strchr(file, '/')) {
        execute_one(file, arguments, environment);
        return fail(context, "execve", file);
    }
    const char *search = environment_value(environment, "PATH");
    int error = ENOENT;
    for (const char *at = search ? search : ""; *at;) {
        size_t length = strcspn(at, ":");
        char path[PATH_MAX];
        if (length + strlen(file) + 2 <= sizeof path) {
            snprintf(path, sizeof path, "%.*s/%s", (int)(length ? length : 1), length ? at : ".", file);
            execute_one(path, arguments, environment);
            if (errno != ENOENT && errno != ENOTDIR && errno != EISDIR) error = errno;
            /* Anything but "not this one" is the answer: the file is there and does not run. */
            if (error != ENOENT && error != EACCES) break;
        }
        at += length + (at[length] == ':');
    }
    errno = error;
    return fail(context, "search", file);
}

void child_hold(struct context *context) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)context;
    kernel_close_range(0, ~0u, 0); /* with the channel: that tells the monitor that we are there */
    for (;;) pause();
}
