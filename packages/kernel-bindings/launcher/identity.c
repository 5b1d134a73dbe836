/* Whose files and processes a container's are: its user namespace, and the host's ids behind it. */
#include "identity.h"

#include <errno.h>
#include <grp.h>
#include <linux/securebits.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>

#include "kernel.h"

static int write_map(struct context *context, const char *name, const struct field *map) {
    char path[64];
    if (!map->length) return 0;
    snprintf(path, sizeof path, "/proc/%d/%s", (int)context->child, name);
    return write_file(context, path, map->string, map->length);
}

int identity_open(struct context *context, const struct step *step) {
    if (write_map(context, "uid_map", &step->fields[0]) < 0) return -1;
    if (write_map(context, "gid_map", &step->fields[1]) < 0) return -1;
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/ns/user", (int)context->child);
    context->user_namespace = open(path, O_RDONLY | O_CLOEXEC);
    if (context->user_namespace < 0) return fail(context, "open", path);
    context->root_user = (uid_t)step->fields[2].number;
    context->root_group = (gid_t)step->fields[3].number;
    return 0;
}

int identity_assume(struct context *context) {
    if (context->user_namespace < 0) return 0;
    /* Without this, capabilities over files would go with the file system's user id (capabilities(7)). */
    int bits = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);
    if (bits < 0 || prctl(PR_SET_SECUREBITS, (unsigned long)bits | SECBIT_NO_SETUID_FIXUP, 0, 0, 0) < 0)
        return fail(context, "prctl", "PR_SET_SECUREBITS");
    setfsgid(context->root_group);
    setfsuid(context->root_user);
    if ((uid_t)setfsuid((uid_t)-1) != context->root_user) return errno = EPERM, fail(context, "setfsuid", "");
    return 0;
}

void identity_leave(struct context *context) {
    if (context->user_namespace < 0) return;
    setfsuid(0);
    setfsgid(0);
    int bits = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);
    if (bits >= 0) prctl(PR_SET_SECUREBITS, (unsigned long)bits & ~(unsigned long)SECBIT_NO_SETUID_FIXUP, 0, 0, 0);
}

int identity_become_root(struct context *context) {
    if (setgroups(0, NULL) < 0) return fail(context, "setgroups", "");
    if (setresgid(0, 0, 0) < 0) return fail(context, "setresgid", "");
    if (setresuid(0, 0, 0) < 0) return fail(context, "setresuid", "");
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* changing the user may have set it again */
    return 0;
}

static const int counted[COUNTED_LIMITS] = {RLIMIT_NPROC, RLIMIT_MEMLOCK, RLIMIT_SIGPENDING, RLIMIT_MSGQUEUE};

void identity_raise_limits(struct context *context) {
    for (size_t i = 0; i < COUNTED_LIMITS; i++) {
        struct rlimit most = {RLIM_INFINITY, RLIM_INFINITY}, *own = &context->limits[i];
        if (getrlimit(counted[i], own) < 0) *own = most;
        if (setrlimit(counted[i], &most) == 0) continue;
        most.rlim_cur = most.rlim_max = own->rlim_max;
        (void)!setrlimit(counted[i], &most);
    }
    context->limits_raised = true;
}

int identity_restore_limits(struct context *context) {
    for (size_t i = 0; context->limits_raised && i < COUNTED_LIMITS; i++)
        if (setrlimit(counted[i], &context->limits[i]) < 0) return fail(context, "setrlimit", "counted");
    return 0;
}
