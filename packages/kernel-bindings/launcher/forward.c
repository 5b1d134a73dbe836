/* Passes the container's lines on to a log service of the host's: syslog (RFC 3164, RFC 5424) or journald (its native
 * protocol). */
#include "forward.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "logfile.h"

#define PATIENCE_MILLISECONDS 100
#define SEVERITY_ERROR 3
#define SEVERITY_INFORMATION 6

static bool is_stream(const struct forward *forward) {
    return forward->protocol == FORWARD_UNIX_STREAM || forward->protocol == FORWARD_TCP;
}

static int open_local(const struct forward *forward, int type) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(forward->address) >= sizeof address.sun_path) return errno = ENAMETOOLONG, -1;
    strcpy(address.sun_path, forward->address);
    int opened = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    if (opened < 0 || connect(opened, (struct sockaddr *)&address, sizeof address) == 0) return opened;
    int error = errno;
    close(opened);
    return errno = error, -1;
}

/* "ADDRESS PORT": the daemon has resolved names, so that no resolver is needed here. */
static int open_remote(const struct forward *forward, int type) {
    char host[64];
    const char *blank = strchr(forward->address, ' ');
    size_t length = blank ? (size_t)(blank - forward->address) : sizeof host;
    if (length >= sizeof host) return errno = EINVAL, -1;
    memcpy(host, forward->address, length);
    host[length] = 0;
    unsigned port;
    if (sscanf(blank, " %u", &port) != 1 || port > 65535) return errno = EINVAL, -1;
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    bool four = inet_pton(AF_INET, host, &v4.sin_addr) == 1;
    if (!four && inet_pton(AF_INET6, host, &v6.sin6_addr) != 1) return errno = EINVAL, -1;
    int opened = socket(four ? AF_INET : AF_INET6, type | SOCK_CLOEXEC, 0);
    if (opened < 0) return -1;
    struct timeval patience = {.tv_sec = 2};
    setsockopt(opened, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(opened, four ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6, four ? sizeof v4 : sizeof v6) == 0) return opened;
    int error = errno;
    close(opened);
    return errno = error, -1;
}

int forward_open(struct forward *forward) {
    int type = is_stream(forward) ? SOCK_STREAM : SOCK_DGRAM;
    bool local = forward->protocol == FORWARD_UNIX_DATAGRAM || forward->protocol == FORWARD_UNIX_STREAM;
    forward->socket = local ? open_local(forward, type) : open_remote(forward, type);
    return forward->socket < 0 ? -1 : 0;
}

static size_t header(const struct forward *forward, int stream, char *out, size_t room) {
    unsigned priority = forward->facility * 8 + (stream ? SEVERITY_ERROR : SEVERITY_INFORMATION);
    struct timespec now;
    struct tm date;
    char time[40], host[64] = "";
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &date);
    if (forward->format == FORWARD_RFC5424) strftime(time, sizeof time, "%Y-%m-%dT%H:%M:%SZ", &date);
    else strftime(time, sizeof time, "%b %e %H:%M:%S", &date);
    if (forward->format != FORWARD_SYSLOG) gethostname(host, sizeof host - 1);
    int size = forward->format == FORWARD_RFC5424
                   ? snprintf(out, room, "<%u>1 %s %s %s %d %s - ", priority, time, host, forward->tag, (int)getpid(), forward->tag)
                   : snprintf(out, room, "<%u>%s %s%s%s[%d]: ", priority, time, host, *host ? " " : "", forward->tag, (int)getpid());
    return size < 0 ? 0 : (size_t)size < room ? (size_t)size : room - 1;
}

/* journald's native protocol: KEY=value lines, but the message with its length, since it may hold anything. */
static size_t journal_entry(const struct forward *forward, int stream, const char *line, size_t length, char *out) {
    char *at = out;
    at += sprintf(at, "PRIORITY=%d\n", stream ? SEVERITY_ERROR : SEVERITY_INFORMATION);
    memcpy(at, forward->fields, forward->fields_length), at += forward->fields_length;
    memcpy(at, "MESSAGE\n", 8), at += 8;
    for (int i = 0; i < 8; i++) *at++ = (char)((uint64_t)length >> (8 * i));
    memcpy(at, line, length), at += length;
    *at++ = '\n';
    return (size_t)(at - out);
}

static bool send_all(int socket, const char *bytes, size_t length) {
    while (length) {
        ssize_t size = send(socket, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (size < 0 && (errno == EAGAIN || errno == ENOBUFS)) {
            struct pollfd ready = {.fd = socket, .events = POLLOUT};
            if (poll(&ready, 1, PATIENCE_MILLISECONDS) <= 0) return false;
            continue;
        }
        if (size < 0 && errno == EINTR) continue;
        if (size < 0) return false;
        bytes += size;
        length -= (size_t)size;
    }
    return true;
}

void forward_line(struct forward *forward, int stream, const char *line, size_t length) {
    static char message[FORWARD_FIELDS_MAX + LOG_LINE_MAX + 512];
    if (length && line[length - 1] == '\n') length--;
    if (length > LOG_LINE_MAX) length = LOG_LINE_MAX;
    size_t size;
    if (forward->format == FORWARD_JOURNAL) size = journal_entry(forward, stream, line, length, message);
    else {
        size = header(forward, stream, message, 512);
        memcpy(message + size, line, length), size += length;
        if (is_stream(forward)) message[size++] = '\n';
    }
    /* A service that was started anew has another socket at the same place. */
    for (int attempt = 0; attempt < 2; attempt++) {
        if (forward->socket < 0 && forward_open(forward) < 0) return;
        if (send_all(forward->socket, message, size) || errno == EAGAIN || errno == EMSGSIZE) return;
        close(forward->socket);
        forward->socket = -1;
    }
}
