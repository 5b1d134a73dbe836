/* Lists an overlay's upper directory: one record for each thing in it, ended by NUL. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tree.h"

static void list_directory(int directory, const char *path);

static void list_one(int parent, const char *name, const char *path) {
    struct stat status;
    if (fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) < 0) return; /* gone since it was listed */
    bool whiteout = S_ISCHR(status.st_mode) && status.st_rdev == makedev(0, 0);
    int directory = S_ISDIR(status.st_mode) ? openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
    char opaque = 0;
    if (directory >= 0) (void)!fgetxattr(directory, "trusted.overlay.opaque", &opaque, 1);
    printf("%c %o %lld %lld.%09ld %lld.%09ld %llu %s", whiteout ? 'w' : opaque == 'y' ? 'o' : S_ISDIR(status.st_mode) ? 'd' : 'f',
           status.st_mode, (long long)status.st_size, (long long)status.st_mtim.tv_sec, status.st_mtim.tv_nsec,
           (long long)status.st_ctim.tv_sec, status.st_ctim.tv_nsec, (unsigned long long)status.st_ino, path);
    putchar(0);
    if (directory < 0) return;
    list_directory(directory, path);
    close(directory);
}

static void list_directory(int directory, const char *path) {
    int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *listing = copy < 0 ? NULL : fdopendir(copy);
    if (!listing) give_up("%s: %s", path, strerror(errno));
    for (struct dirent *item; (item = readdir(listing));) {
        if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0) continue;
        char child[PATH_MAX];
        if (snprintf(child, sizeof child, "%s/%s", path, item->d_name) >= (int)sizeof child) give_up("%s: name too long", path);
        list_one(directory, item->d_name, child);
    }
    closedir(listing);
}

void list(int place) { list_directory(place, ""); }
