/* A container's process 1 under --init: starts the command, passes signals on, and reaps whatever is left to it. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* The status a shell would give: the exit code, or 128 plus the signal. */
static int exit_code(int status) { return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status); }

static _Noreturn void run_command(char **command, const sigset_t *mask) {
    sigprocmask(SIG_SETMASK, mask, NULL);
    /* A group of its own, in the foreground of the terminal if there is one: Ctrl-C goes to the command. */
    setpgid(0, 0);
    signal(SIGTTOU, SIG_IGN);
    if (isatty(0)) tcsetpgrp(0, getpgrp());
    signal(SIGTTOU, SIG_DFL);
    execvp(command[0], command);
    int error = errno;
    fprintf(stderr, "tsd-init: %s: %s\n", command[0], strerror(error));
    _exit(error == ENOENT ? 127 : 126);
}

int main(int count, char **arguments) {
    int first = count > 1 && strcmp(arguments[1], "--") == 0 ? 2 : 1;
    if (first >= count) return 2;
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid_t child = fork();
    if (child < 0) return 1;
    if (child == 0) run_command(arguments + first, &before);
    for (;;) {
        int signal = sigwaitinfo(&all, NULL);
        if (signal < 0) continue;
        if (signal != SIGCHLD) {
            kill(child, signal);
            continue;
        }
        int status;
        for (pid_t ended; (ended = waitpid(-1, &status, WNOHANG)) > 0;)
            if (ended == child) return exit_code(status);
    }
}
