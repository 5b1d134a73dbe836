/* Packing a tree and unpacking one, below the present root. */
#ifndef TSD_TREE_H
#define TSD_TREE_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/* Prints what went wrong and ends the process with status 1. */
_Noreturn void give_up(const char *format, ...) __attribute__((format(printf, 1, 2)));

struct pack_options {
    int place;        /* a directory, and in it ... */
    const char *base; /* ... what to pack: a name, "." for itself, NULL for all that is in it */
    const char *name; /* what it is called in the archive */
    bool layer;       /* an overlay's upper directory: its whiteouts become those of the OCI image specification */
};

/* Writes the tar to standard output. Sockets are left out: no archive can hold them. */
void pack(const struct pack_options *options);

/* Prints what is in an overlay's upper directory, each as "KIND MODE SIZE TIME CHANGED INODE PATH" and a NUL: kinds
 * are w (a whiteout), o (an opaque directory), d (a directory), f (the rest); the mode is octal, the times (of contents,
 * and of the inode) in seconds. */
void list(int place);

struct unpack_options {
    int place;              /* the directory to unpack into */
    const char *path;       /* what messages call it */
    bool owned;             /* everything belongs to `user` and `group` instead of the archive's owners */
    uid_t user;
    gid_t group;
    bool moded;             /* everything but links has `mode` instead of the archive's permissions */
    mode_t mode;
    bool same_kind;         /* a directory is never replaced by something else, nor the other way round */
    bool top;               /* the archive's "." is the directory itself, with its owner, mode and attributes */
    bool layer;             /* an image's layer: whiteouts become the overlay's, and what is opaque is printed */
    uint64_t maximum_bytes; /* the most contents that are written; 0 for no limit */
};

/* Reads a tar, compressed or not, from standard input. For a layer prints {"size":…,"opaque":[…]} at the end. */
void unpack(const struct unpack_options *options);

/* Copies what is in the directory `place`, which may be outside the present root, into the present directory, which becomes
 * like it. Sockets are left out. */
void copy(int place);
#endif
