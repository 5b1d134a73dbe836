/* The server: a request is one message on descriptor 3 (SOCK_SEQPACKET): the arguments, each with its NUL, and beside them, by
 * SCM_RIGHTS, the status socket, the three standard streams, the root, the directory, and a user namespace if there is one. How
 * the child ended is written to its status socket (i32, as waitpid gives it); who writes to that or closes it ends the child.
 *
 * The server itself never looks at anything of a stranger's. */
#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "confine.h"
#include "tree.h"

#define REQUESTS 3
#define REQUEST_BYTES (16 << 10)
#define WORDS_MAX 32
#define DESCRIPTORS_MIN 6
#define DESCRIPTORS_MAX 7
/* Above all that a child has when it begins. */
#define OUT_OF_THE_WAY 16

struct request {
    char bytes[REQUEST_BYTES];
    size_t length;
    int descriptors[DESCRIPTORS_MAX + 1]; /* the control message's padding has room for one more */
    int count;
};

struct job {
    pid_t process;
    int pidfd, status;
    bool killed; /* and its status socket no longer listened to */
};
static struct job *jobs;
static size_t running, room;

static void close_all(const int *descriptors, int count) {
    for (int i = 0; i < count; i++) close(descriptors[i]);
}

/* Whether there is a request; false at the end. What is no request has no descriptors. */
static bool receive(struct request *request) {
    union { char bytes[CMSG_SPACE(sizeof(int) * DESCRIPTORS_MAX)]; struct cmsghdr align; } control;
    struct iovec part = {request->bytes, sizeof request->bytes};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    ssize_t size;
    do size = recvmsg(REQUESTS, &header, MSG_CMSG_CLOEXEC);
    while (size < 0 && errno == EINTR);
    request->count = 0;
    if (size <= 0) return false;
    request->length = (size_t)size;
    for (struct cmsghdr *rights = CMSG_FIRSTHDR(&header); rights; rights = CMSG_NXTHDR(&header, rights)) {
        if (rights->cmsg_level != SOL_SOCKET || rights->cmsg_type != SCM_RIGHTS) continue;
        request->count = (int)((rights->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(request->descriptors, CMSG_DATA(rights), (size_t)request->count * sizeof(int));
    }
    bool whole = !(header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) && request->count >= DESCRIPTORS_MIN &&
                 request->count <= DESCRIPTORS_MAX && request->bytes[size - 1] == 0;
    if (whole) return true;
    close_all(request->descriptors, request->count);
    request->count = 0;
    return true;
}

/* In the child: its descriptors in their places, and its arguments. */
static char **begin(struct request *request, pid_t server, int *count) {
    static char *words[WORDS_MAX + 2] = {(char *)"tsd-archive"};
    prctl(PR_SET_NAME, "tsd-archive");
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != server) exit(1);
    int high[DESCRIPTORS_MAX];
    for (int i = 1; i < request->count; i++) {
        high[i] = fcntl(request->descriptors[i], F_DUPFD_CLOEXEC, OUT_OF_THE_WAY + DESCRIPTORS_MAX);
        if (high[i] < 0) exit(1);
    }
    for (int i = 1; i < request->count; i++)
        if (dup2(high[i], i - 1) < 0) exit(1);
    syscall(SYS_close_range, (unsigned)request->count - 1, ~0u, 0);
    size_t used = 1;
    for (char *at = request->bytes; at < request->bytes + request->length; at += strlen(at) + 1) {
        if (used > WORDS_MAX) give_up("more than %d arguments", WORDS_MAX);
        words[used++] = at;
    }
    *count = (int)used;
    return words;
}

/* Notes a child; false where that can't be done. */
static bool note(pid_t process, int status) {
    if (running == room) {
        size_t wanted = room ? room * 2 : 16;
        struct job *grown = realloc(jobs, wanted * sizeof *jobs);
        if (!grown) return false;
        jobs = grown;
        room = wanted;
    }
    int pidfd = (int)syscall(SYS_pidfd_open, process, 0);
    if (pidfd < 0) return false;
    jobs[running++] = (struct job){.process = process, .pidfd = pidfd, .status = status};
    return true;
}

/* Forks for one request; true in the child. */
static bool start(struct request *request, pid_t server, int *count, char ***arguments) {
    pid_t process = fork();
    if (process == 0) {
        *arguments = begin(request, server, count);
        return true;
    }
    /* Without its status socket it is ended and waited for here; closing that socket tells who asked. */
    bool noted = process > 0 && note(process, request->descriptors[0]);
    if (process > 0 && !noted) {
        kill(process, SIGKILL);
        while (waitpid(process, NULL, 0) < 0 && errno == EINTR) continue;
    }
    close_all(request->descriptors + (noted ? 1 : 0), request->count - (noted ? 1 : 0));
    return false;
}

/* Whether the job is over and has been told of. */
static bool tend(struct job *job, short ended, short told) {
    if (told) {
        kill(job->process, SIGKILL); /* it is ours to wait for, so the number is still its own */
        job->killed = true;
    }
    if (!ended) return false;
    int status = SIGKILL;
    while (waitpid(job->process, &status, 0) < 0 && errno == EINTR) continue;
    int32_t code = status;
    (void)!send(job->status, &code, sizeof code, MSG_NOSIGNAL);
    close(job->status);
    close(job->pidfd);
    return true;
}

char **serve(int *count) {
    static struct request request;
    struct pollfd *polls = NULL;
    char **arguments;
    pid_t server = getpid();
    prctl(PR_SET_NAME, "tsd-archiver");
    prepare();
    for (;;) {
        size_t watched = running;
        struct pollfd *grown = realloc(polls, (1 + 2 * watched) * sizeof *polls);
        if (!grown) exit(1);
        polls = grown;
        polls[0] = (struct pollfd){.fd = REQUESTS, .events = POLLIN};
        for (size_t i = 0; i < watched; i++) {
            polls[1 + 2 * i] = (struct pollfd){.fd = jobs[i].pidfd, .events = POLLIN};
            polls[2 + 2 * i] = (struct pollfd){.fd = jobs[i].killed ? -1 : jobs[i].status, .events = POLLIN};
        }
        if (poll(polls, 1 + 2 * watched, -1) < 0) continue;
        for (size_t i = watched; i-- > 0;)
            if (tend(&jobs[i], polls[1 + 2 * i].revents, polls[2 + 2 * i].revents)) jobs[i] = jobs[--running];
        if (!polls[0].revents) continue;
        if (!receive(&request)) exit(0); /* children die with this process */
        if (request.count && start(&request, server, count, &arguments)) return arguments;
    }
}
