/* Copies a tree into the present directory: owners, modes, times, attributes, hard links and holes; files share their blocks
 * where the file system can do that. Walks by descriptor: whoever moves things meanwhile can't lead it astray. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tree.h"

#define BUCKETS 4096
#define CHUNK (1 << 18)

/* Files with more than one name, by where the first of them was copied to. */
struct linked {
    dev_t device;
    ino_t inode;
    struct linked *next;
    char path[];
};
static struct linked *links[BUCKETS];
static char buffer[CHUNK];

_Noreturn static void give_up_at(const char *path) { give_up("%s: %s", path, strerror(errno)); }

static const char *known_link(const struct stat *status) {
    for (const struct linked *one = links[status->st_ino % BUCKETS]; one; one = one->next)
        if (one->inode == status->st_ino && one->device == status->st_dev) return one->path;
    return NULL;
}

static void remember_link(const struct stat *status, const char *path) {
    struct linked *one = malloc(sizeof *one + strlen(path) + 1);
    if (!one) give_up("out of memory");
    one->device = status->st_dev;
    one->inode = status->st_ino;
    strcpy(one->path, path);
    one->next = links[status->st_ino % BUCKETS];
    links[status->st_ino % BUCKETS] = one;
}

/* What belongs to an overlay stays with it, and a file system that has no attributes is no reason to fail. */
static void copy_attributes(int from, int to, const char *path) {
    char names[65536], value[65536];
    ssize_t size = flistxattr(from, names, sizeof names);
    for (ssize_t at = 0; at < size; at += (ssize_t)strlen(names + at) + 1) {
        const char *name = names + at;
        if (strncmp(name, "trusted.", 8) == 0 || strncmp(name, "user.overlay.", 13) == 0 || strcmp(name, "security.selinux") == 0) continue;
        ssize_t length = fgetxattr(from, name, value, sizeof value);
        if (length < 0) continue;
        if (fsetxattr(to, name, value, (size_t)length, 0) < 0 && errno != EOPNOTSUPP && errno != EPERM) give_up_at(path);
    }
}

/* The owner comes first: changing it takes set-user-id bits and capabilities away. */
static void finish(int from, int to, const struct stat *status, const char *path) {
    struct timespec times[2] = {status->st_atim, status->st_mtim};
    if (fchown(to, status->st_uid, status->st_gid) < 0 || fchmod(to, status->st_mode & 07777) < 0) give_up_at(path);
    copy_attributes(from, to, path);
    if (futimens(to, times) < 0) give_up_at(path);
}

static void write_all(int to, const char *bytes, size_t size, const char *path) {
    while (size > 0) {
        ssize_t written = write(to, bytes, size);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) give_up_at(path);
        bytes += written;
        size -= (size_t)written;
    }
}

static void copy_range(int from, int to, off_t start, off_t end, const char *path) {
    if (lseek(from, start, SEEK_SET) < 0 || lseek(to, start, SEEK_SET) < 0) give_up_at(path);
    bool by_kernel = true;
    for (off_t left = end - start; left > 0;) {
        size_t most = left < CHUNK ? (size_t)left : CHUNK;
        ssize_t size = by_kernel ? copy_file_range(from, NULL, to, NULL, (size_t)left, 0) : read(from, buffer, most);
        if (size < 0 && by_kernel && errno != ENOSPC && errno != EDQUOT && errno != EIO) {
            by_kernel = false; /* the two file systems don't know each other */
            continue;
        }
        if (size < 0 && errno == EINTR) continue;
        if (size < 0) give_up_at(path);
        if (size == 0) return; /* it became shorter */
        if (!by_kernel) write_all(to, buffer, (size_t)size, path);
        left -= size;
    }
}

static void copy_contents(int from, int to, off_t size, const char *path) {
    if (size == 0 || ioctl(to, FICLONE, from) == 0) return;
    for (off_t at = 0; at < size;) {
        off_t start = lseek(from, at, SEEK_DATA);
        if (start < 0 && errno == ENXIO) break;
        if (start < 0) start = at; /* no way to tell holes here */
        off_t end = lseek(from, start, SEEK_HOLE);
        if (end <= start || end > size) end = size;
        copy_range(from, to, start, end, path);
        at = end;
    }
    if (ftruncate(to, size) < 0) give_up_at(path);
}

static void copy_children(int from, int to, const char *path);

static void copy_file(int from, int parent, const char *name, const struct stat *status, const char *path) {
    if (status->st_nlink > 1) {
        const char *first = known_link(status);
        if (first) {
            if (linkat(AT_FDCWD, first, parent, name, 0) < 0) give_up_at(path);
            return;
        }
        remember_link(status, path);
    }
    int to = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (to < 0) give_up_at(path);
    copy_contents(from, to, status->st_size, path);
    finish(from, to, status, path);
    close(to);
}

static void copy_directory(int from, int parent, const char *name, const struct stat *status, const char *path) {
    if (mkdirat(parent, name, 0700) < 0) give_up_at(path);
    int to = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (to < 0) give_up_at(path);
    copy_children(from, to, path);
    finish(from, to, status, path);
    close(to);
}

/* Links, pipes and devices. */
static void copy_node(int source, int parent, const char *name, const struct stat *status, const char *path) {
    if (S_ISLNK(status->st_mode)) {
        char target[PATH_MAX];
        ssize_t length = readlinkat(source, name, target, sizeof target - 1);
        if (length < 0) return; /* gone since it was listed */
        target[length] = 0;
        if (symlinkat(target, parent, name) < 0) give_up_at(path);
    } else {
        if (mknodat(parent, name, status->st_mode, status->st_rdev) < 0) give_up_at(path);
    }
    struct timespec times[2] = {status->st_atim, status->st_mtim};
    if (fchownat(parent, name, status->st_uid, status->st_gid, AT_SYMLINK_NOFOLLOW) < 0) give_up_at(path);
    if (!S_ISLNK(status->st_mode) && fchmodat(parent, name, status->st_mode & 07777, 0) < 0) give_up_at(path);
    if (utimensat(parent, name, times, AT_SYMLINK_NOFOLLOW) < 0) give_up_at(path);
}

static void copy_one(int source, int parent, const char *name, const char *path) {
    struct stat status;
    if (fstatat(source, name, &status, AT_SYMLINK_NOFOLLOW) < 0) {
        if (errno == ENOENT) return;
        give_up_at(path);
    }
    if (S_ISSOCK(status.st_mode)) return;
    if (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode)) {
        copy_node(source, parent, name, &status, path);
        return;
    }
    int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | (S_ISDIR(status.st_mode) ? O_DIRECTORY : 0);
    int from = openat(source, name, flags);
    struct stat opened;
    if (from < 0 && errno == ENOENT) return;
    if (from < 0 || fstat(from, &opened) < 0) give_up_at(path);
    /* It may have become something else between the two. */
    if ((opened.st_mode & S_IFMT) == (status.st_mode & S_IFMT)) {
        if (S_ISDIR(opened.st_mode)) copy_directory(from, parent, name, &opened, path);
        else copy_file(from, parent, name, &opened, path);
    }
    close(from);
}

static void copy_children(int from, int to, const char *path) {
    int listed = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = listed < 0 ? NULL : fdopendir(listed);
    if (!listing) give_up_at(path);
    for (struct dirent *item; (item = readdir(listing));) {
        if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0) continue;
        char child[PATH_MAX];
        if (snprintf(child, sizeof child, "%s/%s", path, item->d_name) >= (int)sizeof child) give_up("%s: name too long", path);
        copy_one(from, to, item->d_name, child);
    }
    closedir(listing);
}

void copy(int place) {
    struct stat status;
    int from = openat(place, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), to = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (from < 0 || to < 0 || fstat(from, &status) < 0) give_up_at(".");
    umask(0);
    copy_children(from, to, ".");
    finish(from, to, &status, ".");
}
