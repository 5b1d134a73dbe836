/* Compresses standard input to standard output, as nobody: a container wrote what is read here. */
#include "gzip.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "tree.h"

#define NOBODY 65534
#define CHUNK (1 << 16)

static void become_nobody(void) {
    if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0)
        give_up("setresuid: %s", strerror(errno));
    /* Without its monitor it works in vain; becoming nobody has taken that away. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0) give_up("prctl: %s", strerror(errno));
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) give_up("prctl: %s", strerror(errno));
}

static void check(struct archive *archive, la_ssize_t result) {
    if (result < 0) give_up("gzip: %s", archive_error_string(archive));
}

int gzip(void) {
    static char bytes[CHUNK];
    become_nobody();
    struct archive *archive = archive_write_new();
    struct archive_entry *entry = archive_entry_new();
    if (!archive || !entry) give_up("gzip: %s", strerror(ENOMEM));
    archive_entry_set_filetype(entry, AE_IFREG);
    check(archive, archive_write_set_format_raw(archive));
    check(archive, archive_write_add_filter_gzip(archive));
    check(archive, archive_write_set_bytes_in_last_block(archive, 1));
    check(archive, archive_write_open_fd(archive, 1));
    check(archive, archive_write_header(archive, entry));
    ssize_t size;
    while ((size = read(0, bytes, sizeof bytes)) > 0) check(archive, archive_write_data(archive, bytes, (size_t)size));
    if (size < 0) give_up("read: %s", strerror(errno));
    check(archive, archive_write_close(archive));
    archive_write_free(archive);
    archive_entry_free(entry);
    /* The plain file is removed then. */
    if (fsync(1) < 0) give_up("fsync: %s", strerror(errno));
    return 0;
}
