/* Locks this process into a directory before it looks at what a stranger made: root, capabilities, and no new code. */
#include "confine.h"

#include <errno.h>
#include <iconv.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <locale.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A library that loads something late (character sets, name services) would load it from the stranger's root
 * (CVE-2019-14271): from here on nothing can be mapped or made executable. */
static int refuse_new_code(void) {
#define ARGUMENT(index) (offsetof(struct seccomp_data, args) + (index) * sizeof(uint64_t))
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execve, 7, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execveat, 6, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pkey_mprotect, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARGUMENT(2)),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}

static int keep_capabilities(uint64_t mask) {
    for (unsigned long capability = 0; capability < 64; capability++)
        if (!(mask >> capability & 1) && prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0) break;
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {0};
    for (int half = 0; half < 2; half++)
        data[half].effective = data[half].permitted = (uint32_t)(mask >> (32 * half));
    return (int)syscall(SYS_capset, &header, data);
}

bool prepare(void) {
    if (!setlocale(LC_CTYPE, "C.UTF-8")) return false;
    iconv_t tables = iconv_open("UTF-8", "UTF-8");
    if (tables != (iconv_t)-1) iconv_close(tables);
    return true;
}

int confine(int root, bool overlay_notes, const char **call) {
    if (!prepare()) return *call = "setlocale", errno = ENOENT, -1;
    if (fchdir(root) < 0) return *call = "fchdir", -1;
    if (chroot(".") < 0) return *call = "chroot", -1;
    close(root);
    uint64_t mask = 1ull << CAP_CHOWN | 1ull << CAP_DAC_OVERRIDE | 1ull << CAP_DAC_READ_SEARCH | 1ull << CAP_FOWNER |
                    1ull << CAP_FSETID | 1ull << CAP_MKNOD | 1ull << CAP_SETFCAP;
    if (overlay_notes) mask |= 1ull << CAP_SYS_ADMIN;
    if (keep_capabilities(mask) < 0) return *call = "capset", -1;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return *call = "prctl", -1;
    if (refuse_new_code() < 0) return *call = "seccomp", -1;
    return 0;
}
