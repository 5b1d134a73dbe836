/* Labels of security modules: of the process to come, of mounts, and of trees that are bound into a container. */
#include "labels.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "kernel.h"
#include "trees.h"

#define SELINUX_ATTRIBUTE "security.selinux"
/* Each level holds a descriptor; what is deeper is refused by name. */
#define TREE_DEPTH 512

/* The host's /proc is still what /proc is when this runs: no container's mount can lead the write elsewhere. */
int child_label(struct context *context, const struct step *step) {
    const struct field *attributes = &step->fields[0], *value = &step->fields[1];
    char path[PATH_MAX] = "/proc/thread-self/attr";
    int file = -1;
    errno = ENOENT;
    for (size_t i = 0; file < 0 && errno == ENOENT && i < attributes->length; i++) {
        snprintf(path, sizeof path, "/proc/thread-self/attr/%s", attributes->list[i]);
        file = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    }
    if (file < 0) return fail(context, "open", path);
    ssize_t written = write(file, value->string, value->length);
    int result = written < 0 ? fail(context, "write", value->string) : 0;
    close(file);
    return result;
}

/* Gives what an O_PATH descriptor is of a label, unless it has it. A symbolic link gets its own. */
static int label_descriptor(int descriptor, const char *label) {
    char place[32], present[256];
    snprintf(place, sizeof place, "/proc/self/fd/%d", descriptor);
    size_t length = strlen(label) + 1; /* the kernel keeps the NUL */
    ssize_t size = getxattr(place, SELINUX_ATTRIBUTE, present, sizeof present);
    if (size > 0 && (size_t)size <= sizeof present && strnlen(present, (size_t)size) + 1 == length && memcmp(present, label, length - 1) == 0)
        return 0;
    return setxattr(place, SELINUX_ATTRIBUTE, label, length, 0);
}

int mount_label(struct context *context, const struct step *step) {
    const char *path = step->fields[0].string;
    int place = kernel_openat2(context->root, path, O_PATH, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
    if (place < 0) return errno == ENOENT ? 0 : fail(context, "openat2", path);
    int result = label_descriptor(place, step->fields[1].string);
    close(place);
    return result < 0 && errno != EOPNOTSUPP ? fail(context, "setxattr", path) : 0;
}

/* Labels what is below a directory, whose (readable) descriptor it closes. What vanishes meanwhile, and what file systems
 * without labels hold, is passed over. */
static int label_below(struct context *context, int directory, const char *label, int depth) {
    DIR *stream = fdopendir(directory);
    if (!stream) {
        close(directory);
        return fail(context, "fdopendir", "");
    }
    int result = 0;
    for (const struct dirent *entry; result == 0 && (errno = 0, entry = readdir(stream));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        int place = openat(directory, entry->d_name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (place < 0) {
            if (errno != ENOENT) result = fail(context, "openat", entry->d_name);
            continue;
        }
        struct stat status;
        if (label_descriptor(place, label) < 0 && errno != EOPNOTSUPP) {
            result = fail(context, "setxattr", entry->d_name);
        } else if (fstat(place, &status) == 0 && S_ISDIR(status.st_mode)) {
            int inside = openat(place, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            if (inside < 0) result = fail(context, "openat", entry->d_name);
            else if (depth >= TREE_DEPTH) close(inside), errno = ELOOP, result = fail(context, "openat", entry->d_name);
            else result = label_below(context, inside, label, depth + 1);
        }
        close(place);
    }
    if (result == 0 && errno) result = fail(context, "readdir", "");
    closedir(stream);
    return result;
}

/* Whether a place is one of the host's own directories, under whatever name. */
static bool is_forbidden(const struct stat *place, const struct field *forbidden) {
    struct stat other;
    for (size_t i = 0; i < forbidden->length; i++)
        if (stat(forbidden->list[i], &other) == 0 && other.st_dev == place->st_dev && other.st_ino == place->st_ino) return true;
    return false;
}

int host_relabel(struct context *context, const struct step *step) {
    const char *source = step->fields[0].string, *label = step->fields[3].string;
    int place = tree_open_source(context, source, step->fields[1].number != 0, step->fields[2].string), result = -1;
    if (place < 0) return -1;
    struct stat status;
    if (fstat(place, &status) < 0) fail(context, "fstat", source);
    else if (is_forbidden(&status, &step->fields[4])) errno = EPERM, fail(context, "relabel", source);
    else if (label_descriptor(place, label) < 0) result = errno == EOPNOTSUPP ? 0 : fail(context, "setxattr", source);
    else if (!S_ISDIR(status.st_mode)) result = 0;
    else {
        int inside = openat(place, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        result = inside < 0 ? fail(context, "openat", source) : label_below(context, inside, label, 0);
    }
    close(place);
    return result;
}
