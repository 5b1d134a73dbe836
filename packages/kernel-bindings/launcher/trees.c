/* Detached trees that become a container's root and mounts: opened on the host by who may, before they are handed to the
 * container's process. */
#include "trees.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>

#include "identity.h"
#include "kernel.h"
#include "mounts.h"

/* "/proc/self/fd/N/name" */
#define DESCRIPTOR_PATH 64

static int *free_slot(struct context *context, uint64_t slot, const char *what) {
    if (slot < BIND_SLOTS && context->slots[slot] < 0) return &context->slots[slot];
    errno = EINVAL;
    fail(context, "slot", what);
    return NULL;
}

static int map_ids(const struct context *context, int directory, const char *path, unsigned flags) {
    struct mount_attr attributes = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)context->user_namespace};
    return kernel_mount_setattr(directory, path, flags, &attributes);
}

/* Whether a file system can't map ids, rather than that something is wrong. */
static bool unmappable(int error) { return error == EINVAL || error == EOPNOTSUPP; }

/* The next line of mountinfo (proc_pid_mountinfo(5)) as the path of its mount, decoded in place. */
static char *mount_path(char *line) {
    char *at = line;
    for (int i = 0; i < 4 && at; i++) at = strchr(at, ' ') ? strchr(at, ' ') + 1 : NULL;
    if (!at) return NULL;
    char *end = at, *out = at;
    for (; *end && *end != ' '; out++) {
        unsigned value;
        if (*end == '\\' && sscanf(end + 1, "%3o", &value) == 1) *out = (char)value, end += 4;
        else *out = *end++;
    }
    *out = 0;
    return at;
}

/* Maps the ids of the mounts below a tree one by one, as far as their file systems can; the host's path of the tree tells
 * which there are. */
static void map_below(const struct context *context, int tree, const char *source) {
    FILE *table = fopen("/proc/self/mountinfo", "re");
    char *line = NULL, real[PATH_MAX];
    size_t room = 0;
    if (!table || !realpath(source, real)) strcpy(real, "");
    size_t length = strcmp(real, "/") == 0 ? 0 : strlen(real);
    while (table && *real && getline(&line, &room, table) > 0) {
        char *path = mount_path(line);
        if (path && strncmp(path, real, length) == 0 && path[length] == '/' && path[length + 1])
            (void)!map_ids(context, tree, path + length + 1, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT);
    }
    free(line);
    if (table) fclose(table);
}

/* Shows a bind's files with their own ids in the container. What can't map ids is shown as it is: its files are nobody's
 * there, and open to the container as they are to anybody. */
static int map_bind(struct context *context, int tree, const char *source, bool recursive) {
    if (map_ids(context, tree, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0)) == 0) return 0;
    if (!unmappable(errno)) return fail(context, "mount_setattr", source);
    if (!recursive) return 0;
    if (map_ids(context, tree, "", AT_EMPTY_PATH) < 0 && !unmappable(errno)) return fail(context, "mount_setattr", source);
    map_below(context, tree, source);
    return 0;
}

int tree_open_source(struct context *context, const char *source, bool confined, const char *subpath) {
    int place = kernel_openat2(AT_FDCWD, source, O_PATH, confined ? RESOLVE_NO_SYMLINKS : 0);
    if (place < 0) return fail(context, "openat2", source);
    if (!*subpath) return place;
    int inside = kernel_openat2(place, subpath, O_PATH, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
    if (inside < 0) fail(context, "openat2", subpath);
    close(place);
    return inside;
}

static int clone_source(struct context *context, const struct step *step) {
    const char *source = step->fields[1].string;
    unsigned flags = OPEN_TREE_CLONE | (step->fields[2].number ? AT_RECURSIVE : 0);
    int tree;
    if (!step->fields[3].number && !*step->fields[4].string) {
        tree = kernel_open_tree(AT_FDCWD, source, flags);
    } else {
        int place = tree_open_source(context, source, step->fields[3].number != 0, step->fields[4].string);
        if (place < 0) return -1;
        tree = kernel_open_tree(place, "", flags | AT_EMPTY_PATH);
        int error = errno;
        close(place);
        errno = error;
    }
    return tree < 0 ? fail(context, "open_tree", source) : tree;
}

int tree_bind_open(struct context *context, const struct step *step) {
    const char *source = step->fields[1].string;
    int *slot = free_slot(context, step->fields[0].number, source);
    if (!slot) return -1;
    int tree = clone_source(context, step);
    if (tree < 0) return -1;
    *slot = tree;
    return step->fields[5].number ? map_bind(context, tree, source, step->fields[2].number != 0) : 0;
}

/* Goes to another mount namespace; the descriptor leads back. */
static int visit(struct context *context, const char *namespace, int *back) {
    int other = open(namespace, O_RDONLY | O_CLOEXEC);
    *back = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    int result = other < 0 || *back < 0 || setns(other, CLONE_NEWNS) < 0 ? fail(context, "setns", namespace) : 0;
    if (other >= 0) close(other);
    if (result < 0 && *back >= 0) close(*back);
    return result;
}

static void go_back(int back) {
    if (setns(back, CLONE_NEWNS) < 0) _exit(125); /* nothing may be done in the wrong place */
    close(back);
}

/* Mounts can be copied only by who is in their namespace, so this process visits it for the one call. */
int tree_bind_open_in(struct context *context, const struct step *step) {
    const char *source = step->fields[2].string;
    int *slot = free_slot(context, step->fields[0].number, source), back;
    if (!slot || visit(context, step->fields[1].string, &back) < 0) return -1;
    *slot = kernel_open_tree(AT_FDCWD, source, OPEN_TREE_CLONE | AT_SYMLINK_NOFOLLOW);
    int result = *slot < 0 ? fail(context, "open_tree", source) : 0;
    go_back(back);
    return result;
}

/* The directories an overlay is made of: as paths, and where ids are mapped as detached copies that are. */
struct layers {
    const struct field *lower;
    const char *base, *upper, *work; /* upper and work are names in base */
    bool mapped;
    int *trees; /* of lower, and of base at the end; -1 without; the context has them, with those of other overlays */
};

void tree_release_layers(struct context *context) {
    for (size_t i = 0; i < context->layer_count; i++)
        if (context->layers[i] >= 0) close(context->layers[i]);
    free(context->layers);
    context->layers = NULL;
    context->layer_count = 0;
}

static int open_mapped(struct context *context, const char *path) {
    int tree = kernel_open_tree(AT_FDCWD, path, OPEN_TREE_CLONE);
    if (tree < 0) return fail(context, "open_tree", path);
    if (map_ids(context, tree, "", AT_EMPTY_PATH) == 0) return tree;
    fail(context, "mount_setattr", path);
    close(tree);
    return -1;
}

static int open_layers(struct context *context, struct layers *layers) {
    size_t count = layers->lower->length;
    int *all = realloc(context->layers, (context->layer_count + count + 1) * sizeof *all);
    if (!all) return fail(context, "realloc", "layers");
    context->layers = all;
    layers->trees = all + context->layer_count;
    for (size_t i = 0; i <= count; i++) layers->trees[i] = -1;
    context->layer_count += count + 1;
    if (!layers->mapped) return 0;
    for (size_t i = 0; i <= count; i++) {
        const char *path = i < count ? layers->lower->list[i] : layers->base;
        if (!*path) continue;
        layers->trees[i] = open_mapped(context, path);
        if (layers->trees[i] < 0) return -1;
    }
    return 0;
}

/* The path by which the overlay finds tree `index`: as the plan has it, by its descriptor, or below `place`, where it is
 * attached. */
static const char *layer_path(const struct layers *layers, size_t index, const char *place, char *buffer, size_t size) {
    if (layers->trees[index] < 0) return index < layers->lower->length ? layers->lower->list[index] : layers->base;
    if (*place) snprintf(buffer, size, "%s/%zu", place, index);
    else snprintf(buffer, size, "/proc/self/fd/%d", layers->trees[index]);
    return buffer;
}

/* Kernels before 6.5 have no "lowerdir+": there the layers go in one colon-separated string. */
static int configure_lower(int fs, const struct layers *layers, const char *place) {
    size_t i = 0, count = layers->lower->length;
    char path[PATH_MAX], joined[PATH_MAX] = "";
    for (; i < count; i++)
        if (kernel_fsconfig(fs, FSCONFIG_SET_STRING, "lowerdir+", layer_path(layers, i, place, path, sizeof path), 0) < 0) break;
    if (i == count) return 0;
    if (i > 0 || errno != EINVAL) return -1;
    for (i = 0; i < count; i++) {
        size_t used = strlen(joined);
        const char *layer = layer_path(layers, i, place, path, sizeof path);
        if (snprintf(joined + used, sizeof joined - used, "%s%s", i ? ":" : "", layer) >= (int)(sizeof joined - used))
            return errno = ENAMETOOLONG, -1;
    }
    return kernel_fsconfig(fs, FSCONFIG_SET_STRING, "lowerdir", joined, 0);
}

static int configure_upper(int fs, const struct layers *layers, const char *place, const char *key, const char *name) {
    char buffer[PATH_MAX], path[PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", layer_path(layers, layers->lower->length, place, buffer, sizeof buffer), name);
    return kernel_fsconfig(fs, FSCONFIG_SET_STRING, key, path, 0);
}

/* The overlay as a detached mount, or -1. */
static int make_overlay(struct context *context, const struct layers *layers, const struct field *options, const char *place) {
    int fs = kernel_fsopen("overlay"), tree = -1;
    if (fs < 0) return fail(context, "fsopen", "overlay");
    if (kernel_fsconfig(fs, FSCONFIG_SET_STRING, "source", "overlay", 0) < 0) fail(context, "fsconfig", "source");
    else if (configure_lower(fs, layers, place) < 0) fail(context, "fsconfig", "lowerdir");
    else if (*layers->base && (configure_upper(fs, layers, place, "upperdir", layers->upper) < 0 ||
                               configure_upper(fs, layers, place, "workdir", layers->work) < 0))
        fail(context, "fsconfig", layers->base);
    else if (configure_all(context, fs, options) == 0) tree = create_mount(context, fs, 0, "overlay");
    close(fs);
    return tree;
}

/* Kernels before 6.15 take nothing that is mounted nowhere for a layer: there the copies are attached for the moment, in the
 * container's mount namespace, where the host does not see them. */
static int make_overlay_attached(struct context *context, const struct layers *layers, const struct field *options, const char *place) {
    char namespace[64], path[PATH_MAX];
    int back, tree = -1;
    snprintf(namespace, sizeof namespace, "/proc/%d/ns/mnt", (int)context->child);
    if (visit(context, namespace, &back) < 0) return -1;
    bool ready = mount("tmpfs", place, "tmpfs", 0, "mode=700") == 0;
    for (size_t i = 0; ready && i <= layers->lower->length; i++) {
        if (layers->trees[i] < 0) continue;
        snprintf(path, sizeof path, "%s/%zu", place, i);
        int directory = mkdir(path, 0700) < 0 ? -1 : open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        ready = directory >= 0 && kernel_move_mount(layers->trees[i], directory) == 0;
        if (directory >= 0) close(directory);
    }
    if (ready) tree = make_overlay(context, layers, options, place);
    else fail(context, "move_mount", place);
    (void)!umount2(place, MNT_DETACH);
    go_back(back);
    return tree;
}

/* Whether an overlay takes layers that are mounted nowhere; trying it would leave a complaint in the kernel's log each time. */
static bool takes_detached(void) {
    struct utsname system;
    unsigned major = 0, minor = 0;
    if (uname(&system) < 0 || sscanf(system.release, "%u.%u", &major, &minor) != 2) return false;
    return major > 6 || (major == 6 && minor >= 15);
}

/* The overlay as a detached mount, or -1, made by who is root in the container. */
static int overlay_of(struct context *context, struct layers layers, const struct field *options, const char *staging) {
    int tree = -1;
    if (open_layers(context, &layers) == 0 && identity_assume(context) == 0) {
        tree = layers.mapped && !takes_detached() ? make_overlay_attached(context, &layers, options, staging)
                                                  : make_overlay(context, &layers, options, "");
        identity_leave(context);
    }
    return tree;
}

int tree_root_overlay(struct context *context, const struct step *step) {
    const struct field *fields = step->fields;
    struct layers layers = {.lower = &fields[0], .base = fields[1].string, .upper = fields[2].string, .work = fields[3].string, .mapped = fields[5].number != 0};
    context->root = overlay_of(context, layers, &fields[4], fields[6].string);
    return context->root < 0 ? -1 : 0;
}

int tree_image_open(struct context *context, const struct step *step) {
    const struct field *fields = step->fields;
    int *slot = free_slot(context, fields[0].number, "image");
    if (!slot) return -1;
    struct layers layers = {.lower = &fields[1], .base = "", .upper = "", .work = "", .mapped = fields[3].number != 0};
    *slot = overlay_of(context, layers, &fields[2], fields[4].string);
    return *slot < 0 ? -1 : 0;
}

/* The tree is attached for the moment: kernels before 6.15 copy nothing of what is mounted nowhere. */
int tree_image_part(struct context *context, const struct step *step) {
    const char *subpath = step->fields[1].string, *place = step->fields[2].string;
    uint64_t slot = step->fields[0].number;
    if (slot >= BIND_SLOTS || context->slots[slot] < 0) return errno = EBADF, fail(context, "slot", subpath);
    int whole = context->slots[slot], part = -1;
    int directory = open(place, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0 || kernel_move_mount(whole, directory) < 0) {
        fail(context, "move_mount", place);
    } else {
        int inside = kernel_openat2(whole, subpath, O_PATH, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
        if (inside < 0) fail(context, "openat2", subpath);
        else if ((part = kernel_open_tree(inside, "", OPEN_TREE_CLONE | AT_EMPTY_PATH)) < 0) fail(context, "open_tree", subpath);
        if (inside >= 0) close(inside);
        (void)!umount2(place, MNT_DETACH);
    }
    if (directory >= 0) close(directory);
    close(whole);
    context->slots[slot] = part;
    return part < 0 ? -1 : 0;
}

/* A file system in memory that is the host's, so that devices work in it, and whose files are the container's root's. */
int tree_root_open(struct context *context, const struct step *step) {
    const char *path = step->fields[0].string;
    context->root = kernel_open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | AT_RECURSIVE);
    if (context->root < 0) return fail(context, "open_tree", path);
    struct mount_attr attributes = {.propagation = MS_PRIVATE};
    return kernel_mount_setattr(context->root, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes) < 0 ? fail(context, "mount_setattr", path) : 0;
}

int tree_tmpfs_open(struct context *context, const struct step *step) {
    int *slot = free_slot(context, step->fields[0].number, "tmpfs");
    if (!slot || identity_assume(context) < 0) return -1;
    int fs = kernel_fsopen("tmpfs"); /* who opens it owns its root */
    if (fs < 0) fail(context, "fsopen", "tmpfs");
    else if (kernel_fsconfig(fs, FSCONFIG_SET_STRING, "source", "tmpfs", 0) < 0) fail(context, "fsconfig", "source");
    else if (configure_all(context, fs, &step->fields[1]) == 0) *slot = create_mount(context, fs, 0, "tmpfs");
    if (fs >= 0) close(fs);
    identity_leave(context);
    return *slot < 0 ? -1 : 0;
}

int tree_node(struct context *context, const struct step *step) {
    const struct field *fields = step->fields;
    const char *path = fields[1].string, *name;
    char buffer[PATH_MAX];
    uint64_t slot = fields[0].number;
    if (slot >= BIND_SLOTS || context->slots[slot] < 0) return errno = EBADF, fail(context, "slot", path);
    if (identity_assume(context) < 0) return -1;
    int parent = open_parent_inside(context->slots[slot], path, buffer, &name), error = errno;
    identity_leave(context);
    if (parent < 0) return errno = error, fail(context, "openat2", path);
    mode_t mode = (mode_t)fields[2].number;
    int result = mknodat(parent, name, mode, makedev((unsigned)fields[3].number, (unsigned)fields[4].number));
    /* The owner and the permissions are the plan's, whatever the umask. */
    if (result == 0) result = fchownat(parent, name, (uid_t)fields[5].number, (gid_t)fields[6].number, AT_SYMLINK_NOFOLLOW);
    if (result == 0) result = fchmodat(parent, name, mode & 07777, 0);
    if (result < 0) fail(context, "mknodat", path);
    close(parent);
    return result;
}

/* One message of trees on their way to the child: what they are, with the descriptors beside it. */
#define TREES_AT_ONCE 64
#define ROOT_PLACE BIND_SLOTS
struct trees_message {
    uint32_t count, last;
    uint16_t places[TREES_AT_ONCE];
};
union trees_rights {
    char bytes[CMSG_SPACE(sizeof(int) * TREES_AT_ONCE)];
    struct cmsghdr align;
};

static int *tree_at(struct context *context, size_t place) { return place == ROOT_PLACE ? &context->root : &context->slots[place]; }

static int send_trees(struct context *context, const struct trees_message *message) {
    union trees_rights rights = {0};
    struct iovec part = {(void *)message, sizeof *message};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    if (message->count) {
        header.msg_control = rights.bytes;
        header.msg_controllen = (socklen_t)CMSG_SPACE(sizeof(int) * message->count);
        struct cmsghdr *control = CMSG_FIRSTHDR(&header);
        control->cmsg_level = SOL_SOCKET;
        control->cmsg_type = SCM_RIGHTS;
        control->cmsg_len = (socklen_t)CMSG_LEN(sizeof(int) * message->count);
        for (size_t i = 0; i < message->count; i++)
            memcpy(CMSG_DATA(control) + i * sizeof(int), tree_at(context, message->places[i]), sizeof(int));
    }
    return sendmsg(context->sync, &header, MSG_NOSIGNAL) < 0 ? fail(context, "sendmsg", "trees") : 0;
}

int tree_hand_over(struct context *context) {
    struct trees_message message = {0};
    for (size_t place = 0; place <= ROOT_PLACE; place++) {
        if (*tree_at(context, place) >= 0) message.places[message.count++] = (uint16_t)place;
        message.last = place == ROOT_PLACE;
        if (message.count < TREES_AT_ONCE && !message.last) continue;
        if (send_trees(context, &message) < 0) return -1;
        for (size_t i = 0; i < message.count; i++) {
            close(*tree_at(context, message.places[i]));
            *tree_at(context, message.places[i]) = -1;
        }
        message.count = 0;
    }
    return 0;
}

int tree_take_over(struct context *context) {
    struct trees_message message = {0};
    do {
        union trees_rights rights = {0};
        struct iovec part = {&message, sizeof message};
        struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = rights.bytes, .msg_controllen = sizeof rights.bytes};
        ssize_t size;
        do size = recvmsg(context->sync, &header, MSG_CMSG_CLOEXEC);
        while (size < 0 && errno == EINTR);
        /* End of file: the monitor is gone, or its steps failed; what we report nobody reads. */
        if (size != sizeof message || message.count > TREES_AT_ONCE) return errno = ECANCELED, fail(context, "recvmsg", "trees");
        struct cmsghdr *control = CMSG_FIRSTHDR(&header);
        size_t received = control ? (control->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
        if (received != message.count) return errno = EMFILE, fail(context, "recvmsg", "trees");
        for (size_t i = 0; i < received; i++) memcpy(tree_at(context, message.places[i]), CMSG_DATA(control) + i * sizeof(int), sizeof(int));
    } while (!message.last);
    return 0;
}
