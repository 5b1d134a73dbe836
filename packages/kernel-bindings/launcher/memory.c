/* Hears from the kernel when a control group has run out of memory (Documentation/admin-guide/cgroup-v1/memory.rst, "OOM
 * Control"; cgroup-v2.rst, "memory.events"). */
#include "memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

/* The file's count of killed processes; false when the group is gone. */
static bool count_kills(const char *path, uint64_t *kills) {
    char text[512], *line;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return false;
    ssize_t size = read(file, text, sizeof text - 1);
    close(file);
    if (size < 0) return false;
    text[size] = 0;
    line = strstr(text, "oom_kill ");
    *kills = line ? strtoull(line + strlen("oom_kill "), NULL, 10) : 0;
    return true;
}

/* Version 1: an eventfd is given to the group by a line in its file of event controls. */
static int watch_controlled(struct context *context, const char *events, const char *controls) {
    char line[32];
    int watched = open(events, O_RDONLY | O_CLOEXEC);
    if (watched < 0) return fail(context, "open", events);
    int descriptor = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (descriptor < 0) {
        close(watched);
        return fail(context, "eventfd", events);
    }
    int length = snprintf(line, sizeof line, "%d %d", descriptor, watched);
    int result = write_file(context, controls, line, (size_t)length);
    close(watched);
    if (result == 0) return descriptor;
    close(descriptor);
    return -1;
}

static int watch_changes(struct context *context, const char *events) {
    int descriptor = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (descriptor < 0) return fail(context, "inotify_init1", events);
    if (inotify_add_watch(descriptor, events, IN_MODIFY) >= 0) return descriptor;
    fail(context, "inotify_add_watch", events);
    close(descriptor);
    return -1;
}

int memory_watch(struct context *context, const struct step *step) {
    const char *events = step->fields[0].string, *controls = step->fields[1].string;
    struct memory_watch *watch = &context->memory;
    watch->counted = *controls == 0;
    watch->descriptor = watch->counted ? watch_changes(context, events) : watch_controlled(context, events, controls);
    if (watch->descriptor < 0) return -1;
    watch->events = strdup(events); /* the plan's bytes go once the process runs */
    return watch->events ? 0 : fail(context, "strdup", events);
}

bool memory_ran_out(struct memory_watch *watch) {
    char bytes[sizeof(struct inotify_event) + 256];
    uint64_t kills;
    bool heard = false;
    while (read(watch->descriptor, bytes, sizeof bytes) > 0) heard = true;
    /* Version 1 says the same when the group is removed. */
    if (!count_kills(watch->events, &kills)) {
        close(watch->descriptor);
        watch->descriptor = -1;
        return false;
    }
    if (watch->counted) heard = kills > watch->kills;
    watch->kills = kills;
    if (heard) watch->told++;
    return heard;
}
