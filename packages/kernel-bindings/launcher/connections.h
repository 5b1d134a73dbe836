/* Connections to a monitor's socket: each says first what it is, and then sends and gets frames (protocol.h). */
#ifndef TSD_CONNECTIONS_H
#define TSD_CONNECTIONS_H
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "context.h"
#include "protocol.h"

/* A connection on which frames come and go, or one that has not said yet what it is, with the descriptors it brought. */
struct connection {
    int socket;
    bool greeted;
    size_t brought;
    int descriptors[NAME_SERVER_SOCKETS];
    size_t length;
    uint8_t bytes[FRAME_MAX];
    struct pollfd *poll;
    struct connection *next;
};

struct connections {
    struct connection *first;
    /* Whose they are, what a greeting makes of one of them (true: frames come and go from now on; a socket that somebody else
     * has now is -1), and what a frame asks for. */
    void *owner;
    bool (*greet)(void *owner, struct connection *connection, const struct greeting *greeting);
    void (*obey)(void *owner, const uint8_t *frame, size_t length);
};

/* Where there is no memory the socket is closed. */
void connections_add(struct connections *connections, int socket, bool greeted);

/* Sends a frame to one, or to all that have greeted. Frames are small and few: a connection that can't take one at once has
 * stopped listening. */
void connection_send(const struct connection *connection, uint8_t type, const void *payload, size_t length);
void connections_tell(const struct connections *connections, uint8_t type, const void *payload, size_t length);

/* What to poll for, one each; how many there are. */
size_t connections_count(const struct connections *connections);
size_t connections_poll(struct connections *connections, struct pollfd *polls);
/* Reads what the poll has found, and lets go of those that are done. */
void connections_serve(struct connections *connections);
void connections_close(struct connections *connections);
#endif
