/* The container's standard streams: to the log and the attached clients, and from them, with back-pressure. */
#ifndef TSD_STREAMS_H
#define TSD_STREAMS_H
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

#include "context.h"
#include "logfile.h"

struct client {
    int socket;
    unsigned flags; /* ATTACH_* */
    bool gone;
    bool input_ended;
    char *pending; /* output it has not taken yet; while there is some, nothing is read from the container */
    size_t pending_length, pending_sent;
    struct pollfd *poll;
    struct client *next;
};

struct streams {
    bool terminal, stdin_once;
    bool hung; /* nobody has the terminal open just now (an init that hangs it up and opens it anew) */
    int input, outputs[2]; /* pipes' ends, or the terminal's master in input and outputs[0]; -1 when closed */
    struct pollfd *input_poll, *output_polls[2];
    struct client *clients;
    char *stdin_pending; /* input the container has not taken yet */
    size_t stdin_length, stdin_sent;
    bool stdin_ending; /* close the input once the pending is written */
    struct logfile *log;
};

/* Adds a client, which then owns `socket`. */
void streams_attach(struct streams *streams, int socket, unsigned flags);
/* The number of descriptors streams_poll may fill in. */
size_t streams_count(const struct streams *streams);
/* Fills in what to wait for; returns the entries used. */
size_t streams_poll(struct streams *streams, struct pollfd *polls);
/* Milliseconds after which a poll is to end even if nothing came; -1 for never. */
int streams_timeout(const struct streams *streams);
/* Moves what can be moved after a poll. */
void streams_move(struct streams *streams);
/* After the process's end: takes what the pipes still hold, and ends the log. */
void streams_drain(struct streams *streams);
/* True while a client has output to take. */
bool streams_pending(const struct streams *streams);
void streams_close(struct streams *streams);
#endif
