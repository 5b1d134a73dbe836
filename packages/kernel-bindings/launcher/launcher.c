/* The launcher: waits for launch requests and forks a monitor for each. It is small so that its forks are cheap. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel.h"
#include "monitor.h"
#include "plan.h"

#define REQUEST_SOCKET 3
#define DESCRIPTORS_MAX (2 + LAUNCH_MAX_CLIENTS)

/* Runs this program from a sealed copy in memory: a container that gets hold of /proc/<pid>/exe of a process on its way
 * into it can then not write to the host's program (CVE-2019-5736). */
static int run_sealed(char **arguments) {
    int program = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), copy = memfd_create("tsd-launcher", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    struct stat status;
    if (program < 0 || copy < 0 || fstat(program, &status) < 0) return -1;
    if (fcntl(program, F_GET_SEALS) >= 0) { /* this is the copy */
        close(program);
        close(copy);
        return 0;
    }
    for (off_t left = status.st_size; left > 0;) {
        ssize_t size = sendfile(copy, program, NULL, (size_t)left);
        if (size <= 0) return -1;
        left -= size;
    }
    if (fcntl(copy, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0) return -1;
    char *environment[] = {NULL};
    return fexecve(copy, arguments, environment);
}

static int print_vocabulary(void) {
    for (size_t i = 0; i < vocabulary_length; i++)
        printf("%u %s %d %s\n", vocabulary[i].op, vocabulary[i].name, (int)vocabulary[i].stage, vocabulary[i].schema);
    return 0;
}

/* Receives one request and its descriptors; the number of descriptors, or -1 at the end of the daemon. */
static int receive(struct launch_request *request, int *descriptors) {
    union { char bytes[CMSG_SPACE(sizeof(int) * DESCRIPTORS_MAX)]; struct cmsghdr align; } control;
    struct iovec part = {request, sizeof *request};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    ssize_t size;
    do size = recvmsg(REQUEST_SOCKET, &header, MSG_CMSG_CLOEXEC);
    while (size < 0 && errno == EINTR);
    if (size <= 0) return -1;
    int count = 0;
    for (struct cmsghdr *rights = CMSG_FIRSTHDR(&header); rights; rights = CMSG_NXTHDR(&header, rights)) {
        if (rights->cmsg_level != SOL_SOCKET || rights->cmsg_type != SCM_RIGHTS) continue;
        count = (int)((rights->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        if (count > DESCRIPTORS_MAX) count = DESCRIPTORS_MAX;
        memcpy(descriptors, CMSG_DATA(rights), (size_t)count * sizeof(int));
    }
    bool whole = size == sizeof *request && request->magic == LAUNCH_MAGIC && request->clients <= LAUNCH_MAX_CLIENTS &&
                 count == (int)request->clients + 2;
    if (whole) return count;
    for (int i = 0; i < count; i++) close(descriptors[i]);
    return 0;
}

int main(int count, char **arguments) {
    if (count == 2 && strcmp(arguments[1], "--vocabulary") == 0) return print_vocabulary();
    if (run_sealed(arguments) < 0) return 1;
    bool once = count == 2 && strcmp(arguments[1], "--once") == 0;
    if (!once) signal(SIGCHLD, SIG_IGN); /* monitors are reaped by the kernel */
    signal(SIGPIPE, SIG_IGN);
    setsid();
    umask(022);
    prctl(PR_SET_NAME, "tsd-launcher");
    for (;;) {
        struct launch_request request;
        int descriptors[DESCRIPTORS_MAX];
        int received = receive(&request, descriptors);
        if (received < 0) return 0;
        if (received == 0) continue;
        /* For one plan this program is the monitor itself, with its own streams. */
        if (once) {
            close(REQUEST_SOCKET);
            prctl(PR_SET_NAME, "tsd-monitor");
            monitor_main(&request, descriptors);
        }
        if (fork() == 0) {
            close(REQUEST_SOCKET);
            prctl(PR_SET_NAME, "tsd-monitor");
            int null = open("/dev/null", O_RDWR | O_CLOEXEC);
            for (int i = 0; null >= 0 && i < 3; i++) dup2(null, i);
            if (null > 2) close(null);
            monitor_main(&request, descriptors);
        }
        /* If the fork failed, closing the control connection tells the daemon. */
        for (int i = 0; i < received; i++) close(descriptors[i]);
    }
}
