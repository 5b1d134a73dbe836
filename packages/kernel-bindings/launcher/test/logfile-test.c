/* The log: lines whole, escapes as JSON wants them, long lines in parts, rotation. */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../logfile.h"
#include "check.h"

static char directory[] = "/tmp/tsd-logfile-XXXXXX";
static char path[64];
static char text[1 << 20];

static const char *contents(const char *name) {
    FILE *file = fopen(name, "r");
    size_t length = file ? fread(text, 1, sizeof text - 1, file) : 0;
    text[length] = 0;
    if (file) fclose(file);
    return text;
}

static unsigned lines(const char *string) {
    unsigned count = 0;
    for (; *string; string++) count += *string == '\n';
    return count;
}

static void escapes(void) {
    char out[256];
    const char input[] = "a\"\\\n\r\t\x01<>&\xc3\xa9\xff\xed\xa0\x80";
    size_t length = logfile_escape(input, sizeof input - 1, out);
    out[length] = 0;
    CHECK(strcmp(out, "a\\\"\\\\\\n\\r\\t\\u0001\\u003c\\u003e\\u0026\xc3\xa9\\ufffd\\ufffd\\ufffd\\ufffd") == 0);
}

static void writes_whole_lines(void) {
    static struct logfile log;
    CHECK(logfile_open(&log, path, 0, 1) == 0);
    CHECK(logfile_write(&log, 0, "one\ntwo", 7) == 0);
    CHECK(lines(contents(path)) == 1);
    CHECK(logfile_write(&log, 1, "error\n", 6) == 0);
    CHECK(logfile_write(&log, 0, " more\n", 6) == 0);
    CHECK(strstr(contents(path), "{\"log\":\"two more\\n\",\"stream\":\"stdout\",\"time\":\"2"));
    CHECK(strstr(contents(path), "\"stream\":\"stderr\""));
    CHECK(logfile_write(&log, 0, "no newline", 10) == 0);
    CHECK(lines(contents(path)) == 3);
    CHECK(logfile_finish(&log) == 0);
    CHECK(strstr(contents(path), "{\"log\":\"no newline\",\"stream\""));
    close(log.file);
    unlink(path);
}

static void parts_long_lines(void) {
    static struct logfile log;
    static char line[LOG_LINE_MAX * 2 + 10];
    memset(line, 'x', sizeof line);
    line[sizeof line - 1] = '\n';
    CHECK(logfile_open(&log, path, 0, 1) == 0);
    CHECK(logfile_write(&log, 0, line, sizeof line) == 0);
    CHECK(lines(contents(path)) == 3);
    /* The worst a line can become: every byte six. */
    memset(line, 1, sizeof line);
    CHECK(logfile_write(&log, 1, line, sizeof line) == 0);
    CHECK(logfile_finish(&log) == 0);
    close(log.file);
    unlink(path);
}

static void rotates(void) {
    static struct logfile log;
    char old[80];
    CHECK(logfile_open(&log, path, 1000, 3) == 0);
    for (unsigned i = 0; i < 100; i++) CHECK(logfile_write(&log, 0, "0123456789\n", 11) == 0);
    struct stat status;
    CHECK(stat(path, &status) == 0 && status.st_size <= 1100);
    snprintf(old, sizeof old, "%s.2", path);
    CHECK(stat(old, &status) == 0 && status.st_size <= 1100);
    unlink(old);
    snprintf(old, sizeof old, "%s.3", path);
    CHECK(stat(old, &status) < 0);
    snprintf(old, sizeof old, "%s.1", path);
    CHECK(unlink(old) == 0);
    close(log.file);
    unlink(path);
}

int main(void) {
    CHECK(mkdtemp(directory) != NULL);
    snprintf(path, sizeof path, "%s/log", directory);
    escapes();
    writes_whole_lines();
    parts_long_lines();
    rotates();
    CHECK(rmdir(directory) == 0);
    printf("logfile: %u checks\n", checks);
}
