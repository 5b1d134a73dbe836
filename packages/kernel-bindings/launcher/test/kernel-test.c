/* Tests of the system calls' wrappers: a path that goes up is opened while others rename files. */
#include "../kernel.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "check.h"

#define LOOKUPS 200000

static void rename_for_ever(void) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;)
        if (rename("a", "b") < 0 || rename("b", "a") < 0) _exit(1);
}

static void opens_while_others_rename(void) {
    char directory[] = "/tmp/tsd-kernel-test-XXXXXX";
    CHECK(mkdtemp(directory) && chdir(directory) == 0);
    CHECK(mkdir("down", 0700) == 0 && mkdir("beside", 0700) == 0 && symlink("../beside", "down/link") == 0 && mkdir("a", 0700) == 0);
    int root = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    CHECK(root >= 0);
    pid_t renamer = fork();
    if (renamer == 0) rename_for_ever();
    CHECK(renamer > 0);
    for (int i = 0; i < LOOKUPS; i++) {
        int found = kernel_openat2(root, "down/link", O_PATH, i % 2 ? RESOLVE_BENEATH : RESOLVE_IN_ROOT);
        CHECK(found >= 0);
        close(found);
    }
    CHECK(kill(renamer, SIGKILL) == 0 && waitpid(renamer, NULL, 0) == renamer);
    CHECK(kernel_openat2(root, "../etc", O_PATH, RESOLVE_BENEATH) < 0 && errno == EXDEV);
    close(root);
    unlink("down/link");
    rmdir("down");
    rmdir("beside");
    rmdir("a");
    rmdir("b");
    CHECK(chdir("/") == 0 && rmdir(directory) == 0);
}

int main(void) {
    opens_while_others_rename();
    printf("kernel: %u checks\n", checks);
}
