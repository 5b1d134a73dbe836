/* What a monitor has to do with other runtimes: it takes over a process that one of them made, and gives a terminal to who
 * called us as a runtime. */
#include "foreign.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "kernel.h"

/* Two seconds, in steps of one millisecond. */
#define ADOPTION_TRIES 2000
#define ADOPTION_PAUSE 1000

static int socket_address(struct context *context, const char *path, struct sockaddr_un *address) {
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address->sun_path) return errno = ENAMETOOLONG, fail(context, "socket", path);
    strcpy(address->sun_path, path);
    return 0;
}

int foreign_prepare(struct context *context, const struct step *step) {
    const char *console = step->fields[1].string;
    context->adopted = step;
    context->console_listener = -1;
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0) return fail(context, "prctl", "PR_SET_CHILD_SUBREAPER");
    if (unlink(step->fields[0].string) < 0 && errno != ENOENT) return fail(context, "unlink", step->fields[0].string);
    if (!*console) return 0;
    struct sockaddr_un address;
    if (socket_address(context, console, &address) < 0) return -1;
    unlink(console);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0) return fail(context, "socket", console);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 1) < 0) {
        fail(context, "bind", console);
        close(listener);
        return -1;
    }
    context->console_listener = listener;
    return 0;
}

/* The terminal that the runtime has sent before it ended; it waits in the socket's queue. */
static int receive_terminal(struct context *context, const char *path) {
    struct pollfd waiting = {.fd = context->console_listener, .events = POLLIN};
    if (poll(&waiting, 1, 0) != 1) return errno = ENOTTY, fail(context, "accept", path);
    int connection = accept4(context->console_listener, NULL, NULL, SOCK_CLOEXEC);
    if (connection < 0) return fail(context, "accept", path);
    char name[PATH_MAX];
    union { char bytes[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } control = {0};
    struct iovec part = {name, sizeof name};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    ssize_t size = recvmsg(connection, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    int terminal = -1, result = size < 0 ? fail(context, "recvmsg", path) : 0;
    struct cmsghdr *rights = size < 0 ? NULL : CMSG_FIRSTHDR(&header);
    if (rights && rights->cmsg_type == SCM_RIGHTS) memcpy(&terminal, CMSG_DATA(rights), sizeof terminal);
    close(connection);
    if (result == 0 && terminal < 0) return errno = EBADMSG, fail(context, "recvmsg", path);
    return result < 0 ? -1 : terminal;
}

static pid_t read_pid(struct context *context, const char *path) {
    char text[32] = {0}, *end;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return fail(context, "open", path);
    ssize_t size = read(file, text, sizeof text - 1);
    close(file);
    if (size < 0) return fail(context, "read", path);
    long pid = strtol(text, &end, 10);
    return pid > 0 && pid <= INT_MAX && end != text ? (pid_t)pid : (errno = EBADMSG, fail(context, "read", path));
}

/* The process becomes this one's child when the last one of the runtime's between them has ended, which need not be the one
 * that was started. Those are reaped on the way. */
static int await_child(struct context *context, pid_t pid) {
    for (int tries = 0; tries < ADOPTION_TRIES; tries++) {
        siginfo_t end = {0};
        while (waitid(P_ALL, 0, &end, WEXITED | WNOHANG | WNOWAIT) == 0 && end.si_pid && end.si_pid != pid) {
            waitpid(end.si_pid, NULL, 0);
            end.si_pid = 0;
        }
        if (waitid(P_PID, (id_t)pid, &end, WEXITED | WNOHANG | WNOWAIT) == 0) return 0;
        if (errno != ECHILD && errno != EINTR) break;
        usleep(ADOPTION_PAUSE);
    }
    return fail(context, "waitid", "runtime");
}

int foreign_take_over(struct context *context, int *terminal) {
    const char *pid_file = context->adopted->fields[0].string, *console = context->adopted->fields[1].string;
    int status;
    pid_t ended;
    *terminal = -1;
    context->step = (uint32_t)(context->adopted - context->plan->steps);
    do ended = waitpid(context->child, &status, 0);
    while (ended < 0 && errno == EINTR);
    if (ended < 0) return fail(context, "waitpid", "runtime");
    context->child = 0;
    close(context->pidfd);
    context->pidfd = -1;
    if (status != 0) return errno = ECANCELED, fail(context, "runtime", "");
    pid_t pid = read_pid(context, pid_file);
    unlink(pid_file);
    if (pid < 0) return -1;
    context->pidfd = kernel_pidfd_open(pid);
    if (context->pidfd < 0) return fail(context, "pidfd_open", pid_file);
    if (await_child(context, pid) < 0) return -1;
    context->child = pid;
    /* Other orphans of its, where it shares the host's processes, are the host's. */
    prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
    if (context->console_listener < 0) return 0;
    *terminal = receive_terminal(context, console);
    close(context->console_listener);
    unlink(console);
    return *terminal < 0 ? -1 : 0;
}

int foreign_give_terminal(struct context *context, int master) {
    const char *path = context->console_socket;
    struct sockaddr_un address;
    if (socket_address(context, path, &address) < 0) return -1;
    int connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection < 0) return fail(context, "socket", path);
    char name[] = "/dev/console";
    struct iovec part = {name, sizeof name - 1};
    union { char bytes[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } control = {0};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(rights), &master, sizeof master);
    int result = connect(connection, (struct sockaddr *)&address, sizeof address) < 0 ? fail(context, "connect", path)
                 : sendmsg(connection, &header, MSG_NOSIGNAL) < 0                     ? fail(context, "sendmsg", path)
                                                                                      : 0;
    close(connection);
    return result;
}

int foreign_open_start(struct context *context, const struct step *step) {
    /* For reading and writing: that waits for nobody, and there is no end of file while nobody starts it. */
    context->start_pipe = open(step->fields[0].string, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    return context->start_pipe < 0 ? fail(context, "open", step->fields[0].string) : 0;
}

/* Whether there is a file to execute: whoever creates a container hears of it then, not after the start. */
static bool is_there(const char *file, const char *search) {
    if (strchr(file, '/')) return access(file, X_OK) == 0;
    int error = ENOENT;
    for (const char *at = search; *at;) {
        size_t length = strcspn(at, ":");
        char path[PATH_MAX];
        if (length + strlen(file) + 2 <= sizeof path) {
            snprintf(path, sizeof path, "%.*s/%s", (int)(length ? length : 1), length ? at : ".", file);
            if (access(path, X_OK) == 0) return true;
            if (errno != ENOENT && errno != ENOTDIR) error = errno;
        }
        at += length + (at[length] == ':');
    }
    errno = error;
    return false;
}

int foreign_await_start(struct context *context, const struct step *step) {
    const char *file = step->fields[0].string;
    if (!is_there(file, step->fields[1].string)) return fail(context, "search", file);
    struct child_report ready = {.kind = CHILD_WAITING};
    if (send(context->sync, &ready, sizeof ready, MSG_NOSIGNAL) < 0) return fail(context, "send", "ready");
    char byte;
    ssize_t size;
    do size = read(context->start_pipe, &byte, 1);
    while (size < 0 && errno == EINTR);
    return size == 1 ? 0 : fail(context, "read", "start");
}
