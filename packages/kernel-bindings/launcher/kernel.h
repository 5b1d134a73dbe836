/* The system calls that the C library does not wrap, and the constants its headers may lack. */
#ifndef TSD_KERNEL_H
#define TSD_KERNEL_H
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/close_range.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline int kernel_fsopen(const char *type) { return (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC); }
static inline int kernel_fsconfig(int fs, unsigned command, const char *key, const void *value, int auxiliary) {
    return (int)syscall(SYS_fsconfig, fs, command, key, value, auxiliary);
}
static inline int kernel_fsmount(int fs, uint64_t attributes) {
    return (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, (unsigned)attributes);
}
static inline int kernel_open_tree(int directory, const char *path, unsigned flags) {
    return (int)syscall(SYS_open_tree, directory, path, flags | OPEN_TREE_CLOEXEC);
}
/* Attaches the mount `from` is a descriptor of at the place `to` is a descriptor of. */
static inline int kernel_move_mount(int from, int to) {
    return (int)syscall(SYS_move_mount, from, "", to, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}
static inline int kernel_mount_setattr(int directory, const char *path, unsigned flags, struct mount_attr *attributes) {
    return (int)syscall(SYS_mount_setattr, directory, path, flags, attributes, sizeof *attributes);
}
/* Where a path that may not leave a directory goes up (".."), the kernel says EAGAIN when anything at all was mounted or renamed on
 * the machine meanwhile (openat2(2)). Somebody who does nothing else does not hold us up for ever. */
#define OPENAT2_ATTEMPTS 1000
static inline int kernel_openat2(int directory, const char *path, uint64_t flags, uint64_t resolve) {
    struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = resolve};
    int result;
    for (int attempt = 0; attempt < OPENAT2_ATTEMPTS; attempt++)
        if ((result = (int)syscall(SYS_openat2, directory, path, &how, sizeof how)) >= 0 || errno != EAGAIN) break;
    return result;
}
static inline int kernel_pivot_root(const char *root, const char *old) { return (int)syscall(SYS_pivot_root, root, old); }
static inline int kernel_close_range(unsigned first, unsigned last, unsigned flags) {
    return (int)syscall(SYS_close_range, first, last, flags);
}
static inline pid_t kernel_clone3(struct clone_args *arguments) {
    return (pid_t)syscall(SYS_clone3, arguments, sizeof *arguments);
}
static inline int kernel_bpf(int command, union bpf_attr *attributes) {
    return (int)syscall(SYS_bpf, command, attributes, sizeof *attributes);
}
static inline int kernel_pidfd_open(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }
static inline int kernel_pidfd_send_signal(int pidfd, int signal) {
    return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0);
}
#endif
