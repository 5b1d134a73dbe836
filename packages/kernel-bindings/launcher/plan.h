/* The launch plan as bytes: its format, the vocabulary of steps, and the decoder that checks every bound.
 *
 * Layout (little-endian): "TSDP", u32 version, u32 number of steps, then per step u32 op, u32 payload length, payload.
 * A payload is its fields in the order of the schema: 'u' u64; 's' u32 length, bytes, NUL; 'b' u32 length, bytes;
 * 'l' u32 count, then that many 's'; 'n' u32 count, then that many u64. The TypeScript side holds the same table
 * (src/plan/vocabulary.ts); a test compares the two through `tsd-launcher --vocabulary`. */
#ifndef TSD_PLAN_H
#define TSD_PLAN_H
#include <stddef.h>
#include <stdint.h>

#define PLAN_VERSION 1
#define PLAN_MAX_BYTES (16u << 20)
#define PLAN_MAX_STEPS 4096
#define STEP_MAX_FIELDS 8

/* Where a step runs: by the monitor before the clone, by the monitor after it (seeing the child), by the child. */
enum stage { STAGE_MONITOR, STAGE_HOST, STAGE_CHILD };

/* X(code, identifier, name, stage, schema): the whole vocabulary. */
#define STEP_VOCABULARY(X) \
    X(1, SERVE, "serve", STAGE_MONITOR, "ss") \
    X(2, STDIO, "stdio", STAGE_MONITOR, "uuuuuu") \
    X(3, LOG, "log", STAGE_MONITOR, "suus") \
    X(8, LOG_FORWARD, "log.forward", STAGE_MONITOR, "uussul") \
    X(9, CGROUP_DEVICES, "cgroup.devices", STAGE_MONITOR, "sb") \
    X(4, DIRECTORY, "directory", STAGE_MONITOR, "su") \
    X(5, WRITE, "write", STAGE_MONITOR, "ss") \
    X(6, PID_NAMESPACE, "pid-namespace.join", STAGE_MONITOR, "s") \
    X(14, MEMORY_WATCH, "memory.watch", STAGE_MONITOR, "ss") \
    X(13, OWNER, "owner", STAGE_MONITOR, "suu") \
    X(10, USER_NAMESPACE_JOIN, "user-namespace.join", STAGE_MONITOR, "s") \
    X(11, RLIMIT_RAISE, "rlimit.raise", STAGE_MONITOR, "uuu") \
    X(12, TIME_NAMESPACE, "time-namespace", STAGE_MONITOR, "s") \
    X(7, CLONE, "clone", STAGE_MONITOR, "u") \
    X(20, NETLINK_HOST, "netlink.host", STAGE_HOST, "b") \
    X(21, USER_NAMESPACE, "user-namespace", STAGE_HOST, "ssuu") \
    X(39, BIND_OPEN_IN, "bind.open-in", STAGE_HOST, "uss") \
    X(40, BIND_OPEN, "bind.open", STAGE_HOST, "usuusu") \
    X(42, ROOT_OVERLAY, "root.overlay", STAGE_HOST, "lssslus") \
    X(24, IMAGE_OPEN, "image.open", STAGE_HOST, "ullus") \
    X(52, TMPFS_OPEN, "tmpfs.open", STAGE_HOST, "ul") \
    X(45, NODE, "node", STAGE_HOST, "usuuuuu") \
    X(23, HOOK_RUNTIME, "hook.runtime", STAGE_HOST, "sllsu") \
    X(22, HAND_OVER, "hand-over", STAGE_HOST, "") \
    X(61, OOM_SCORE, "oom-score", STAGE_HOST, "su") \
    X(30, CGROUP_ENTER, "cgroup.enter", STAGE_CHILD, "l") \
    X(31, UNSHARE, "unshare", STAGE_CHILD, "u") \
    X(32, NAMESPACES_JOIN, "namespaces.join", STAGE_CHILD, "ln") \
    X(54, TAKE_OVER, "take-over", STAGE_CHILD, "") \
    X(55, USER_NAMESPACE_ROOT, "user-namespace.root", STAGE_CHILD, "") \
    X(33, AWAIT_HOST, "await-host", STAGE_CHILD, "") \
    X(34, NETLINK, "netlink", STAGE_CHILD, "b") \
    X(35, SYSCTL, "sysctl", STAGE_CHILD, "ss") \
    X(36, HOSTNAME, "hostname", STAGE_CHILD, "s") \
    X(37, DOMAINNAME, "domainname", STAGE_CHILD, "s") \
    X(38, NETFILTER, "netfilter", STAGE_CHILD, "b") \
    X(56, HOOK_CONTAINER, "hook.container", STAGE_CHILD, "sllsu") \
    X(41, PROPAGATION, "propagation", STAGE_CHILD, "su") \
    X(57, IMAGE_PART, "image.part", STAGE_CHILD, "uss") \
    X(53, ROOT_ATTACH, "root.attach", STAGE_CHILD, "s") \
    X(43, MOUNT, "mount", STAGE_CHILD, "sslusu") \
    X(44, BIND, "bind", STAGE_CHILD, "usuuu") \
    X(46, SYMLINK, "symlink", STAGE_CHILD, "ss") \
    X(47, MASK, "mask", STAGE_CHILD, "s") \
    X(48, READONLY, "readonly", STAGE_CHILD, "s") \
    X(49, PIVOT, "pivot", STAGE_CHILD, "u") \
    X(50, TERMINAL, "terminal", STAGE_CHILD, "uuu") \
    X(51, NAME_SERVER, "name-server.listen", STAGE_CHILD, "su") \
    X(60, RLIMIT, "rlimit", STAGE_CHILD, "uuuu") \
    X(62, KEYRING, "keyring", STAGE_CHILD, "s") \
    X(63, NO_NEW_PRIVILEGES, "no-new-privileges", STAGE_CHILD, "") \
    X(64, SECCOMP, "seccomp", STAGE_CHILD, "bu") \
    X(65, BOUNDING, "capabilities.bounding", STAGE_CHILD, "u") \
    X(66, USER, "user", STAGE_CHILD, "uunu") \
    X(67, CAPABILITIES, "capabilities", STAGE_CHILD, "uuuu") \
    X(68, WORKING_DIRECTORY, "working-directory", STAGE_CHILD, "su") \
    X(69, EXECUTE, "execute", STAGE_CHILD, "sll") \
    X(70, HOLD, "hold", STAGE_CHILD, "") \
    X(80, LABEL, "label", STAGE_CHILD, "ls") \
    X(81, MOUNT_LABEL, "mount.label", STAGE_CHILD, "ss") \
    X(82, RELABEL, "relabel", STAGE_MONITOR, "sussl") \
    X(83, SECCOMP_RECORD, "seccomp.record", STAGE_MONITOR, "s") \
    X(84, SECCOMP_TRACE, "seccomp.trace", STAGE_CHILD, "") \
    X(85, LANDLOCK, "landlock", STAGE_CHILD, "uuulnnn") \
    X(72, ADOPT, "adopt", STAGE_MONITOR, "ss") \
    X(73, STREAMS_INHERIT, "streams.inherit", STAGE_MONITOR, "us") \
    X(74, START_PIPE, "start-pipe", STAGE_MONITOR, "s") \
    X(75, AWAIT_START, "await-start", STAGE_CHILD, "ss") \
    X(76, ROOT_OPEN, "root.open", STAGE_HOST, "s") \
    X(90, FAIL_MONITOR, "fail.monitor", STAGE_MONITOR, "u") \
    X(91, FAIL_HOST, "fail.host", STAGE_HOST, "u") \
    X(92, FAIL_CHILD, "fail.child", STAGE_CHILD, "u")

enum op {
#define X(code, identifier, name, stage, schema) OP_##identifier = (code),
    STEP_VOCABULARY(X)
#undef X
};

struct vocabulary_entry {
    uint32_t op;
    const char *name;
    enum stage stage;
    const char *schema;
};

extern const struct vocabulary_entry vocabulary[];
extern const size_t vocabulary_length;

struct field {
    uint64_t number;         /* 'u' */
    const char *string;      /* 's' (NUL-terminated, no NUL inside) and 'b' */
    size_t length;           /* bytes of 's' and 'b', items of 'l' and 'n' */
    const char **list;       /* 'l', NULL-terminated */
    const uint8_t *numbers;  /* 'n', unaligned: read by plan_number */
};

struct step {
    const struct vocabulary_entry *entry;
    struct field fields[STEP_MAX_FIELDS];
};

struct plan {
    struct step *steps;
    uint32_t length;
};

/* Decodes `size` bytes into `plan`, whose strings point into `bytes`. Returns 0, or -1 with a reason that is a constant
 * string; on failure nothing stays allocated. */
int plan_decode(const uint8_t *bytes, size_t size, struct plan *plan, const char **reason);
void plan_free(struct plan *plan);

/* The number at `index` of an 'n' field. */
uint64_t plan_number(const struct field *field, size_t index);
#endif
