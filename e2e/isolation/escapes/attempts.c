/* Tries one thing that a container should not be able to do; run by the tests of escapes, inside containers and out.
 *
 *   attempts NAME [ARGUMENT…]   says "through" when the kernel let it pass, "refused: ERRNO" when it did not
 *
 * What could harm the machine is asked for with arguments that fail after the kernel's permission check. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_alg.h>
#include <linux/io_uring.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <linux/sched.h>
#include <linux/userfaultfd.h>
#include <linux/vm_sockets.h>
#include <net/ethernet.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/io.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char **words; /* arguments, NULL-terminated */

static const char *word(int index) {
    for (int i = 0; i < index; i++)
        if (!words[i]) return "";
    return words[index] ? words[index] : "";
}

/* Passed unless it failed with what a refusal looks like; other errors come after the permission check. */
static int passed(long result) {
    return result >= 0 || (errno != EPERM && errno != EACCES && errno != ENOSYS && errno != EAFNOSUPPORT && errno != EROFS) ? 0 : -1;
}

static int opened(int file) {
    if (file < 0) return -1;
    close(file);
    return 0;
}

/* Files */
static int attempt_read(void) {
    char byte;
    int file = open(word(0), O_RDONLY | O_NONBLOCK);
    if (file < 0) return -1;
    ssize_t size = read(file, &byte, 1);
    close(file);
    if (size == 0) errno = ENODATA; /* a mask */
    return size > 0 ? 0 : -1;
}
static int attempt_write(void) { return opened(open(word(0), O_WRONLY)); }
static int attempt_list(void) {
    char command[4200];
    snprintf(command, sizeof command, "[ -n \"$(ls -A '%s' 2>/dev/null)\" ]", word(0));
    errno = ENODATA;
    return system(command) == 0 ? 0 : -1;
}

/* By what it is on the disk: "print PATH" says a file's handle, "handle MOUNT TYPE BYTES" opens it from any mount of its disk. */
struct handle {
    struct file_handle header;
    unsigned char bytes[128];
};
static int attempt_print_handle(void) {
    struct handle handle = {.header = {.handle_bytes = 128}};
    int mount;
    if (name_to_handle_at(AT_FDCWD, word(0), &handle.header, &mount, 0) < 0) return -1;
    printf("%d ", handle.header.handle_type);
    for (unsigned i = 0; i < handle.header.handle_bytes; i++) printf("%02x", handle.bytes[i]);
    printf("\n");
    exit(0);
}
static int attempt_handle(void) {
    struct handle handle = {.header = {.handle_type = atoi(word(1))}};
    const char *text = word(2);
    handle.header.handle_bytes = (unsigned)strlen(text) / 2;
    for (unsigned i = 0; i < handle.header.handle_bytes && i < sizeof handle.bytes; i++) sscanf(text + 2 * i, "%2hhx", &handle.bytes[i]);
    int mount = open(word(0), O_RDONLY);
    if (mount < 0) return -1;
    char content[64] = "";
    int file = open_by_handle_at(mount, &handle.header, O_RDONLY);
    if (file < 0) return -1;
    if (read(file, content, sizeof content - 1) > 0) printf("%s", content);
    return 0;
}
static int attempt_mknod(void) {
    unlink("/tmp/node");
    if (mknod("/tmp/node", S_IFBLK | 0600, makedev(atoi(word(0)), atoi(word(1)))) < 0) return -1;
    return opened(open("/tmp/node", O_RDONLY));
}

/* Mounts and namespaces */
static int attempt_mount(void) { return mount("none", "/tmp", "tmpfs", 0, NULL); }
static int attempt_umount(void) { return umount2(word(0), MNT_DETACH); }
static int attempt_remount(void) { return mount(NULL, word(0), NULL, MS_REMOUNT | MS_BIND, NULL); }
static int attempt_fsopen(void) { return opened((int)syscall(SYS_fsopen, "tmpfs", 0)); }
static int attempt_open_tree(void) { return opened((int)syscall(SYS_open_tree, AT_FDCWD, "/", 1)); }
static int attempt_pivot_root(void) { return passed(syscall(SYS_pivot_root, "/nowhere", "/nowhere")); }
static int attempt_unshare(void) { return unshare((int)strtol(word(0), NULL, 0)); }
static int attempt_clone(void) {
    long pid = syscall(SYS_clone, strtol(word(0), NULL, 0) | SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0) _exit(0);
    if (pid > 0) waitpid((pid_t)pid, NULL, 0);
    return pid < 0 ? -1 : 0;
}
static int attempt_clone3(void) {
    struct clone_args arguments = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
    long pid = syscall(SYS_clone3, &arguments, sizeof arguments);
    if (pid == 0) _exit(0);
    if (pid > 0) waitpid((pid_t)pid, NULL, 0);
    return pid < 0 ? -1 : 0;
}
static int attempt_setns(void) {
    int namespace = open("/proc/self/ns/uts", O_RDONLY);
    return namespace < 0 ? -1 : setns(namespace, 0);
}

/* Processes */
static int attempt_kill(void) { return kill(atoi(word(0)), 0); }
static int attempt_ptrace(void) {
    pid_t pid = atoi(word(0));
    if (ptrace(PTRACE_SEIZE, pid, 0, 0) < 0) return -1;
    return 0; /* it goes on when this ends */
}
static int attempt_read_memory(void) {
    char byte;
    struct iovec here = {&byte, 1}, there = {(void *)0x400000, 1};
    long size = process_vm_readv(atoi(word(0)), &here, 1, &there, 1, 0);
    return size < 0 && errno == EFAULT ? 0 : size < 0 ? -1 : 0;
}
static int attempt_kcmp(void) { return passed(syscall(SYS_kcmp, getpid(), getpid(), 0, 0, 0)); }

/* Kernel interfaces */
static int attempt_bpf(void) {
    union bpf_attr attributes = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 8, .max_entries = 1};
    return opened((int)syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof attributes));
}
static int attempt_userfaultfd(void) { return opened((int)syscall(SYS_userfaultfd, O_CLOEXEC)); }
static int attempt_io_uring(void) {
    struct io_uring_params parameters = {0};
    return opened((int)syscall(SYS_io_uring_setup, 1, &parameters));
}
static int attempt_perf(void) {
    struct perf_event_attr attributes = {.type = PERF_TYPE_SOFTWARE, .size = sizeof attributes, .config = PERF_COUNT_SW_CPU_CLOCK, .exclude_kernel = 1};
    return opened((int)syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0));
}
static int attempt_add_key(void) { return syscall(SYS_add_key, "user", "attempt", "x", 1, KEY_SPEC_SESSION_KEYRING) < 0 ? -1 : 0; }
static int attempt_keyctl(void) { return passed(syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_KEYRING, 0)); }
static int attempt_init_module(void) { return passed(syscall(SYS_init_module, "none", 4, "")); }
static int attempt_finit_module(void) {
    int file = open("/proc/self/exe", O_RDONLY);
    return passed(syscall(SYS_finit_module, file, "", 0));
}
static int attempt_delete_module(void) { return passed(syscall(SYS_delete_module, "no_such_module", O_NONBLOCK)); }
static int attempt_kexec(void) { return passed(syscall(SYS_kexec_load, 0, 1000, NULL, ~0ul)); }
static int attempt_reboot(void) { return passed(syscall(SYS_reboot, 1, 2, 3, NULL)); }
static int attempt_swapon(void) { return passed(swapon("/no/such/file", 0)); }
static int attempt_acct(void) { return passed(syscall(SYS_acct, "/no/such/file")); }
static int attempt_quotactl(void) { return passed(syscall(SYS_quotactl, 0x800002 << 8, "/no/such/device", 0, NULL)); }
static int attempt_settime(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return clock_settime(CLOCK_REALTIME, &now);
}
static int attempt_adjtimex(void) {
    struct timex change = {.modes = ADJ_TICK, .tick = 10000};
    return adjtimex(&change) < 0 ? -1 : 0;
}
static int attempt_syslog(void) {
    char text[4096];
    return klogctl(3, text, sizeof text) < 0 ? -1 : 0;
}
static int attempt_iopl(void) { return iopl(3); }
static int attempt_personality(void) { return personality(ADDR_NO_RANDOMIZE | ADDR_COMPAT_LAYOUT) < 0 ? -1 : 0; }
static int attempt_fanotify(void) { return opened(fanotify_init(FAN_CLASS_CONTENT, O_RDONLY)); }
static int attempt_mempolicy(void) { return passed(syscall(SYS_set_mempolicy, 0, NULL, 0)); }
static int attempt_vhangup(void) { return passed(vhangup()); }

/* Sockets */
static int attempt_af_alg(void) { return opened(socket(AF_ALG, SOCK_SEQPACKET, 0)); }
static int attempt_af_vsock(void) { return opened(socket(AF_VSOCK, SOCK_STREAM, 0)); }
static int attempt_af_packet(void) { return opened(socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL))); }

/* A control group hierarchy with its release_agent, as cgroups(7) has it for version 1: mounted anew, opened for writing. */
static int attempt_release_agent(void) {
    mkdir("/tmp/cg", 0700);
    if (mount("cgroup", "/tmp/cg", "cgroup", 0, word(0)) < 0) return -1;
    return opened(open("/tmp/cg/release_agent", O_WRONLY));
}

/* Writes to the program of whoever comes in by executing what leads to itself (CVE-2019-5736): it can be opened for reading
 * while it runs, and written to through that descriptor once it has ended. */
static int overwrite_program(int pid, time_t end) {
    char path[64], program[4096] = "";
    snprintf(path, sizeof path, "/proc/%d/exe", pid);
    if (readlink(path, program, sizeof program - 1) < 0 || !strstr(program, word(0))) return -1;
    int held = open(path, O_RDONLY);
    if (held < 0) return -1;
    snprintf(path, sizeof path, "/proc/self/fd/%d", held);
    while (time(NULL) < end) {
        int file = open(path, O_WRONLY | O_APPEND);
        if (file >= 0) return write(file, "#overwritten", 12) == 12 ? 0 : -1;
        if (errno != ETXTBSY) return -1;
    }
    close(held);
    return -1;
}
static int attempt_overwrite(void) {
    time_t end = time(NULL) + atoi(word(1));
    printf("waiting\n");
    fflush(stdout);
    for (int pid = 2; time(NULL) < end; pid = pid < 300 ? pid + 1 : 2)
        if (pid != getpid() && overwrite_program(pid, end) == 0) return 0;
    return -1;
}

/* Exchanges a directory with a link to another place, over and over. */
static int attempt_swap(void) {
    char link[4096];
    snprintf(link, sizeof link, "%s.link", word(0));
    if (symlink(word(1), link) < 0 && errno != EEXIST) return -1;
    printf("swapping\n");
    fflush(stdout);
    for (;;)
        if (renameat2(AT_FDCWD, word(0), AT_FDCWD, link, RENAME_EXCHANGE) < 0) return -1;
}

/* Comes in as a careless runtime would: "enter PID PROGRAM [DIRECTORY]", with the host's root left open as descriptor 9, and
 * DIRECTORY taken as it is. */
static int attempt_enter(void) {
    char path[64];
    dup2(open("/", O_RDONLY), 9);
    snprintf(path, sizeof path, "/proc/%s/ns/pid", word(0));
    int pids = open(path, O_RDONLY);
    snprintf(path, sizeof path, "/proc/%s/ns/mnt", word(0));
    int mounts = open(path, O_RDONLY);
    if (setns(pids, 0) < 0 || setns(mounts, 0) < 0) return -1;
    pid_t child = fork();
    if (child == 0) {
        if (*word(2) && chdir(word(2)) < 0) _exit(1);
        char *arguments[] = {(char *)word(1), words[2] ? words[3] : NULL, words[2] && words[3] ? words[4] : NULL, NULL};
        execv(arguments[0], arguments);
        _exit(errno);
    }
    int status;
    waitpid(child, &status, 0);
    exit(WEXITSTATUS(status));
}

static const struct {
    const char *name;
    int (*attempt)(void);
} attempts[] = {
    {"read", attempt_read}, {"write", attempt_write}, {"list", attempt_list},
    {"print-handle", attempt_print_handle}, {"handle", attempt_handle}, {"mknod", attempt_mknod},
    {"mount", attempt_mount}, {"umount", attempt_umount}, {"remount", attempt_remount},
    {"fsopen", attempt_fsopen}, {"open_tree", attempt_open_tree}, {"pivot_root", attempt_pivot_root},
    {"unshare", attempt_unshare}, {"clone", attempt_clone}, {"clone3", attempt_clone3}, {"setns", attempt_setns},
    {"kill", attempt_kill}, {"ptrace", attempt_ptrace}, {"read-memory", attempt_read_memory}, {"kcmp", attempt_kcmp},
    {"bpf", attempt_bpf}, {"userfaultfd", attempt_userfaultfd}, {"io_uring", attempt_io_uring}, {"perf", attempt_perf},
    {"add_key", attempt_add_key}, {"keyctl", attempt_keyctl},
    {"init_module", attempt_init_module}, {"finit_module", attempt_finit_module}, {"delete_module", attempt_delete_module},
    {"kexec", attempt_kexec}, {"reboot", attempt_reboot}, {"swapon", attempt_swapon}, {"acct", attempt_acct},
    {"quotactl", attempt_quotactl}, {"settime", attempt_settime}, {"adjtimex", attempt_adjtimex},
    {"syslog", attempt_syslog}, {"iopl", attempt_iopl}, {"personality", attempt_personality},
    {"fanotify", attempt_fanotify}, {"mempolicy", attempt_mempolicy}, {"vhangup", attempt_vhangup},
    {"af_alg", attempt_af_alg}, {"af_vsock", attempt_af_vsock}, {"af_packet", attempt_af_packet},
    {"overwrite", attempt_overwrite}, {"swap", attempt_swap}, {"enter", attempt_enter}, {"release-agent", attempt_release_agent},
};

int main(int count, char **arguments) {
    words = count > 2 ? arguments + 2 : (char *[]){NULL};
    for (size_t i = 0; count > 1 && i < sizeof attempts / sizeof *attempts; i++) {
        if (strcmp(arguments[1], attempts[i].name)) continue;
        if (attempts[i].attempt() == 0) printf("through\n");
        else printf("refused: %s\n", strerrorname_np(errno));
        return 0;
    }
    fprintf(stderr, "usage: attempts NAME [ARGUMENT…]\n");
    return 2;
}
