/* Connections to a monitor's socket, and the frames on them. */
#include "connections.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void connection_send(const struct connection *connection, uint8_t type, const void *payload, size_t length) {
    uint8_t frame[FRAME_MAX + 5];
    uint32_t size = (uint32_t)length + 1;
    memcpy(frame, &size, 4);
    frame[4] = type;
    memcpy(frame + 5, payload, length);
    (void)!send(connection->socket, frame, length + 5, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void connections_tell(const struct connections *connections, uint8_t type, const void *payload, size_t length) {
    for (const struct connection *connection = connections->first; connection; connection = connection->next)
        if (connection->greeted) connection_send(connection, type, payload, length);
}

void connections_add(struct connections *connections, int socket, bool greeted) {
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection) {
        close(socket);
        return;
    }
    connection->socket = socket;
    connection->greeted = greeted;
    connection->next = connections->first;
    connections->first = connection;
}

/* Handles what a connection has sent so far; false when it is to be closed, or has become a client. */
static bool digest(struct connections *connections, struct connection *connection) {
    if (!connection->greeted) {
        struct greeting greeting;
        if (connection->length < sizeof greeting) return true;
        memcpy(&greeting, connection->bytes, sizeof greeting);
        if (greeting.magic != GREETING_MAGIC || !greeting.version) return false;
        if (!connections->greet(connections->owner, connection, &greeting)) return false;
        connection->greeted = true;
        connection->length -= sizeof greeting;
        memmove(connection->bytes, connection->bytes + sizeof greeting, connection->length);
    }
    while (connection->length >= 4) {
        uint32_t size;
        memcpy(&size, connection->bytes, 4);
        if (!size || size > FRAME_MAX - 4) return false;
        if (connection->length < 4 + (size_t)size) break;
        connections->obey(connections->owner, connection->bytes + 4, size);
        connection->length -= 4 + (size_t)size;
        memmove(connection->bytes, connection->bytes + 4 + size, connection->length);
    }
    return true;
}

static void close_brought(struct connection *connection) {
    while (connection->brought > 0) close(connection->descriptors[--connection->brought]);
}

/* Reads a greeting, or a part of it, with what it brings. The kernel closes what there is no room for. */
static ssize_t receive_greeting(struct connection *connection, struct iovec part) {
    union { char bytes[CMSG_SPACE(sizeof(int) * NAME_SERVER_SOCKETS)]; struct cmsghdr align; } control = {0};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    ssize_t size = recvmsg(connection->socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    struct cmsghdr *rights = size < 0 ? NULL : CMSG_FIRSTHDR(&header);
    if (!rights || rights->cmsg_level != SOL_SOCKET || rights->cmsg_type != SCM_RIGHTS) return size;
    close_brought(connection);
    connection->brought = (rights->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(connection->descriptors, CMSG_DATA(rights), connection->brought * sizeof(int));
    return size;
}

/* An ungreeted connection is read no further than its greeting: what follows is a client's input. */
static bool receive(struct connections *connections, struct connection *connection) {
    size_t room = (connection->greeted ? sizeof connection->bytes : sizeof(struct greeting)) - connection->length;
    uint8_t *free_bytes = connection->bytes + connection->length;
    ssize_t size = connection->greeted ? recv(connection->socket, free_bytes, room, MSG_DONTWAIT)
                                       : receive_greeting(connection, (struct iovec){free_bytes, room});
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return true;
    if (size <= 0) return false;
    connection->length += (size_t)size;
    return digest(connections, connection);
}

/* Takes the first of these out of its list. */
static void remove_connection(struct connection **at) {
    struct connection *connection = *at;
    *at = connection->next;
    close_brought(connection);
    if (connection->socket >= 0) close(connection->socket);
    free(connection);
}

void connections_serve(struct connections *connections) {
    for (struct connection **at = &connections->first; *at;) {
        struct connection *connection = *at;
        bool kept = !connection->poll || !connection->poll->revents || receive(connections, connection);
        connection->poll = NULL;
        if (kept) at = &connection->next;
        else remove_connection(at);
    }
}

void connections_close(struct connections *connections) {
    while (connections->first) remove_connection(&connections->first);
}

size_t connections_count(const struct connections *connections) {
    size_t count = 0;
    for (const struct connection *connection = connections->first; connection; connection = connection->next) count++;
    return count;
}

size_t connections_poll(struct connections *connections, struct pollfd *polls) {
    size_t used = 0;
    for (struct connection *connection = connections->first; connection; connection = connection->next) {
        polls[used] = (struct pollfd){.fd = connection->socket, .events = POLLIN};
        connection->poll = &polls[used++];
    }
    return used;
}
