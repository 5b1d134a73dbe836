/* tsd-archive: packs and unpacks trees for the daemon, locked into the root that is its descriptor 3 before it looks at
 * anything in it. Descriptor 4 is the directory of that root where the work is.
 *
 *   tsd-archive [CONTAINER] pack BASE NAME           a tar of BASE there, called NAME, to standard output
 *   tsd-archive pack-contents                        a tar of all that is there
 *   tsd-archive pack-layer                           a tar of an overlay's upper directory, as an image's layer
 *   tsd-archive list-layer                           what is in an overlay's upper directory (tree.h)
 *   tsd-archive [CONTAINER] [--owner UID:GID] [--mode OCTAL] [--same-kind] [--top] unpack PATH   (PATH is what
 *                                                    messages say)
 *   tsd-archive [--maximum BYTES] unpack-layer       a layer's tar from standard input; says what is opaque
 *   tsd-archive serve                                many of these, for each of which it forks (serve.c)
 *   tsd-archive gzip                                 its input, compressed, without a root: see gzip.h
 *   tsd-archive copy                                 a copy of what is there (outside the root, here) into the root
 *
 * CONTAINER is what a running container has: --devices FILE, the tasks file of a devices control group to join (what the
 * container may not open, this may not either), and --user-namespace FILE, in which ids are read and given. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "confine.h"
#include "gzip.h"
#include "serve.h"
#include "tree.h"

#define ROOT 3
#define PLACE 4

void give_up(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    exit(1);
}

/* A group that is gone went with its container, as all did who could put a device where a file was. */
static void join_devices(const char *path) {
    int file = open(path, O_WRONLY | O_CLOEXEC);
    if (file < 0 && errno == ENOENT) return;
    if (file < 0 || (write(file, "0", 1) != 1 && errno != ENODEV)) give_up("%s: %s", path, strerror(errno));
    close(file);
}

/* Becomes root of a container's user namespace: outside it is nobody. */
static void join_user_namespace(const char *path) {
    int namespace = open(path, O_RDONLY | O_CLOEXEC);
    if (namespace < 0 || setns(namespace, CLONE_NEWUSER) < 0) give_up("%s: %s", path, strerror(errno));
    close(namespace);
    if (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0) give_up("setresuid: %s", strerror(errno));
}

static const char *next(int count, char **arguments, int *index) {
    if (++*index >= count) give_up("missing argument after %s", arguments[*index - 1]);
    return arguments[*index];
}

static int run(int count, char **arguments) {
    struct unpack_options unpacking = {.place = PLACE, .path = "/"};
    struct pack_options packing = {.place = PLACE};
    const char *devices = NULL, *user_namespace = NULL, *mode = NULL, *call = "";
    for (int i = 1; i < count && !mode; i++) {
        if (strcmp(arguments[i], "--devices") == 0) devices = next(count, arguments, &i);
        else if (strcmp(arguments[i], "--user-namespace") == 0) user_namespace = next(count, arguments, &i);
        else if (strcmp(arguments[i], "--same-kind") == 0) unpacking.same_kind = true;
        else if (strcmp(arguments[i], "--top") == 0) unpacking.top = true;
        else if (strcmp(arguments[i], "--mode") == 0) {
            unpacking.mode = (mode_t)strtoul(next(count, arguments, &i), NULL, 8) & 07777;
            unpacking.moded = true;
        }
        else if (strcmp(arguments[i], "--maximum") == 0) unpacking.maximum_bytes = strtoull(next(count, arguments, &i), NULL, 10);
        else if (strcmp(arguments[i], "--owner") == 0) {
            char *end;
            unpacking.user = (uid_t)strtoul(next(count, arguments, &i), &end, 10);
            unpacking.group = (gid_t)strtoul(*end ? end + 1 : end, NULL, 10);
            unpacking.owned = true;
        } else {
            mode = arguments[i];
            if (strcmp(mode, "pack") == 0) packing.base = next(count, arguments, &i), packing.name = next(count, arguments, &i);
            if (strcmp(mode, "unpack") == 0) unpacking.path = next(count, arguments, &i);
        }
    }
    if (!mode) give_up("usage: tsd-archive [OPTIONS] pack|pack-layer|unpack|unpack-layer|copy …");
    packing.layer = strcmp(mode, "pack-layer") == 0;
    unpacking.layer = strcmp(mode, "unpack-layer") == 0;
    bool listing = strcmp(mode, "list-layer") == 0;
    signal(SIGPIPE, SIG_DFL);
    if (devices) join_devices(devices);
    if (user_namespace) join_user_namespace(user_namespace);
    if (confine(ROOT, packing.layer || listing, &call) < 0) give_up("%s: %s", call, strerror(errno));
    if (listing) list(PLACE);
    else if (strcmp(mode, "copy") == 0) copy(PLACE);
    else if (strncmp(mode, "pack", 4) == 0) pack(&packing);
    else unpack(&unpacking);
    return fflush(stdout) == 0 ? 0 : 1;
}

int main(int count, char **arguments) {
    if (count == 2 && strcmp(arguments[1], "gzip") == 0) return gzip();
    if (count == 2 && strcmp(arguments[1], "serve") == 0) arguments = serve(&count);
    return run(count, arguments);
}
