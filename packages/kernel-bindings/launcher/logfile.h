/* The container's log: json-file lines, as Docker's clients and log shippers read them, with rotation. */
#ifndef TSD_LOGFILE_H
#define TSD_LOGFILE_H
#include <stddef.h>
#include <stdint.h>

#include "rotation.h"

/* A line longer than this is written in parts, each but the last without its newline. */
#define LOG_LINE_MAX 16384

struct log_stream {
    const char *name; /* "stdout" or "stderr" */
    size_t held;      /* bytes of an unfinished line */
    char line[LOG_LINE_MAX];
};

struct forward;

struct log_settings {
    const char *path;
    uint64_t maximum_size; /* 0: never rotated */
    uint64_t maximum_files;
    const char *compressor; /* of rotation.h */
};

struct logfile {
    struct forward *forward; /* where lines go besides the file, or NULL */
    int file;
    uint64_t size, maximum_size;
    struct rotation rotation;
    struct log_stream streams[2];
};

/* Opens for appending; 0, or -1 and errno. */
int logfile_open(struct logfile *log, const struct log_settings *settings);
/* Takes output of stream 0 (stdout) or 1 (stderr); whole lines are written at once. 0, or -1 and errno. */
int logfile_write(struct logfile *log, int stream, const char *bytes, size_t length);
/* Writes unfinished lines as they are, at the end of the output. */
int logfile_finish(struct logfile *log);
/* Escapes one line as a JSON string's inside into `out` (room for 6 bytes per input byte); returns the bytes written. */
size_t logfile_escape(const char *bytes, size_t length, char *out);
#endif
