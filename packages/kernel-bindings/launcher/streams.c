/* The container's standard streams: to the log and the attached clients, and from them, with back-pressure. */
#include "streams.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol.h"

#define CHUNK 65536
#define HEADER 8
#define HUNG_MILLISECONDS 50

static char output[HEADER + CHUNK];

static void set_nonblocking(int descriptor) {
    int flags = fcntl(descriptor, F_GETFL);
    if (flags >= 0) fcntl(descriptor, F_SETFL, flags | O_NONBLOCK);
}

static void close_input(struct streams *streams) {
    /* A terminal has no end of input to pass on: its master stays open for the output. */
    if (streams->input >= 0 && !streams->terminal) close(streams->input);
    streams->input = -1;
    streams->stdin_ending = false;
    free(streams->stdin_pending);
    streams->stdin_pending = NULL;
}

static void end_input(struct streams *streams) {
    if (streams->terminal || !streams->stdin_once) return;
    if (streams->stdin_pending) streams->stdin_ending = true;
    else close_input(streams);
}

void streams_attach(struct streams *streams, int socket, unsigned flags) {
    struct client *client = calloc(1, sizeof *client);
    if (!client) {
        close(socket);
        return;
    }
    set_nonblocking(socket);
    *client = (struct client){.socket = socket, .flags = flags, .next = streams->clients};
    streams->clients = client;
}

static void drop(struct streams *streams, struct client *client) {
    if (client->gone) return;
    client->gone = true;
    close(client->socket);
    free(client->pending);
    client->pending = NULL;
    if (client->flags & ATTACH_STDIN && !client->input_ended) end_input(streams);
}

static void sweep(struct streams *streams) {
    for (struct client **at = &streams->clients; *at;) {
        struct client *client = *at;
        if (!client->gone) { at = &client->next; continue; }
        *at = client->next;
        free(client);
    }
}

/* Sends, and keeps what the client does not take now. */
static void queue(struct streams *streams, struct client *client, const char *bytes, size_t length) {
    if (!client->pending) {
        ssize_t size = send(client->socket, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (size < 0 && errno != EAGAIN && errno != EINTR) { drop(streams, client); return; }
        if (size > 0) bytes += size, length -= (size_t)size;
        if (!length) return;
        client->pending_length = client->pending_sent = 0;
    }
    char *grown = realloc(client->pending, client->pending_length + length);
    if (!grown) { drop(streams, client); return; }
    memcpy(grown + client->pending_length, bytes, length);
    client->pending = grown;
    client->pending_length += length;
}

static void flush_client(struct streams *streams, struct client *client) {
    size_t left = client->pending_length - client->pending_sent;
    ssize_t size = send(client->socket, client->pending + client->pending_sent, left, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (size < 0 && errno != EAGAIN && errno != EINTR) { drop(streams, client); return; }
    if (size > 0) client->pending_sent += (size_t)size;
    if (client->pending_sent < client->pending_length) return;
    free(client->pending);
    client->pending = NULL;
}

bool streams_pending(const struct streams *streams) {
    for (const struct client *client = streams->clients; client; client = client->next)
        if (client->pending) return true;
    return false;
}

static void close_output(struct streams *streams, int index) {
    if (streams->outputs[index] < 0) return;
    if (streams->terminal) streams->input = -1;
    close(streams->outputs[index]);
    streams->outputs[index] = -1;
}

/* Takes one chunk of output; false when there is none now or the stream has ended. */
static bool take_output(struct streams *streams, int index) {
    ssize_t size = read(streams->outputs[index], output + HEADER, CHUNK);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (size < 0 && errno == EIO && streams->terminal) {
        streams->hung = true;
        return false;
    }
    if (size <= 0) {
        close_output(streams, index);
        return false;
    }
    /* A log that can't be written (a full disk) must not stop the container. */
    if (streams->log) (void)logfile_write(streams->log, index, output + HEADER, (size_t)size);
    uint32_t length = htonl((uint32_t)size);
    memcpy(output, (char[4]){(char)(index + 1), 0, 0, 0}, 4);
    memcpy(output + 4, &length, 4);
    size_t skip = streams->terminal ? HEADER : 0;
    for (struct client *client = streams->clients; client; client = client->next)
        if (!client->gone && client->flags & (index ? ATTACH_STDERR : ATTACH_STDOUT))
            queue(streams, client, output + skip, HEADER + (size_t)size - skip);
    return true;
}

static void flush_stdin(struct streams *streams) {
    ssize_t size = write(streams->input, streams->stdin_pending + streams->stdin_sent, streams->stdin_length - streams->stdin_sent);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (size < 0) { close_input(streams); return; }
    streams->stdin_sent += (size_t)size;
    if (streams->stdin_sent < streams->stdin_length) return;
    free(streams->stdin_pending);
    streams->stdin_pending = NULL;
    if (streams->stdin_ending) close_input(streams);
}

static void take_input(struct streams *streams, struct client *client) {
    static char input[CHUNK];
    ssize_t size = recv(client->socket, input, sizeof input, MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (size < 0) { drop(streams, client); return; }
    if (size == 0) {
        client->input_ended = true;
        end_input(streams);
        return;
    }
    if (streams->input < 0) return; /* nobody reads it any more */
    ssize_t written = write(streams->input, input, (size_t)size);
    if (written < 0 && errno != EAGAIN && errno != EINTR) { close_input(streams); return; }
    if (written < 0) written = 0;
    if (written == size) return;
    streams->stdin_length = (size_t)(size - written);
    streams->stdin_sent = 0;
    streams->stdin_pending = malloc(streams->stdin_length);
    if (streams->stdin_pending) memcpy(streams->stdin_pending, input + written, streams->stdin_length);
    else close_input(streams);
}

size_t streams_count(const struct streams *streams) {
    size_t count = 3;
    for (const struct client *client = streams->clients; client; client = client->next) count++;
    return count;
}

size_t streams_poll(struct streams *streams, struct pollfd *polls) {
    struct pollfd *at = polls;
    bool blocked = streams_pending(streams);
    streams->input_poll = NULL;
    for (int i = 0; i < 2; i++) {
        streams->output_polls[i] = NULL;
        if (streams->outputs[i] < 0 || blocked || streams->hung) continue;
        *at = (struct pollfd){.fd = streams->outputs[i], .events = POLLIN};
        streams->output_polls[i] = at++;
    }
    if (streams->stdin_pending && streams->input >= 0) {
        *at = (struct pollfd){.fd = streams->input, .events = POLLOUT};
        streams->input_poll = at++;
    }
    for (struct client *client = streams->clients; client; client = client->next) {
        short events = client->pending ? POLLOUT : 0;
        if (client->flags & ATTACH_STDIN && !client->input_ended && !streams->stdin_pending) events |= POLLIN;
        *at = (struct pollfd){.fd = client->socket, .events = events};
        client->poll = at++;
    }
    return (size_t)(at - polls);
}

int streams_timeout(const struct streams *streams) { return streams->hung ? HUNG_MILLISECONDS : -1; }

void streams_move(struct streams *streams) {
    if (streams->hung && !streams_pending(streams)) {
        streams->hung = false;
        take_output(streams, 0);
    }
    for (struct client *client = streams->clients; client; client = client->next) {
        if (!client->poll) continue; /* attached since the poll */
        short events = client->poll->revents;
        client->poll = NULL;
        if (events & POLLOUT && client->pending) flush_client(streams, client);
        if (client->gone) continue;
        if (events & POLLIN && !streams->stdin_pending) take_input(streams, client);
        else if (events & (POLLHUP | POLLERR)) drop(streams, client);
    }
    if (streams->input_poll && streams->input_poll->revents && streams->stdin_pending) flush_stdin(streams);
    for (int i = 0; i < 2; i++)
        if (streams->output_polls[i] && streams->output_polls[i]->revents && streams->outputs[i] >= 0) take_output(streams, i);
    sweep(streams);
}

void streams_drain(struct streams *streams) {
    /* The writers are dead, so this is at most what the pipes hold; a process that inherited the pipe and lives on
     * could write for ever, hence the bound. */
    for (int i = 0; i < 2; i++)
        for (int chunk = 0; chunk < 32 && streams->outputs[i] >= 0 && take_output(streams, i);) chunk++;
    if (streams->log) (void)logfile_finish(streams->log);
    sweep(streams);
}

void streams_close(struct streams *streams) {
    for (struct client *client = streams->clients; client; client = client->next) drop(streams, client);
    sweep(streams);
    close_input(streams);
    close_output(streams, 0);
    close_output(streams, 1);
}
