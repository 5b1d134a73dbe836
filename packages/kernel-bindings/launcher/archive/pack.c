/* Packs a tree into a tar on standard output, walking by descriptor: whoever moves things meanwhile can't lead it astray. */
#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tree.h"

#define CHUNK (1 << 18)

struct packer {
    struct archive *archive;
    struct archive_entry_linkresolver *links;
    bool layer;
    char buffer[CHUNK];
};

static void check(struct packer *packer, int result) {
    /* A warning is about a name in another character set, which is kept as the bytes it is. */
    if (result < ARCHIVE_WARN) give_up("%s", archive_error_string(packer->archive));
}

static bool is_overlay_note(const char *name) {
    return strncmp(name, "trusted.overlay.", 16) == 0 || strncmp(name, "user.overlay.", 13) == 0;
}

static void take_attributes(struct archive_entry *entry, int file) {
    char names[65536];
    ssize_t size = flistxattr(file, names, sizeof names);
    for (ssize_t at = 0; at < size; at += (ssize_t)strlen(names + at) + 1) {
        char value[65536];
        if (is_overlay_note(names + at)) continue;
        ssize_t length = fgetxattr(file, names + at, value, sizeof value);
        if (length >= 0) archive_entry_xattr_add_entry(entry, names + at, value, (size_t)length);
    }
}

static void write_zeros(struct packer *packer, int64_t count) {
    static const char zeros[CHUNK];
    while (count > 0) {
        size_t size = count < CHUNK ? (size_t)count : CHUNK;
        if (archive_write_data(packer->archive, zeros, size) < 0) check(packer, ARCHIVE_FATAL);
        count -= (int64_t)size;
    }
}

/* Exactly as many bytes as the header says, whatever happens to the file meanwhile. */
static void write_contents(struct packer *packer, int file, int64_t size) {
    while (size > 0) {
        ssize_t length = read(file, packer->buffer, size < CHUNK ? (size_t)size : CHUNK);
        if (length < 0 && errno == EINTR) continue;
        if (length <= 0) break;
        if (archive_write_data(packer->archive, packer->buffer, (size_t)length) < 0) check(packer, ARCHIVE_FATAL);
        size -= length;
    }
    write_zeros(packer, size);
}

/* The directory "" is the archive's top: what is in it has no prefix. */
static void join(char path[PATH_MAX], const char *directory, const char *name) {
    size_t length = strlen(directory);
    bool bare = !length || directory[length - 1] == '/';
    if (snprintf(path, PATH_MAX, "%s%s%s", directory, bare ? "" : "/", name) >= PATH_MAX) give_up("%s: name too long", directory);
}

static void write_marker(struct packer *packer, const char *directory, const char *name) {
    struct archive_entry *entry = archive_entry_new();
    char path[PATH_MAX];
    if (!entry) give_up("out of memory");
    join(path, directory, name);
    archive_entry_set_pathname(entry, path);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0);
    archive_entry_set_size(entry, 0);
    check(packer, archive_write_header(packer->archive, entry));
    archive_entry_free(entry);
}

static void write_entry(struct packer *packer, struct archive_entry *entry, int file) {
    struct archive_entry *spare = NULL;
    archive_entry_linkify(packer->links, &entry, &spare);
    check(packer, archive_write_header(packer->archive, entry));
    if (file >= 0 && archive_entry_filetype(entry) == AE_IFREG && archive_entry_size(entry) > 0)
        write_contents(packer, file, archive_entry_size(entry));
    archive_entry_free(entry);
}

static void pack_one(struct packer *packer, int parent, const char *name, const char *path);

static int compare_names(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* In the order of their names, so that the same tree gives the same archive. */
static void pack_children(struct packer *packer, int directory, const char *path) {
    int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = copy < 0 ? NULL : fdopendir(copy);
    if (!listing) give_up("%s: %s", path, strerror(errno));
    char **names = NULL;
    size_t count = 0, room = 0;
    for (struct dirent *item; (item = readdir(listing));) {
        if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0) continue;
        if (count == room) {
            room = room ? room * 2 : 64;
            names = realloc(names, room * sizeof *names);
        }
        if (!names || !(names[count++] = strdup(item->d_name))) give_up("%s: out of memory", path);
    }
    closedir(listing);
    if (count) qsort(names, count, sizeof *names, compare_names);
    for (size_t i = 0; i < count; i++) {
        char child[PATH_MAX];
        join(child, path, names[i]);
        pack_one(packer, directory, names[i], child);
        free(names[i]);
    }
    free(names);
}

/* Opens what can be opened without side effects; -1 for the rest and for what is gone again. */
static int open_node(int parent, const char *name, const struct stat *status) {
    if (!S_ISREG(status->st_mode) && !S_ISDIR(status->st_mode)) return -1;
    int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | (S_ISDIR(status->st_mode) ? O_DIRECTORY : 0);
    return openat(parent, name, flags);
}

static void pack_node(struct packer *packer, int parent, const char *name, const char *path, int file, const struct stat *status) {
    struct archive_entry *entry = archive_entry_new();
    if (!entry) give_up("%s: out of memory", path);
    archive_entry_set_pathname(entry, path);
    archive_entry_copy_stat(entry, status);
    if (S_ISLNK(status->st_mode)) {
        char target[PATH_MAX];
        ssize_t length = readlinkat(parent, name, target, sizeof target - 1);
        if (length < 0) { archive_entry_free(entry); return; }
        target[length] = 0;
        archive_entry_set_symlink(entry, target);
    }
    if (!S_ISREG(status->st_mode)) archive_entry_set_size(entry, 0);
    if (file >= 0) take_attributes(entry, file);
    write_entry(packer, entry, file);
}

static void pack_one(struct packer *packer, int parent, const char *name, const char *path) {
    struct stat status;
    if (fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) < 0) {
        if (errno == ENOENT) return; /* gone since it was listed */
        give_up("%s: %s", path, strerror(errno));
    }
    if (S_ISSOCK(status.st_mode)) return;
    if (packer->layer && S_ISCHR(status.st_mode) && status.st_rdev == makedev(0, 0)) {
        char marker[NAME_MAX + 8], directory[PATH_MAX];
        snprintf(marker, sizeof marker, ".wh.%s", name);
        const char *slash = strrchr(path, '/');
        snprintf(directory, sizeof directory, "%.*s", slash ? (int)(slash - path) : 0, path);
        write_marker(packer, directory, marker);
        return;
    }
    int file = open_node(parent, name, &status);
    struct stat opened;
    if (file >= 0 && (fstat(file, &opened) < 0 || (opened.st_mode & S_IFMT) != (status.st_mode & S_IFMT))) {
        close(file); /* it became something else between the two */
        return;
    }
    if (file >= 0) status = opened;
    else if ((S_ISREG(status.st_mode) || S_ISDIR(status.st_mode)) && errno == ENOENT) return;
    else if (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode)) give_up("%s: %s", path, strerror(errno));
    pack_node(packer, parent, name, path, file, &status);
    if (file >= 0 && S_ISDIR(status.st_mode)) {
        char opaque = 0;
        if (packer->layer && fgetxattr(file, "trusted.overlay.opaque", &opaque, 1) == 1 && opaque == 'y') write_marker(packer, path, ".wh..wh..opq");
        pack_children(packer, file, path);
    }
    if (file >= 0) close(file);
}

void pack(const struct pack_options *options) {
    static struct packer packer;
    packer.layer = options->layer;
    packer.archive = archive_write_new();
    packer.links = archive_entry_linkresolver_new();
    if (!packer.archive || !packer.links) give_up("out of memory");
    check(&packer, archive_write_set_format_pax_restricted(packer.archive));
    archive_entry_linkresolver_set_strategy(packer.links, ARCHIVE_FORMAT_TAR);
    /* Attributes as everybody else reads them; in blocks of a pipe's size. */
    check(&packer, archive_write_set_options(packer.archive, "xattrheader=SCHILY"));
    archive_write_set_bytes_per_block(packer.archive, 65536);
    archive_write_set_bytes_in_last_block(packer.archive, 512);
    check(&packer, archive_write_open_fd(packer.archive, STDOUT_FILENO));
    /* The contents of a directory, or one thing in it by its name, which is not followed. */
    if (options->base) pack_one(&packer, options->place, options->base, options->name);
    else pack_children(&packer, options->place, "");
    check(&packer, archive_write_close(packer.archive));
    archive_write_free(packer.archive);
    archive_entry_linkresolver_free(packer.links);
}
