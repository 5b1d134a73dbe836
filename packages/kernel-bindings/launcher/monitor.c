/* The monitor: carries a plan out, then looks after its process until the end: streams, log, signals, exit status.
 * It outlives the daemon; what it has to tell, it writes down before it says it. */
#include "monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "child.h"
#include "connections.h"
#include "context.h"
#include "foreign.h"
#include "kernel.h"
#include "memory.h"
#include "streams.h"
#include "trace.h"
#include "trees.h"

struct monitor {
    struct context context;
    struct plan plan;
    void *bytes;
    size_t size;
    struct streams streams;
    struct logfile log;
    int listener;
    char *socket_path, *exit_path;
    struct connections connections;
    uint64_t started;
    bool running, name_server;
    struct trace *trace; /* NULL unless calls are traced */
};

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static size_t life(const struct monitor *monitor, uint8_t *payload) {
    uint32_t version = PROTOCOL_VERSION;
    int32_t pid = (int32_t)monitor->context.child;
    memcpy(payload, &version, 4);
    memcpy(payload + 4, &pid, 4);
    memcpy(payload + 8, &monitor->started, 8);
    int32_t own = (int32_t)getpid();
    memcpy(payload + 16, &own, 4);
    return 20;
}

static _Noreturn void give_up(struct monitor *monitor) {
    const struct failure *failure = &monitor->context.failure;
    uint8_t payload[8 + sizeof failure->call + sizeof failure->path];
    uint32_t numbers[2] = {failure->step, (uint32_t)failure->error};
    memcpy(payload, numbers, 8);
    size_t call = strlen(failure->call) + 1, path = strlen(failure->path) + 1;
    memcpy(payload + 8, failure->call, call);
    memcpy(payload + 8 + call, failure->path, path);
    if (monitor->context.child > 0) {
        /* Nothing of the plan's process may be left when the daemon hears of the failure. */
        kernel_pidfd_send_signal(monitor->context.pidfd, SIGKILL);
        while (waitpid(monitor->context.child, NULL, 0) < 0 && errno == EINTR) continue;
    }
    if (monitor->context.socket_path && *monitor->context.socket_path) unlink(monitor->context.socket_path);
    connections_tell(&monitor->connections, FRAME_FAILED, payload, 8 + call + path);
    _exit(1);
}

static void check(struct monitor *monitor, int result, const char *call, const char *path) {
    if (result < 0) {
        fail(&monitor->context, call, path);
        give_up(monitor);
    }
}

static void open_plan(struct monitor *monitor, int descriptor) {
    struct stat status;
    check(monitor, fstat(descriptor, &status), "fstat", "plan");
    monitor->size = (size_t)status.st_size;
    if (!monitor->size || monitor->size > PLAN_MAX_BYTES) errno = EMSGSIZE, check(monitor, -1, "plan", "size");
    monitor->bytes = mmap(NULL, monitor->size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (monitor->bytes == MAP_FAILED) check(monitor, -1, "mmap", "plan");
    /* It stays readable as long as the process lives, whatever becomes of the daemon. */
    dup3(descriptor, PLAN_FD, O_CLOEXEC);
    close(descriptor);
    const char *reason;
    if (plan_decode(monitor->bytes, monitor->size, &monitor->plan, &reason) < 0) errno = EBADMSG, check(monitor, -1, "decode", reason);
    monitor->context.plan = &monitor->plan;
}

/* Daemons find the monitor again by this socket, whose directory only root may enter. */
static void listen_at(struct monitor *monitor, const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!path || !*path) return;
    if (strlen(path) >= sizeof address.sun_path) errno = ENAMETOOLONG, check(monitor, -1, "bind", path);
    strcpy(address.sun_path, path);
    monitor->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    check(monitor, monitor->listener, "socket", path);
    unlink(path);
    check(monitor, bind(monitor->listener, (struct sockaddr *)&address, sizeof address), "bind", path);
    check(monitor, listen(monitor->listener, 64), "listen", path);
}

/* The child's ends of the standard streams: set up before the clone, put in place by the child as 0, 1 and 2. */
static void open_streams(struct monitor *monitor, int *child) {
    struct context *context = &monitor->context;
    child[0] = child[1] = child[2] = -1;
    monitor->streams = (struct streams){.terminal = context->terminal, .stdin_once = context->stdin_once, .input = -1, .outputs = {-1, -1}};
    if (context->inherit_streams && !context->terminal)
        for (int i = 0; i < 3; i++) child[i] = i;
    if (context->terminal || context->inherit_streams) return;
    int pair[2];
    for (int i = 0; i < 2; i++) {
        check(monitor, pipe2(pair, O_CLOEXEC), "pipe2", "output");
        monitor->streams.outputs[i] = pair[0];
        child[i + 1] = pair[1];
        check(monitor, fcntl(pair[0], F_SETFL, O_NONBLOCK), "fcntl", "output");
        check(monitor, fchown(pair[1], context->stdio_owner, (gid_t)-1), "fchown", "output");
    }
    if (!context->open_stdin) return;
    check(monitor, pipe2(pair, O_CLOEXEC), "pipe2", "input");
    child[0] = pair[0];
    monitor->streams.input = pair[1];
    check(monitor, fcntl(pair[1], F_SETFL, O_NONBLOCK), "fcntl", "input");
    check(monitor, fchown(pair[0], context->stdio_owner, (gid_t)-1), "fchown", "input");
}

static void take_terminal(struct monitor *monitor, int master) {
    if (monitor->context.inherit_streams) {
        check(monitor, foreign_give_terminal(&monitor->context, master), "connect", "terminal");
        close(master);
        return;
    }
    if (fcntl(master, F_SETFL, O_NONBLOCK) < 0) { close(master); return; }
    monitor->streams.input = monitor->streams.outputs[0] = master;
}

/* Puts the name server's sockets where daemons look for them; they stay until the process ends. */
static int keep_name_server(struct monitor *monitor, const int *sockets) {
    static const int places[] = {NAME_SERVER_DATAGRAM_FD, NAME_SERVER_STREAM_FD};
    int result = 0;
    monitor->name_server = true;
    for (size_t i = 0; i < NAME_SERVER_SOCKETS; i++) {
        if (dup3(sockets[i], places[i], O_CLOEXEC) < 0) result = -1;
        close(sockets[i]);
    }
    return result;
}

/* A socket keeps its network namespace, which is to go with the process. */
static void drop_name_server(struct monitor *monitor) {
    if (!monitor->name_server) return;
    close(NAME_SERVER_DATAGRAM_FD);
    close(NAME_SERVER_STREAM_FD);
    monitor->name_server = false;
}

/* What the child hands over with its word; what was not expected is closed. */
static void take_descriptors(struct monitor *monitor, uint32_t kind, struct msghdr *header) {
    int descriptors[CHILD_MAX_DESCRIPTORS];
    struct cmsghdr *rights = CMSG_FIRSTHDR(header);
    if (!rights || rights->cmsg_type != SCM_RIGHTS) return;
    size_t count = (rights->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(descriptors, CMSG_DATA(rights), count * sizeof(int));
    if (kind == CHILD_TERMINAL && count == 1) take_terminal(monitor, descriptors[0]);
    else if (kind == CHILD_NAME_SERVER && count == NAME_SERVER_SOCKETS) check(monitor, keep_name_server(monitor, descriptors), "dup3", "name server");
    else
        for (size_t i = 0; i < count; i++) close(descriptors[i]);
}

/* Waits until the child has said something, letting its calls go on meanwhile where they are traced. */
static void await_word(struct monitor *monitor) {
    while (monitor->trace) {
        struct pollfd polls[] = {{.fd = monitor->context.sync, .events = POLLIN}, {.fd = trace_listener(monitor->trace), .events = POLLIN}};
        if (poll(polls, 2, -1) < 0) continue;
        if (polls[1].revents & POLLIN && !trace_answer(monitor->trace)) return;
        if (polls[0].revents || polls[1].revents & (POLLHUP | POLLERR)) return;
    }
}

/* Listens to the child until its execve closes the channel, or it fails. */
static void await_execve(struct monitor *monitor) {
    struct child_report report;
    for (;;) {
        await_word(monitor);
        union { char bytes[CMSG_SPACE(sizeof(int) * CHILD_MAX_DESCRIPTORS)]; struct cmsghdr align; } control = {0};
        struct iovec part = {&report, sizeof report};
        struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
        ssize_t size = recvmsg(monitor->context.sync, &header, MSG_CMSG_CLOEXEC);
        /* A child that ended without reading our word resets the channel first; what it said still comes after that. */
        if (size < 0 && (errno == EINTR || errno == ECONNRESET)) continue;
        if (size <= 0) break;
        take_descriptors(monitor, size == sizeof report ? report.kind : 0, &header);
        if (size == sizeof report && report.kind == CHILD_WAITING) break;
        if (size == sizeof report && report.kind == CHILD_FAILED) {
            monitor->context.failure = report.failure;
            give_up(monitor);
        }
        if (size == sizeof report && report.kind == CHILD_TRACE) {
            monitor->trace = trace_start(&monitor->context, report.failure.step);
            /* Without a listener the child says itself what was wrong, or is lost. */
            if (!monitor->trace && errno != ECANCELED) check(monitor, -1, "pidfd_getfd", "trace");
        }
    }
    if (monitor->context.last_word->kind == CHILD_FAILED) {
        monitor->context.failure = monitor->context.last_word->failure;
        give_up(monitor);
    }
    munmap(monitor->context.last_word, sizeof *monitor->context.last_word);
    close(monitor->context.sync);
}

static char *keep(const char *string) { return string && *string ? strdup(string) : NULL; }

/* Carries the plan out, up to the execve in the child. */
static void launch(struct monitor *monitor) {
    struct context *context = &monitor->context;
    /* The streams must exist before the clone step, so the plan's word on them is taken first. */
    for (uint32_t i = 0; i < monitor->plan.length; i++)
        if (monitor->plan.steps[i].entry->op == OP_STDIO || monitor->plan.steps[i].entry->op == OP_STREAMS_INHERIT) run_monitor_step(context, &monitor->plan.steps[i]);
    open_streams(monitor, context->stdio);
    if (run_stage(context, STAGE_MONITOR) < 0) give_up(monitor);
    if (context->child <= 0) errno = EINVAL, check(monitor, -1, "plan", "no clone step");
    for (int i = 0; i < 3; i++)
        if (context->stdio[i] >= 0 && !context->inherit_streams) close(context->stdio[i]);
    if (context->start_pipe >= 0) close(context->start_pipe);
    listen_at(monitor, context->socket_path);
    if (context->log.path && *context->log.path) {
        struct log_settings settings = context->log;
        settings.path = keep(settings.path);
        settings.compressor = keep(settings.compressor);
        check(monitor, logfile_open(&monitor->log, &settings), "open", context->log.path);
        monitor->log.forward = context->forward;
        monitor->streams.log = &monitor->log;
    }
    if (run_stage(context, STAGE_HOST) < 0) {
        /* If it failed because the child is dead, the child's reason is the better one. */
        struct child_report report;
        ssize_t size;
        do size = recv(context->sync, &report, sizeof report, MSG_DONTWAIT);
        while (size < 0 && (errno == EINTR || errno == ECONNRESET));
        if (size == sizeof report && report.kind == CHILD_FAILED) context->failure = report.failure;
        give_up(monitor);
    }
    if (context->user_namespace >= 0) close(context->user_namespace);
    (void)!send(context->sync, "", 1, MSG_NOSIGNAL);
    await_execve(monitor);
    if (context->adopted) {
        int terminal;
        if (foreign_take_over(context, &terminal) < 0) give_up(monitor);
        if (terminal >= 0) take_terminal(monitor, terminal);
    }
    monitor->started = now();
    monitor->running = true;
    monitor->socket_path = keep(context->socket_path);
    monitor->exit_path = keep(context->exit_path);
    plan_free(&monitor->plan);
    munmap(monitor->bytes, monitor->size);
}

/* "status end\n", whole or not at all: the daemon may read it at any time, also years later. */
static void record_exit(const struct monitor *monitor, int status, uint64_t end) {
    char text[64], temporary[PATH_MAX];
    if (!monitor->exit_path) return;
    int length = snprintf(text, sizeof text, "%d %llu\n", status, (unsigned long long)end);
    snprintf(temporary, sizeof temporary, "%s.new", monitor->exit_path);
    int file = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0) return;
    bool whole = write(file, text, (size_t)length) == length;
    close(file);
    if (whole) (void)!rename(temporary, monitor->exit_path);
}

static void reap(struct monitor *monitor) {
    int status = SIGKILL;
    pid_t ended = waitpid(monitor->context.child, &status, WNOHANG);
    /* A process that is not ours to wait for (a foreign runtime's, whose parent would not let go) has ended all the same. */
    if (ended == 0 || (ended < 0 && errno != ECHILD)) return;
    uint64_t end = now();
    monitor->running = false;
    drop_name_server(monitor);
    streams_drain(&monitor->streams);
    trace_end(monitor->trace);
    monitor->trace = NULL;
    record_exit(monitor, status, end);
    if (monitor->socket_path) unlink(monitor->socket_path);
    uint8_t payload[12];
    int32_t code = status;
    memcpy(payload, &code, 4);
    memcpy(payload + 4, &end, 8);
    connections_tell(&monitor->connections, FRAME_EXITED, payload, sizeof payload);
}

static void obey(void *owner, const uint8_t *frame, size_t length) {
    struct monitor *monitor = owner;
    if (frame[0] == FRAME_SIGNAL && length == 5 && monitor->running) {
        uint32_t signal;
        memcpy(&signal, frame + 1, 4);
        kernel_pidfd_send_signal(monitor->context.pidfd, (int)signal);
    } else if (frame[0] == FRAME_RESIZE && length == 5 && monitor->streams.terminal && monitor->streams.outputs[0] >= 0) {
        uint16_t size[2];
        memcpy(size, frame + 1, 4);
        struct winsize window = {.ws_col = size[0], .ws_row = size[1]};
        (void)!ioctl(monitor->streams.outputs[0], TIOCSWINSZ, &window);
    }
}

/* What a connection wants to be. */
static bool greet(void *owner, struct connection *connection, const struct greeting *greeting) {
    struct monitor *monitor = owner;
    if (greeting->kind == GREETING_ATTACH) {
        streams_attach(&monitor->streams, connection->socket, greeting->flags);
        connection->socket = -1;
        return false;
    }
    if (greeting->kind == GREETING_NAMES) {
        drop_name_server(monitor);
        if (connection->brought != NAME_SERVER_SOCKETS || !monitor->running) return false;
        connection->brought = 0;
        if (keep_name_server(monitor, connection->descriptors) < 0) drop_name_server(monitor);
        return false;
    }
    if (greeting->kind != GREETING_CONTROL) return false;
    uint8_t payload[LIFE_BYTES];
    connection_send(connection, FRAME_HELLO, payload, life(monitor, payload));
    const uint32_t memory[2] = {monitor->context.memory.told, 0};
    if (memory[0]) connection_send(connection, FRAME_OUT_OF_MEMORY, memory, sizeof memory);
    return true;
}

static void accept_connection(struct monitor *monitor) {
    int socket = accept4(monitor->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (socket >= 0) connections_add(&monitor->connections, socket, false);
}

static void tell_of_memory(struct monitor *monitor) {
    if (!memory_ran_out(&monitor->context.memory)) return;
    const uint32_t payload[2] = {monitor->context.memory.told, 1};
    connections_tell(&monitor->connections, FRAME_OUT_OF_MEMORY, payload, sizeof payload);
}

static void wait_and_serve(struct monitor *monitor, struct pollfd **polls, size_t *room) {
    size_t needed = 5 + streams_count(&monitor->streams) + connections_count(&monitor->connections), used = 0;
    if (needed > *room) {
        struct pollfd *grown = realloc(*polls, needed * sizeof **polls);
        if (!grown) return;
        *polls = grown;
        *room = needed;
    }
    struct pollfd *child = NULL, *listener = NULL, *calls = NULL, *memory = NULL, *compressed = NULL;
    if (trace_listener(monitor->trace) >= 0) {
        (*polls)[used] = (struct pollfd){.fd = trace_listener(monitor->trace), .events = POLLIN};
        calls = &(*polls)[used++];
    }
    if (monitor->running && monitor->context.memory.descriptor >= 0) {
        (*polls)[used] = (struct pollfd){.fd = monitor->context.memory.descriptor, .events = POLLIN};
        memory = &(*polls)[used++];
    }
    if (monitor->running) {
        (*polls)[used] = (struct pollfd){.fd = monitor->context.pidfd, .events = POLLIN};
        child = &(*polls)[used++];
        if (monitor->listener >= 0) {
            (*polls)[used] = (struct pollfd){.fd = monitor->listener, .events = POLLIN};
            listener = &(*polls)[used++];
        }
    }
    if (monitor->streams.log && rotation_descriptor(&monitor->log.rotation) >= 0) {
        (*polls)[used] = (struct pollfd){.fd = rotation_descriptor(&monitor->log.rotation), .events = POLLIN};
        compressed = &(*polls)[used++];
    }
    used += connections_poll(&monitor->connections, *polls + used);
    used += streams_poll(&monitor->streams, *polls + used);
    if (poll(*polls, used, streams_timeout(&monitor->streams)) < 0) return;
    if (calls && calls->revents && (!(calls->revents & POLLIN) || !trace_answer(monitor->trace))) trace_stop(monitor->trace);
    if (compressed && compressed->revents) rotation_settle(&monitor->log.rotation);
    streams_move(&monitor->streams);
    connections_serve(&monitor->connections);
    if (listener && listener->revents) accept_connection(monitor);
    /* A process that nobody can find again ends with whoever asked for it. */
    if (monitor->listener < 0 && !monitor->connections.first && monitor->running) kernel_pidfd_send_signal(monitor->context.pidfd, SIGKILL);
    if (memory && memory->revents) tell_of_memory(monitor);
    if (child && child->revents) reap(monitor);
}

_Noreturn void monitor_main(const struct launch_request *request, const int *descriptors) {
    static struct monitor monitor;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
    setsid();
    monitor.listener = -1;
    monitor.context = (struct context){.root = -1, .parameters = -1, .sync = -1, .pidfd = -1, .user_namespace = -1, .start_pipe = -1, .console_listener = -1, .memory = {.descriptor = -1}};
    for (size_t i = 0; i < BIND_SLOTS; i++) monitor.context.slots[i] = -1;
    monitor.connections = (struct connections){.owner = &monitor, .greet = greet, .obey = obey};
    connections_add(&monitor.connections, descriptors[1], true);
    open_plan(&monitor, descriptors[0]);
    launch(&monitor);
    for (uint32_t i = 0; i < request->clients; i++) streams_attach(&monitor.streams, descriptors[2 + i], request->flags[i]);
    uint8_t payload[LIFE_BYTES];
    connections_tell(&monitor.connections, FRAME_STARTED, payload, life(&monitor, payload));
    tree_release_layers(&monitor.context);
    /* As a runtime for others, whose child the process becomes. */
    if (monitor.context.leave) _exit(0);
    struct pollfd *polls = NULL;
    size_t room = 0;
    /* After the end, clients still get what they have not taken. */
    while (monitor.running || streams_pending(&monitor.streams)) wait_and_serve(&monitor, &polls, &room);
    streams_close(&monitor.streams);
    connections_close(&monitor.connections);
    if (monitor.listener >= 0) close(monitor.listener);
    if (monitor.streams.log) rotation_finish(&monitor.log.rotation);
    _exit(0);
}
