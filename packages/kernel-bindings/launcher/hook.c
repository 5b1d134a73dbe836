/* Hooks (OCI runtime specification, "POSIX-platform Hooks"): each is told the container's state on its standard input, and
 * must end well within its time. */
#include "hook.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kernel.h"

#define HOOK_STATE_MAX (64 << 10)
#define HOOK_WORDS 160
#define MILLISECONDS 1000

struct hook {
    pid_t pid;
    int pidfd, input, output; /* its standard input, and what it says on its standard error */
    char words[HOOK_WORDS];
    size_t said;
};

static int64_t milliseconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * MILLISECONDS + time.tv_nsec / 1000000;
}

static _Noreturn void become(const struct step *step, int input, int output) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_DFL);
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup2(input, 0);
    dup2(null >= 0 ? null : output, 1);
    dup2(output, 2);
    kernel_close_range(3, ~0u, 0);
    execve(step->fields[0].string, (char *const *)step->fields[1].list, (char *const *)step->fields[2].list);
    const char *reason = strerror(errno);
    (void)!write(2, reason, strlen(reason));
    _exit(127);
}

static int start(struct context *context, const struct step *step, struct hook *hook) {
    const char *path = step->fields[0].string;
    int input[2], output[2];
    if (pipe2(input, O_CLOEXEC) < 0) return fail(context, "pipe2", path);
    if (pipe2(output, O_CLOEXEC) < 0) {
        close(input[0]), close(input[1]);
        return fail(context, "pipe2", path);
    }
    hook->pid = fork();
    if (hook->pid == 0) become(step, input[0], output[1]);
    int error = errno;
    close(input[0]);
    close(output[1]);
    hook->input = input[1];
    hook->output = output[0];
    hook->pidfd = hook->pid > 0 ? kernel_pidfd_open(hook->pid) : -1;
    fcntl(hook->input, F_SETFL, O_NONBLOCK);
    fcntl(hook->output, F_SETFL, O_NONBLOCK);
    if (hook->pid < 0) return errno = error, fail(context, "fork", path);
    if (hook->pidfd >= 0) return 0;
    kill(hook->pid, SIGKILL);
    return fail(context, "pidfd_open", path);
}

static void listen_to(struct hook *hook) {
    char bytes[512];
    for (ssize_t size; (size = read(hook->output, bytes, sizeof bytes)) > 0;) {
        size_t room = sizeof hook->words - 1 - hook->said, taken = (size_t)size < room ? (size_t)size : room;
        memcpy(hook->words + hook->said, bytes, taken);
        hook->said += taken;
    }
}

/* Tells the hook the state and waits for its end; false when its time is over. */
static bool attend(struct hook *hook, const char *state, size_t length, uint64_t seconds) {
    int64_t end = milliseconds() + (int64_t)seconds * MILLISECONDS;
    for (;;) {
        int64_t left = end - milliseconds();
        if (seconds && left <= 0) return false;
        struct pollfd polls[] = {
            {.fd = hook->pidfd, .events = POLLIN},
            {.fd = hook->output, .events = POLLIN},
            {.fd = hook->input, .events = POLLOUT},
        };
        if (poll(polls, 3, seconds ? (int)left : -1) < 0 && errno != EINTR) return false;
        listen_to(hook);
        if (polls[1].revents & POLLHUP) close(hook->output), hook->output = -1;
        if (polls[2].revents) {
            ssize_t size = write(hook->input, state, length);
            if (size > 0) state += size, length -= (size_t)size;
            /* One that does not want to know is none the worse. */
            if (length == 0 || (size < 0 && errno != EAGAIN)) close(hook->input), hook->input = -1;
        }
        if (polls[0].revents) return true;
    }
}

int hook_run(struct context *context, const struct step *step, pid_t pid) {
    const char *path = step->fields[0].string;
    char state[HOOK_STATE_MAX], about[sizeof context->failure.path];
    int length = snprintf(state, sizeof state, "%s%d}\n", step->fields[3].string, (int)pid), status = 0;
    if (length < 0 || (size_t)length >= sizeof state) return errno = E2BIG, fail(context, "hook", path);
    struct hook hook = {.pid = -1, .pidfd = -1, .input = -1, .output = -1};
    if (start(context, step, &hook) < 0) return -1;
    void (*before)(int) = signal(SIGPIPE, SIG_IGN);
    bool ended = attend(&hook, state, (size_t)length, step->fields[4].number);
    if (!ended) kill(hook.pid, SIGKILL);
    while (waitpid(hook.pid, &status, 0) < 0 && errno == EINTR) continue;
    if (hook.output >= 0) listen_to(&hook);
    signal(SIGPIPE, before);
    if (hook.pidfd >= 0) close(hook.pidfd);
    if (hook.input >= 0) close(hook.input);
    if (hook.output >= 0) close(hook.output);
    if (!ended) return errno = ETIMEDOUT, fail(context, "hook", path);
    if (status == 0) return 0;
    while (hook.said > 0 && hook.words[hook.said - 1] == '\n') hook.said--;
    hook.words[hook.said] = 0;
    const char *how = WIFSIGNALED(status) ? "signal" : "status";
    int number = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
    snprintf(about, sizeof about, "%s %d: %s", how, number, hook.words);
    return errno = ECANCELED, fail(context, "hook", about);
}
