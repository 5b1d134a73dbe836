/* System call traces: a filter that asks before every call, and whoever answers and counts (seccomp_unotify(2)). */
#include "trace.h"

#include <errno.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "child.h"
#include "kernel.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif
/* Milliseconds between two looks for the listener, and how many looks. */
#define LISTENER_PAUSE 1
#define LISTENER_LOOKS 5000
#define TRACE_MAX_CALLS 4096

struct call {
    uint32_t architecture;
    int32_t number;
    uint64_t count;
};

struct trace {
    int listener;
    char *path;
    struct call *calls;
    size_t length, room;
};

/* Once the filter is there, no call of this process returns before the monitor has the listener: the number it will have
 * is told before. */
int child_seccomp_trace(struct context *context) {
    int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (next < 0) return fail(context, "open", "/dev/null");
    close(next);
    struct child_report message = {.kind = CHILD_TRACE, .failure = {.step = (uint32_t)next}};
    if (send(context->sync, &message, sizeof message, MSG_NOSIGNAL) < 0) return fail(context, "send", "trace");
    struct sock_filter instruction = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
    struct sock_fprog program = {.len = 1, .filter = &instruction};
    unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER;
    long listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &program);
    if (listener < 0 && errno == EINVAL) listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
    if (listener < 0) return fail(context, "seccomp", "SECCOMP_FILTER_FLAG_NEW_LISTENER");
    return 0;
}

/* Takes the listener out of the child as soon as it is there. The child says something else only if there is none to come. */
static int take_listener(const struct context *context, int number) {
    struct pollfd channel = {.fd = context->sync, .events = POLLIN};
    for (int look = 0; look < LISTENER_LOOKS; look++) {
        int listener = (int)syscall(SYS_pidfd_getfd, context->pidfd, number, 0);
        if (listener >= 0) return listener;
        if (errno != EBADF) return -1;
        if (poll(&channel, 1, LISTENER_PAUSE) > 0) return errno = ECANCELED, -1;
    }
    return errno = ETIMEDOUT, -1;
}

struct trace *trace_start(struct context *context, uint32_t number) {
    if (!context->trace_path || number > INT_MAX) return NULL;
    struct trace *trace = calloc(1, sizeof *trace);
    if (!trace) return NULL;
    trace->path = strdup(context->trace_path);
    trace->listener = take_listener(context, (int)number);
    if (trace->path && trace->listener >= 0) return trace;
    int error = errno;
    trace_end(trace);
    return errno = error, NULL;
}

int trace_listener(const struct trace *trace) { return trace ? trace->listener : -1; }

static void count_call(struct trace *trace, const struct seccomp_data *data) {
    for (size_t i = 0; i < trace->length; i++)
        if (trace->calls[i].number == data->nr && trace->calls[i].architecture == data->arch) {
            trace->calls[i].count++;
            return;
        }
    if (trace->length == trace->room) {
        size_t room = trace->room ? trace->room * 2 : 64;
        struct call *grown = room <= TRACE_MAX_CALLS ? realloc(trace->calls, room * sizeof *grown) : NULL;
        if (!grown) return;
        trace->calls = grown;
        trace->room = room;
    }
    trace->calls[trace->length++] = (struct call){data->arch, data->nr, 1};
}

bool trace_answer(struct trace *trace) {
    /* The request's number carries the structure's size: a kernel with another one refuses it. */
    struct seccomp_notif asked = {0};
    if (ioctl(trace->listener, SECCOMP_IOCTL_NOTIF_RECV, &asked) < 0) return errno == EINTR || errno == ENOENT;
    count_call(trace, &asked.data);
    struct seccomp_notif_resp answer = {.id = asked.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
    return ioctl(trace->listener, SECCOMP_IOCTL_NOTIF_SEND, &answer) == 0 || errno == ENOENT || errno == EINTR;
}

void trace_stop(struct trace *trace) {
    if (trace->listener >= 0) close(trace->listener);
    trace->listener = -1;
}

/* "architecture number count" in each line, whole or not at all. */
static void write_down(const struct trace *trace) {
    char temporary[PATH_MAX];
    if (snprintf(temporary, sizeof temporary, "%s.new", trace->path) >= (int)sizeof temporary) return;
    FILE *file = fopen(temporary, "we");
    if (!file) return;
    bool whole = true;
    for (size_t i = 0; i < trace->length; i++)
        whole &= fprintf(file, "%u %d %llu\n", trace->calls[i].architecture, trace->calls[i].number, (unsigned long long)trace->calls[i].count) > 0;
    if (fclose(file) == 0 && whole) (void)!rename(temporary, trace->path);
    else unlink(temporary);
}

void trace_end(struct trace *trace) {
    if (!trace) return;
    trace_stop(trace);
    if (trace->path && trace->length) write_down(trace);
    free(trace->path);
    free(trace->calls);
    free(trace);
}
