/* The files of a log that were rotated away: path.1 is the youngest; compressed, they are called path.1.gz and so on. */
#ifndef TSD_ROTATION_H
#define TSD_ROTATION_H
#include <stdint.h>
#include <sys/types.h>

struct rotation {
    const char *path;
    uint64_t maximum_files; /* counts the present one */
    const char *compressor; /* a program that takes "gzip" and compresses its input to its output, or NULL */
    /* One file at a time is compressed: its process, the file, and what becomes of it, which has no name yet. */
    pid_t process;
    int pidfd, source, target;
};

/* Begins with what an earlier monitor left uncompressed. */
void rotation_open(struct rotation *rotation, const char *path, uint64_t maximum_files, const char *compressor);
/* path.1 → path.2 and so on, path → path.1; the oldest goes where there are too many. A new file is the caller's to make. 0, or -1 and errno. */
int rotation_rotate(struct rotation *rotation);
/* Readable when a file has been compressed; -1 while none is. */
int rotation_descriptor(const struct rotation *rotation);
/* Puts that file in its place, and begins with the next. */
void rotation_settle(struct rotation *rotation);
/* Waits until all files are compressed. */
void rotation_finish(struct rotation *rotation);
#endif
