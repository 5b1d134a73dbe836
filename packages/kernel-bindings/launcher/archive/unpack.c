/* Unpacks a tar from standard input below the present root, replacing what is in its way. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "tree.h"

#define MAXIMUM_ENTRIES 4000000u

struct unpacker {
    const struct unpack_options *options;
    struct archive *input, *disk;
    uint64_t written;
    char **opaque;
    size_t opaque_count, opaque_room;
};

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *place) {
    (void)status, (void)kind, (void)place;
    return remove(path);
}

static void remove_tree(const char *path) {
    if (nftw(path, remove_one, 64, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) < 0 && errno != ENOENT) give_up("%s: %s", path, strerror(errno));
}

/* The entry's name as a path below the present directory: "." for that itself; ".." climbs no further. */
static void clean_path(const char *name, char *out, size_t room) {
    size_t used = 0;
    out[0] = 0;
    while (*name) {
        size_t length = strcspn(name, "/");
        if (length == 2 && name[0] == '.' && name[1] == '.') {
            while (used && out[used - 1] != '/') used--;
            if (used) used--;
        } else if (length && !(length == 1 && name[0] == '.')) {
            if (used + length + 2 > room) give_up("%s: name too long", name);
            if (used) out[used++] = '/';
            memcpy(out + used, name, length);
            used += length;
        }
        out[used] = 0;
        name += length + (name[length] == '/');
    }
    if (!used) strcpy(out, ".");
}

static void make_way(const struct unpacker *unpacker, struct archive_entry *entry, const char *path) {
    struct stat status;
    if (lstat(path, &status) < 0) return;
    bool directory = archive_entry_filetype(entry) == AE_IFDIR && !archive_entry_hardlink(entry);
    if (S_ISDIR(status.st_mode) && directory) return;
    if (unpacker->options->same_kind && S_ISDIR(status.st_mode)) give_up("cannot overwrite directory \"%s\" with non-directory \"%s\"", path, unpacker->options->path);
    if (unpacker->options->same_kind && directory) give_up("cannot overwrite non-directory \"%s\" with directory \"%s\"", path, unpacker->options->path);
    remove_tree(path);
}

/* An archive has no say in how the overlay works. */
static void choose_attributes(struct archive_entry *entry) {
    struct { char *name; void *value; size_t size; } kept[64];
    size_t count = 0, size;
    const char *name;
    const void *value;
    archive_entry_xattr_reset(entry);
    while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK && count < 64) {
        if (strncmp(name, "trusted.", 8) == 0 || strncmp(name, "user.overlay.", 13) == 0 || strcmp(name, "security.selinux") == 0) continue;
        kept[count].name = strdup(name);
        kept[count].value = malloc(size ? size : 1);
        if (!kept[count].name || !kept[count].value) give_up("out of memory");
        memcpy(kept[count].value, value, size);
        kept[count++].size = size;
    }
    archive_entry_xattr_clear(entry);
    while (count--) {
        archive_entry_xattr_add_entry(entry, kept[count].name, kept[count].value, kept[count].size);
        free(kept[count].name);
        free(kept[count].value);
    }
}

static void note_opaque(struct unpacker *unpacker, const char *path) {
    if (unpacker->opaque_count == unpacker->opaque_room) {
        unpacker->opaque_room = unpacker->opaque_room ? unpacker->opaque_room * 2 : 16;
        unpacker->opaque = realloc(unpacker->opaque, unpacker->opaque_room * sizeof *unpacker->opaque);
    }
    if (!unpacker->opaque || !(unpacker->opaque[unpacker->opaque_count++] = strdup(path))) give_up("out of memory");
}

static void make_parents(char *path) {
    for (char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (mkdir(path, 0755) < 0 && errno != EEXIST) give_up("%s: %s", path, strerror(errno));
        *slash = '/';
    }
}

/* A layer's ".wh." entries say what it hides of those below it; true when this was one. */
static bool take_whiteout(struct unpacker *unpacker, char *path) {
    char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    if (strncmp(name, ".wh.", 4) != 0) return false;
    if (strcmp(name, ".wh..wh..opq") == 0) {
        make_parents(path);
        if (slash) *slash = 0;
        note_opaque(unpacker, slash ? path : ".");
        return true;
    }
    if (strncmp(name, ".wh..wh.", 8) == 0) return true; /* other storage drivers' own notes */
    const char *meant = name + 4;
    if (!*meant || strcmp(meant, ".") == 0 || strcmp(meant, "..") == 0) give_up("%s: hides nothing that a layer can have", path);
    make_parents(path);
    char hidden[PATH_MAX];
    snprintf(hidden, sizeof hidden, "%.*s%s", (int)(name - path), path, meant);
    remove_tree(hidden);
    if (mknod(hidden, S_IFCHR, makedev(0, 0)) < 0) give_up("%s: %s", hidden, strerror(errno));
    return true;
}

/* libarchive says what failed; why is in its errno. */
static _Noreturn void give_up_writing(const char *path, struct archive *disk) {
    int error = archive_errno(disk);
    const char *what = archive_error_string(disk);
    if (error > 0 && !strstr(what, strerror(error))) give_up("%s: %s: %s", path, what, strerror(error));
    give_up("%s: %s", path, what);
}

static void copy_contents(struct unpacker *unpacker, const char *path) {
    const void *bytes;
    size_t size;
    la_int64_t offset;
    for (;;) {
        int result = archive_read_data_block(unpacker->input, &bytes, &size, &offset);
        if (result == ARCHIVE_EOF) return;
        if (result < ARCHIVE_WARN) give_up("%s", archive_error_string(unpacker->input));
        unpacker->written += size;
        if (unpacker->options->maximum_bytes && unpacker->written > unpacker->options->maximum_bytes)
            give_up("layer is larger than %llu bytes", (unsigned long long)unpacker->options->maximum_bytes);
        if (archive_write_data_block(unpacker->disk, bytes, size, offset) < ARCHIVE_OK)
            give_up_writing(path, unpacker->disk);
    }
}

static void unpack_one(struct unpacker *unpacker, struct archive_entry *entry) {
    const struct unpack_options *options = unpacker->options;
    const char *name = archive_entry_pathname(entry), *link = archive_entry_hardlink(entry);
    if (!name) give_up("an entry has no name");
    char path[PATH_MAX], target[PATH_MAX];
    clean_path(name, path, sizeof path);
    if (options->layer && take_whiteout(unpacker, path)) return;
    if (strcmp(path, ".") == 0 && (!(options->layer || options->top) || archive_entry_filetype(entry) != AE_IFDIR)) {
        if (archive_entry_filetype(entry) == AE_IFDIR) return;
        give_up("the archive's root is no directory");
    }
    make_way(unpacker, entry, path);
    archive_entry_set_pathname(entry, path);
    if (link) {
        clean_path(link, target, sizeof target);
        archive_entry_set_hardlink(entry, target);
    }
    if (options->owned) {
        archive_entry_set_uid(entry, options->user);
        archive_entry_set_gid(entry, options->group);
    }
    if (options->moded && archive_entry_filetype(entry) != AE_IFLNK) archive_entry_set_perm(entry, options->mode);
    archive_entry_set_uname(entry, NULL);
    archive_entry_set_gname(entry, NULL);
    choose_attributes(entry);
    int result = archive_write_header(unpacker->disk, entry);
    if (result < ARCHIVE_WARN) give_up_writing(path, unpacker->disk);
    if (!link || archive_entry_size(entry) > 0) copy_contents(unpacker, path);
    result = archive_write_finish_entry(unpacker->disk);
    /* A file system that has no attributes is no reason to fail; that is a warning. */
    if (result < ARCHIVE_WARN) give_up_writing(path, unpacker->disk);
}

static void print_json_string(const char *text) {
    putchar('"');
    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte == '"' || byte == '\\') printf("\\%c", byte);
        else if (byte < 0x20) printf("\\u%04x", byte);
        else putchar(byte);
    }
    putchar('"');
}

void unpack(const struct unpack_options *options) {
    struct unpacker unpacker = {.options = options, .input = archive_read_new(), .disk = archive_write_disk_new()};
    if (!unpacker.input || !unpacker.disk) give_up("out of memory");
    umask(0);
    if (fchdir(options->place) < 0) give_up("%s: %s", options->path, strerror(errno));
    archive_read_support_format_tar(unpacker.input);
    archive_read_support_format_empty(unpacker.input);
    archive_read_support_filter_gzip(unpacker.input);
    archive_read_support_filter_bzip2(unpacker.input);
    archive_read_support_filter_xz(unpacker.input);
    archive_read_support_filter_zstd(unpacker.input);
    archive_write_disk_set_options(unpacker.disk, ARCHIVE_EXTRACT_TIME | ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_OWNER |
                                                      ARCHIVE_EXTRACT_XATTR | ARCHIVE_EXTRACT_UNLINK | ARCHIVE_EXTRACT_SPARSE);
    if (archive_read_open_fd(unpacker.input, STDIN_FILENO, 1 << 18) < ARCHIVE_WARN) give_up("%s", archive_error_string(unpacker.input));
    unsigned entries = 0;
    for (struct archive_entry *entry;;) {
        int result = archive_read_next_header(unpacker.input, &entry);
        if (result == ARCHIVE_EOF) break;
        if (result < ARCHIVE_WARN) give_up("%s", archive_error_string(unpacker.input));
        if (++entries > MAXIMUM_ENTRIES) give_up("the archive has more than %u entries", MAXIMUM_ENTRIES);
        unpack_one(&unpacker, entry);
    }
    /* The times and permissions of directories, now that nothing is put into them any more. */
    if (archive_write_close(unpacker.disk) < ARCHIVE_WARN) give_up("%s", archive_error_string(unpacker.disk));
    archive_write_free(unpacker.disk);
    archive_read_free(unpacker.input);
    /* What follows the end of the archive (padding) is taken too: whoever sends it must not find the pipe closed. */
    char rest[4096];
    while (read(STDIN_FILENO, rest, sizeof rest) > 0) continue;
    if (!options->layer) return;
    printf("{\"size\":%llu,\"opaque\":[", (unsigned long long)unpacker.written);
    for (size_t i = 0; i < unpacker.opaque_count; i++) {
        if (i) putchar(',');
        print_json_string(unpacker.opaque[i]);
        free(unpacker.opaque[i]);
    }
    free(unpacker.opaque);
    printf("]}\n");
}
