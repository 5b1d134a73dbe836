/* Passes the container's lines on to a log service of the host's: syslog or journald. */
#ifndef TSD_FORWARD_H
#define TSD_FORWARD_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The most bytes of fields that go with each line to journald. */
#define FORWARD_FIELDS_MAX 8192

enum forward_protocol { FORWARD_UNIX_DATAGRAM, FORWARD_UNIX_STREAM, FORWARD_UDP, FORWARD_TCP };
/* SYSLOG: as syslog(3) sends it to the local service; RFC 3164 and 5424; journald's native protocol. */
enum forward_format { FORWARD_SYSLOG, FORWARD_RFC3164, FORWARD_RFC5424, FORWARD_JOURNAL };

struct forward {
    enum forward_protocol protocol;
    enum forward_format format;
    char *address; /* a socket's path, or HOST PORT */
    char *tag;
    unsigned facility;
    char *fields; /* for journald: "KEY=value\n" and so on */
    size_t fields_length;
    int socket; /* -1 while there is none */
};

/* Connects; 0, or -1 and errno. */
int forward_open(struct forward *forward);
/* Sends a line (its newline is left off). A service that does not take it loses it: the container must not wait. */
void forward_line(struct forward *forward, int stream, const char *line, size_t length);
#endif
