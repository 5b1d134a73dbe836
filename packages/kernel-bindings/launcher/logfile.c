/* Writes the container's log as json-file lines: {"log":"text\n","stream":"stdout","time":"RFC 3339, nanoseconds"}. */
#include "logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "forward.h"

/* Room for the escaped line and for what stands around it. */
#define RECORD_MAX (LOG_LINE_MAX * 6 + 128)
#define BATCH_MAX (RECORD_MAX + 65536)

static char batch[BATCH_MAX];
static size_t batched;

int logfile_open(struct logfile *log, const struct log_settings *settings) {
    const char *path = settings->path;
    log->maximum_size = settings->maximum_size;
    log->streams[0].name = "stdout";
    log->streams[1].name = "stderr";
    log->file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
    struct stat status;
    if (log->file < 0 || fstat(log->file, &status) < 0) return -1;
    log->size = (uint64_t)status.st_size;
    rotation_open(&log->rotation, path, settings->maximum_files, settings->compressor);
    return 0;
}

/* The length of the valid UTF-8 sequence at `bytes`, or 0 (RFC 3629: no overlong forms, no surrogates). */
static size_t sequence(const unsigned char *bytes, size_t left) {
    unsigned char first = bytes[0];
    size_t length = first < 0x80 ? 1 : first >= 0xc2 && first <= 0xdf ? 2 : (first & 0xf0) == 0xe0 ? 3 : first >= 0xf0 && first <= 0xf4 ? 4 : 0;
    if (!length || length > left) return 0;
    for (size_t i = 1; i < length; i++)
        if ((bytes[i] & 0xc0) != 0x80) return 0;
    if ((first == 0xe0 && bytes[1] < 0xa0) || (first == 0xed && bytes[1] > 0x9f)) return 0;
    if ((first == 0xf0 && bytes[1] < 0x90) || (first == 0xf4 && bytes[1] > 0x8f)) return 0;
    return length;
}

/* What stands in a JSON string as it is. */
static bool plain(unsigned char byte) {
    return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\' && byte != '<' && byte != '>' && byte != '&';
}

size_t logfile_escape(const char *bytes, size_t length, char *out) {
    static const char digits[] = "0123456789abcdef";
    char *at = out;
    for (size_t i = 0; i < length;) {
        size_t run = i;
        while (run < length && plain((unsigned char)bytes[run])) run++;
        if (run > i) {
            memcpy(at, bytes + i, run - i);
            at += run - i;
            i = run;
            continue;
        }
        unsigned char byte = (unsigned char)bytes[i];
        if (byte >= 0x80) {
            size_t size = sequence((const unsigned char *)bytes + i, length - i);
            if (size) memcpy(at, bytes + i, size), at += size;
            else memcpy(at, "\\ufffd", 6), at += 6, size = 1;
            i += size;
            continue;
        }
        i++;
        if (byte == '"' || byte == '\\') *at++ = '\\', *at++ = (char)byte;
        else if (byte == '\n') *at++ = '\\', *at++ = 'n';
        else if (byte == '\r') *at++ = '\\', *at++ = 'r';
        else if (byte == '\t') *at++ = '\\', *at++ = 't';
        else {
            memcpy(at, "\\u00", 4);
            at[4] = digits[byte >> 4];
            at[5] = digits[byte & 15];
            at += 6;
        }
    }
    return (size_t)(at - out);
}

/* Writes all of it, or (a full disk) whole records only; the bytes that are in the file now, `error` telling why not all. */
static size_t write_records(int file, const char *bytes, size_t length, int *error) {
    size_t written = 0;
    *error = 0;
    while (written < length) {
        ssize_t size = write(file, bytes + written, length - written);
        if (size < 0 && errno == EINTR) continue;
        if (size < 0) { *error = errno; break; }
        written += (size_t)size;
    }
    size_t whole = written;
    while (whole < length && whole && bytes[whole - 1] != '\n') whole--;
    struct stat status;
    if (whole != written && fstat(file, &status) == 0) (void)!ftruncate(file, status.st_size - (off_t)(written - whole));
    return whole;
}

/* A new file; what was the present one is path.1. */
static int rotate(struct logfile *log) {
    if (rotation_rotate(&log->rotation) < 0) return -1;
    int file = open(log->rotation.path, O_WRONLY | O_APPEND | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (file < 0) return -1;
    close(log->file);
    log->file = file;
    log->size = 0;
    return 0;
}

static int flush(struct logfile *log) {
    if (!batched) return 0;
    int error;
    log->size += write_records(log->file, batch, batched, &error);
    batched = 0;
    return error ? (errno = error, -1) : 0;
}

static size_t timestamp(char *out, size_t room) {
    struct timespec now;
    struct tm date;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &date);
    return (size_t)snprintf(out, room, "%04d-%02d-%02dT%02d:%02d:%02d.%09ldZ", date.tm_year + 1900, date.tm_mon + 1,
                            date.tm_mday, date.tm_hour, date.tm_min, date.tm_sec, now.tv_nsec);
}

static int record(struct logfile *log, const struct log_stream *stream, const char *line, size_t length) {
    if (batched + RECORD_MAX > BATCH_MAX && flush(log) < 0) return -1;
    if (log->maximum_size && log->size + batched >= log->maximum_size && (flush(log) < 0 || rotate(log) < 0)) return -1;
    if (log->forward) forward_line(log->forward, stream == &log->streams[1], line, length);
    char time[40];
    size_t size = timestamp(time, sizeof time);
    char *at = batch + batched;
    memcpy(at, "{\"log\":\"", 8), at += 8;
    at += logfile_escape(line, length, at);
    at += sprintf(at, "\",\"stream\":\"%s\",\"time\":\"%.*s\"}\n", stream->name, (int)size, time);
    batched = (size_t)(at - batch);
    return 0;
}

int logfile_write(struct logfile *log, int index, const char *bytes, size_t length) {
    struct log_stream *stream = &log->streams[index];
    while (length) {
        size_t room = LOG_LINE_MAX - stream->held, size = length < room ? length : room;
        const char *newline = memchr(bytes, '\n', size);
        if (newline) size = (size_t)(newline - bytes) + 1;
        bool whole = newline || stream->held + size == LOG_LINE_MAX;
        if (whole && !stream->held) {
            if (record(log, stream, bytes, size) < 0) return -1;
        } else {
            memcpy(stream->line + stream->held, bytes, size);
            stream->held += size;
            if (whole) {
                if (record(log, stream, stream->line, stream->held) < 0) return -1;
                stream->held = 0;
            }
        }
        bytes += size;
        length -= size;
    }
    return flush(log);
}

int logfile_finish(struct logfile *log) {
    for (int i = 0; i < 2; i++) {
        struct log_stream *stream = &log->streams[i];
        if (stream->held && record(log, stream, stream->line, stream->held) < 0) return -1;
        stream->held = 0;
    }
    return flush(log);
}
