/* Landlock: what the process to come may reach of the file system, of ports, and of other processes. */
#include "landlock.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "kernel.h"

/* The kernel's interface (landlock(7)), whose headers may be older than it. */
#define RULE_PATH_BENEATH 1
#define RULE_NET_PORT 2
struct ruleset_attributes {
    uint64_t file_system, network, scoped;
};
struct path_rule {
    uint64_t access;
    int32_t parent;
} __attribute__((packed));
struct port_rule {
    uint64_t access, port;
};
/* The rights that a file has: execute, write, read, truncate, ioctl on devices. */
#define FILE_RIGHTS (1u << 0 | 1u << 1 | 1u << 2 | 1u << 14 | 1u << 15)

static int add_path(struct context *context, int ruleset, const char *path, uint64_t access) {
    int place = kernel_openat2(AT_FDCWD, path, O_PATH, RESOLVE_NO_MAGICLINKS);
    if (place < 0) return fail(context, "openat2", path);
    struct stat status;
    struct path_rule rule = {.access = access, .parent = place};
    if (fstat(place, &status) == 0 && !S_ISDIR(status.st_mode)) rule.access &= FILE_RIGHTS;
    int result = syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule, 0) < 0 ? fail(context, "landlock_add_rule", path) : 0;
    close(place);
    return result;
}

static int add_port(struct context *context, int ruleset, uint64_t port, uint64_t access) {
    struct port_rule rule = {.access = access, .port = port};
    if (syscall(SYS_landlock_add_rule, ruleset, RULE_NET_PORT, &rule, 0) == 0) return 0;
    char name[32];
    snprintf(name, sizeof name, "port %llu", (unsigned long long)port);
    return fail(context, "landlock_add_rule", name);
}

int child_landlock(struct context *context, const struct step *step) {
    const struct field *fields = step->fields, *paths = &fields[3], *ports = &fields[5];
    if (paths->length != fields[4].length || ports->length != fields[6].length) return errno = EINVAL, fail(context, "landlock", "rules");
    struct ruleset_attributes attributes = {fields[0].number, fields[1].number, fields[2].number};
    /* A kernel that does not know the later fields takes the shorter structure. */
    size_t size = attributes.scoped ? sizeof attributes : attributes.network ? 2 * sizeof(uint64_t) : sizeof(uint64_t);
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attributes, size, 0);
    if (ruleset < 0) return fail(context, "landlock_create_ruleset", "");
    int result = 0;
    for (size_t i = 0; result == 0 && i < paths->length; i++) result = add_path(context, ruleset, paths->list[i], plan_number(&fields[4], i));
    for (size_t i = 0; result == 0 && i < ports->length; i++)
        result = add_port(context, ruleset, plan_number(ports, i), plan_number(&fields[6], i));
    if (result == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0) result = fail(context, "landlock_restrict_self", "");
    close(ruleset);
    return result;
}
