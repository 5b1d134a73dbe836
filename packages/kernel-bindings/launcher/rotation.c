/* Rotates a log's files and compresses them. A compressed file gets its name when it is whole, and only then the plain one goes:
 * whoever is killed at whatever moment, every line is in one file or the other. Where both are there, they are the same. */
#include "rotation.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel.h"

#define LOW_PRIORITY 10

enum kind { PLAIN, COMPRESSED };

struct name { char text[PATH_MAX]; };

static struct name name_of(const struct rotation *rotation, uint64_t index, enum kind kind) {
    struct name name;
    snprintf(name.text, sizeof name.text, "%s.%llu%s", rotation->path, (unsigned long long)index, kind == COMPRESSED ? ".gz" : "");
    return name;
}

static bool exists(const struct rotation *rotation, uint64_t index, enum kind kind) {
    return access(name_of(rotation, index, kind).text, F_OK) == 0;
}

static int open_directory(const struct rotation *rotation, int flags, mode_t mode) {
    char directory[PATH_MAX];
    const char *slash = strrchr(rotation->path, '/');
    snprintf(directory, sizeof directory, "%.*s", slash ? (int)(slash - rotation->path) : 1, slash ? rotation->path : ".");
    return open(directory, flags | O_CLOEXEC, mode);
}

/* A container that was started again has a new monitor, while its last one may still compress: they take turns with names. */
static int lock(const struct rotation *rotation) {
    int directory = open_directory(rotation, O_RDONLY | O_DIRECTORY, 0);
    if (directory < 0) return -1;
    int result;
    do result = flock(directory, LOCK_EX);
    while (result < 0 && errno == EINTR);
    if (result == 0) return directory;
    close(directory);
    return -1;
}

/* The plain file of a pair is one too many. */
static void drop_twin(const struct rotation *rotation, uint64_t index) {
    if (exists(rotation, index, COMPRESSED)) unlink(name_of(rotation, index, PLAIN).text);
}

static int move_up(const struct rotation *rotation, uint64_t index) {
    drop_twin(rotation, index);
    for (enum kind kind = PLAIN; kind <= COMPRESSED; kind++)
        if (rename(name_of(rotation, index, kind).text, name_of(rotation, index + 1, kind).text) < 0 && errno != ENOENT) return -1;
    return 0;
}

static int move_all(const struct rotation *rotation) {
    uint64_t last = rotation->maximum_files - 1, free = 1;
    if (!last) return unlink(rotation->path) < 0 && errno != ENOENT ? -1 : 0;
    /* A gap is left by whoever was killed here. */
    while (free < last && (exists(rotation, free, PLAIN) || exists(rotation, free, COMPRESSED))) free++;
    for (enum kind kind = PLAIN; kind <= COMPRESSED; kind++)
        if (unlink(name_of(rotation, free, kind).text) < 0 && errno != ENOENT) return -1;
    for (uint64_t index = free; index-- > 1;)
        if (move_up(rotation, index) < 0) return -1;
    return rename(rotation->path, name_of(rotation, 1, PLAIN).text) < 0 && errno != ENOENT ? -1 : 0;
}

static void drop(struct rotation *rotation) {
    if (rotation->pidfd >= 0) close(rotation->pidfd);
    if (rotation->source >= 0) close(rotation->source);
    if (rotation->target >= 0) close(rotation->target);
    rotation->pidfd = rotation->source = rotation->target = -1;
}

/* The youngest plain file: it will be kept longest. */
static int open_youngest(const struct rotation *rotation) {
    int locked = lock(rotation), file = -1;
    if (locked < 0) return -1;
    for (uint64_t index = 1; index < rotation->maximum_files && file < 0; index++) {
        drop_twin(rotation, index);
        file = open(name_of(rotation, index, PLAIN).text, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (file < 0 && !exists(rotation, index, COMPRESSED)) break;
    }
    close(locked);
    return file;
}

static _Noreturn void become_compressor(const struct rotation *rotation) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_DFL);
    setpriority(PRIO_PROCESS, 0, LOW_PRIORITY);
    dup2(rotation->source, 0);
    dup2(rotation->target, 1);
    kernel_close_range(3, ~0u, 0);
    execve(rotation->compressor, (char *const[]){(char *)rotation->compressor, "gzip", NULL}, (char *const[]){NULL});
    _exit(127);
}

/* What can't be compressed now (a full disk) stays plain, and is tried again after the next rotation. */
static void begin(struct rotation *rotation) {
    if (!rotation->compressor || rotation->pidfd >= 0) return;
    rotation->source = open_youngest(rotation);
    if (rotation->source < 0) return;
    rotation->target = open_directory(rotation, O_TMPFILE | O_WRONLY, 0640);
    if (rotation->target < 0) { drop(rotation); return; }
    rotation->process = fork();
    if (rotation->process == 0) become_compressor(rotation);
    if (rotation->process > 0) rotation->pidfd = kernel_pidfd_open(rotation->process);
    if (rotation->pidfd >= 0) return;
    if (rotation->process > 0) {
        kill(rotation->process, SIGKILL);
        while (waitpid(rotation->process, NULL, 0) < 0 && errno == EINTR) continue;
    }
    drop(rotation);
}

/* Gives the compressed file the place that the plain one has by now; none when that was rotated out. False when it could not. */
static bool put_in_place(const struct rotation *rotation) {
    struct stat source, found;
    char target[64];
    snprintf(target, sizeof target, "/proc/self/fd/%d", rotation->target);
    int locked = lock(rotation);
    if (locked < 0) return false;
    bool done = fstat(rotation->source, &source) == 0;
    for (uint64_t index = 1; done && index < rotation->maximum_files; index++) {
        struct name plain = name_of(rotation, index, PLAIN), compressed = name_of(rotation, index, COMPRESSED);
        if (stat(plain.text, &found) < 0) {
            if (exists(rotation, index, COMPRESSED)) continue;
            break;
        }
        if (found.st_ino != source.st_ino || found.st_dev != source.st_dev) continue;
        /* As old as its last line. */
        (void)!futimens(rotation->target, (struct timespec[2]){{.tv_nsec = UTIME_NOW}, source.st_mtim});
        done = linkat(AT_FDCWD, target, AT_FDCWD, compressed.text, AT_SYMLINK_FOLLOW) == 0 && unlink(plain.text) == 0;
        break;
    }
    close(locked);
    return done;
}

void rotation_open(struct rotation *rotation, const char *path, uint64_t maximum_files, const char *compressor) {
    *rotation = (struct rotation){
        .path = path, .maximum_files = maximum_files ? maximum_files : 1, .compressor = compressor, .pidfd = -1, .source = -1, .target = -1};
    begin(rotation);
}

int rotation_rotate(struct rotation *rotation) {
    int locked = lock(rotation);
    if (locked < 0) return -1;
    int result = move_all(rotation), error = errno;
    close(locked);
    if (result < 0) return errno = error, -1;
    begin(rotation);
    return 0;
}

int rotation_descriptor(const struct rotation *rotation) { return rotation->pidfd; }

void rotation_settle(struct rotation *rotation) {
    int status;
    pid_t ended = waitpid(rotation->process, &status, 0);
    if (ended < 0 && errno == EINTR) return;
    bool done = ended == rotation->process && status == 0 && put_in_place(rotation);
    drop(rotation);
    if (done) begin(rotation);
}

void rotation_finish(struct rotation *rotation) {
    while (rotation->pidfd >= 0) rotation_settle(rotation);
}
