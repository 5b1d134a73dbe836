/* Mounts below a container's root, by descriptor only (openat2 with RESOLVE_IN_ROOT, the new mount calls). */
#include "mounts.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "kernel.h"

#define INSIDE (RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
#define SYMLINK_DEPTH 16

static int open_inside(int root, const char *path, uint64_t flags) { return kernel_openat2(root, path, flags | O_PATH, INSIDE); }

/* Splits "a/b/c" into "a/b" and "c"; trailing slashes are dropped. Returns the last component, or NULL for the root. */
static const char *split(char *path) {
    size_t length = strlen(path);
    while (length && path[length - 1] == '/') path[--length] = 0;
    char *slash = strrchr(path, '/');
    if (!slash) return *path ? path : NULL;
    *slash = 0;
    return slash + 1;
}

static int make_directory(int root, const char *path, mode_t mode, int depth);

/* Opens the directory that `path`'s last component is in, making it if need be. */
static int open_parent(int root, const char *path, char *buffer, const char **name, int depth) {
    if (strlen(path) >= PATH_MAX) return errno = ENAMETOOLONG, -1;
    strcpy(buffer, path);
    *name = split(buffer);
    if (!*name) return errno = EEXIST, -1;
    return make_directory(root, *name == buffer ? "/" : *buffer ? buffer : "/", 0755, depth + 1);
}

static int make_directory(int root, const char *path, mode_t mode, int depth) {
    if (depth > 64 + SYMLINK_DEPTH) return errno = ELOOP, -1;
    int found = open_inside(root, path, O_DIRECTORY);
    if (found >= 0 || errno != ENOENT) return found;
    char buffer[PATH_MAX];
    const char *name;
    int parent = open_parent(root, path, buffer, &name, depth);
    if (parent < 0) return -1;
    int made = mkdirat(parent, name, mode);
    if (made < 0 && errno == EEXIST) {
        /* A symbolic link to what is not there yet: make what it points to, inside the root. */
        char target[PATH_MAX], full[PATH_MAX * 2];
        ssize_t length = readlinkat(parent, name, target, sizeof target - 1);
        close(parent);
        if (length < 0) return -1;
        target[length] = 0;
        const char *base = name == buffer ? "" : buffer;
        snprintf(full, sizeof full, "%s/%s", *target == '/' ? "" : base, target);
        return make_directory(root, full, mode, depth + SYMLINK_DEPTH / 4);
    }
    close(parent);
    if (made < 0) return -1;
    return open_inside(root, path, O_DIRECTORY);
}

int open_directory_inside(int root, const char *path, mode_t mode) { return make_directory(root, path, mode, 0); }

int open_parent_inside(int root, const char *path, char *buffer, const char **name) { return open_parent(root, path, buffer, name, 0); }

/* Opens (O_PATH) the file `path` below `root`, making an empty one if nothing is there. */
static int open_file_inside(int root, const char *path) {
    int found = open_inside(root, path, 0);
    if (found >= 0 || errno != ENOENT) return found;
    char buffer[PATH_MAX];
    const char *name;
    int parent = open_parent(root, path, buffer, &name, 0);
    if (parent < 0) return -1;
    int made = openat(parent, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0644);
    close(parent);
    if (made < 0) return -1;
    close(made);
    return open_inside(root, path, 0);
}

int mount_propagation(struct context *context, const struct step *step) {
    if (mount(NULL, step->fields[0].string, NULL, step->fields[1].number, NULL) < 0)
        return fail(context, "mount", step->fields[0].string);
    return 0;
}

/* Sets "key=value" or the flag "key" on a file system being configured. */
static int configure(int fs, const char *option) {
    char key[PATH_MAX];
    const char *equals = strchr(option, '=');
    if (!equals) return kernel_fsconfig(fs, FSCONFIG_SET_FLAG, option, NULL, 0);
    size_t length = (size_t)(equals - option);
    if (length >= sizeof key) return errno = ENAMETOOLONG, -1;
    memcpy(key, option, length);
    key[length] = 0;
    return kernel_fsconfig(fs, FSCONFIG_SET_STRING, key, equals + 1, 0);
}

int configure_all(struct context *context, int fs, const struct field *options) {
    for (size_t i = 0; i < options->length; i++)
        if (configure(fs, options->list[i]) < 0) return fail(context, "fsconfig", options->list[i]);
    return 0;
}

int create_mount(struct context *context, int fs, uint64_t attributes, const char *name) {
    if (kernel_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0) return fail(context, "fsconfig", name);
    int tree = kernel_fsmount(fs, attributes);
    return tree < 0 ? fail(context, "fsmount", name) : tree;
}

/* The root that the monitor made, where it can be pivoted to. */
int mount_root_attach(struct context *context, const struct step *step) {
    const char *staging = step->fields[0].string;
    int place = open(staging, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (place < 0) return fail(context, "open", staging);
    int result = kernel_move_mount(context->root, place) < 0 ? fail(context, "move_mount", staging) : 0;
    close(place);
    return result;
}

/* Attaches `tree` at `path` below the root, making the mount point (a directory or a file) where it is missing. */
static int attach(struct context *context, int tree, const char *path, bool directory, bool strict) {
    int place = directory ? open_directory_inside(context->root, path, 0755) : open_file_inside(context->root, path);
    if (place < 0) return fail(context, "openat2", path);
    struct stat status;
    if (fstat(place, &status) == 0 && S_ISDIR(status.st_mode) != directory) {
        close(place);
        return errno = ENOTDIR, fail(context, "move_mount", path);
    }
    if (strict) {
        /* /proc and /sys must be where they seem to be: an image's link there would let a later step be misled. */
        int plain = kernel_openat2(context->root, path, O_PATH, INSIDE | RESOLVE_NO_SYMLINKS);
        if (plain < 0) {
            close(place);
            return fail(context, "openat2", path);
        }
        close(plain);
    }
    int result = kernel_move_mount(tree, place);
    close(place);
    return result < 0 ? fail(context, "move_mount", path) : 0;
}

int mount_filesystem(struct context *context, const struct step *step) {
    const char *type = step->fields[0].string, *target = step->fields[1].string, *source = step->fields[4].string;
    int fs = kernel_fsopen(type);
    if (fs < 0) return fail(context, "fsopen", type);
    int tree = -1, result = -1;
    if (*source && kernel_fsconfig(fs, FSCONFIG_SET_STRING, "source", source, 0) < 0) {
        fail(context, "fsconfig", source);
        goto out;
    }
    if (configure_all(context, fs, &step->fields[2]) < 0) goto out;
    tree = create_mount(context, fs, step->fields[3].number, type);
    if (tree >= 0 && strcmp(type, "proc") == 0 && context->parameters < 0)
        context->parameters = kernel_openat2(tree, "sys", O_PATH | O_DIRECTORY, RESOLVE_BENEATH | RESOLVE_NO_XDEV);
    if (tree >= 0) result = attach(context, tree, target, true, step->fields[5].number != 0);
out:
    if (tree >= 0) close(tree);
    close(fs);
    return result;
}

int mount_bind(struct context *context, const struct step *step) {
    uint64_t slot = step->fields[0].number;
    const char *target = step->fields[1].string;
    if (slot >= BIND_SLOTS || context->slots[slot] < 0) return errno = EBADF, fail(context, "slot", target);
    int tree = context->slots[slot];
    struct mount_attr attributes = {.attr_set = step->fields[2].number, .propagation = step->fields[4].number};
    unsigned recursive = step->fields[3].number ? AT_RECURSIVE : 0;
    struct stat status;
    if (fstat(tree, &status) < 0) return fail(context, "fstat", target);
    /* Propagation is always for the whole tree; read-only is so only where it was asked for. */
    struct mount_attr propagation = {.propagation = attributes.propagation};
    attributes.propagation = 0;
    if (propagation.propagation && kernel_mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &propagation) < 0)
        return fail(context, "mount_setattr", target);
    if (attributes.attr_set && kernel_mount_setattr(tree, "", AT_EMPTY_PATH | recursive, &attributes) < 0)
        return fail(context, "mount_setattr", target);
    int result = attach(context, tree, target, S_ISDIR(status.st_mode), false);
    close(tree);
    context->slots[slot] = -1;
    return result;
}

int mount_symlink(struct context *context, const struct step *step) {
    const char *path = step->fields[1].string;
    char buffer[PATH_MAX];
    const char *name;
    int parent = open_parent(context->root, path, buffer, &name, 0);
    if (parent < 0) return fail(context, "openat2", path);
    int result = symlinkat(step->fields[0].string, parent, name);
    close(parent);
    return result < 0 && errno != EEXIST ? fail(context, "symlinkat", path) : 0;
}

/* The host's own /dev/null, checked to be it: the container's could have been exchanged for something else. */
static int open_null(struct context *context) {
    struct stat status;
    int tree = kernel_open_tree(AT_FDCWD, "/dev/null", OPEN_TREE_CLONE);
    if (tree < 0) return fail(context, "open_tree", "/dev/null");
    if (fstat(tree, &status) == 0 && S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3)) return tree;
    close(tree);
    return errno = ENODEV, fail(context, "fstat", "/dev/null");
}

static int open_empty_directory(struct context *context) {
    int fs = kernel_fsopen("tmpfs");
    if (fs < 0) return fail(context, "fsopen", "tmpfs");
    int tree = configure(fs, "size=0k") < 0 ? fail(context, "fsconfig", "size")
                                            : create_mount(context, fs, MOUNT_ATTR_RDONLY, "tmpfs");
    close(fs);
    return tree;
}

int mount_mask(struct context *context, const struct step *step) {
    const char *path = step->fields[0].string;
    int place = open_inside(context->root, path, 0);
    if (place < 0) return errno == ENOENT || errno == ENOTDIR ? 0 : fail(context, "openat2", path);
    struct stat status;
    if (fstat(place, &status) < 0) {
        close(place);
        return fail(context, "fstat", path);
    }
    int tree = S_ISDIR(status.st_mode) ? open_empty_directory(context) : open_null(context);
    int result = tree < 0 ? -1 : kernel_move_mount(tree, place) < 0 ? fail(context, "move_mount", path) : 0;
    if (tree >= 0) close(tree);
    close(place);
    return result;
}

int mount_readonly(struct context *context, const struct step *step) {
    const char *path = step->fields[0].string;
    int place = open_inside(context->root, path, 0);
    if (place < 0) return errno == ENOENT || errno == ENOTDIR ? 0 : fail(context, "openat2", path);
    struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY};
    int tree = kernel_open_tree(place, "", OPEN_TREE_CLONE | AT_EMPTY_PATH | AT_RECURSIVE), result = -1;
    if (tree < 0) fail(context, "open_tree", path);
    else if (kernel_mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes) < 0) fail(context, "mount_setattr", path);
    else if (kernel_move_mount(tree, place) < 0) fail(context, "move_mount", path);
    else result = 0;
    if (tree >= 0) close(tree);
    close(place);
    return result;
}

int mount_pivot(struct context *context, const struct step *step) {
    /* Who shares the host's processes has the host's /proc, bound. */
    if (context->parameters < 0) context->parameters = open("/proc/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
    /* pivot_root(".", "."): the old root is stacked on the new one, and the detach uncovers it (pivot_root(2)). */
    if (fchdir(context->root) < 0) return fail(context, "fchdir", "/");
    if (kernel_pivot_root(".", ".") < 0) return fail(context, "pivot_root", "/");
    if (umount2(".", MNT_DETACH) < 0) return fail(context, "umount2", "/");
    if (chdir("/") < 0) return fail(context, "chdir", "/");
    struct mount_attr attributes = {.attr_set = step->fields[0].number};
    if (attributes.attr_set && kernel_mount_setattr(AT_FDCWD, "/", 0, &attributes) < 0)
        return fail(context, "mount_setattr", "/");
    return 0;
}
