/* The log: lines whole, escapes as JSON wants them, long lines in parts, rotation, compression. Takes the compressor. */
#include <stdbool.h>
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
    CHECK(logfile_open(&log, &(struct log_settings){.path = path}) == 0);
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
    CHECK(logfile_open(&log, &(struct log_settings){.path = path}) == 0);
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
    CHECK(logfile_open(&log, &(struct log_settings){path, 1000, 3, NULL}) == 0);
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

static const char *numbered(const char *suffix) {
    static char name[80];
    snprintf(name, sizeof name, "%s%s", path, suffix);
    return name;
}

static void put(const char *suffix, const char *line) {
    FILE *file = fopen(numbered(suffix), "w");
    CHECK(file && fputs(line, file) >= 0 && fclose(file) == 0);
}

/* The only line of a file that is the output of `program`, then nothing is left of it. */
static bool holds(const char *program, const char *suffix, const char *line) {
    char command[128];
    snprintf(command, sizeof command, "%s < %s 2>&1", program, numbered(suffix));
    FILE *output = popen(command, "r");
    size_t length = output ? fread(text, 1, sizeof text - 1, output) : 0;
    text[length] = 0;
    if (output) pclose(output);
    unlink(numbered(suffix));
    return strcmp(text, line) == 0;
}

static bool is_there(const char *suffix) { return access(numbered(suffix), F_OK) == 0; }

static void fills_a_gap_before_it_drops(void) {
    struct rotation rotation;
    rotation_open(&rotation, path, 4, NULL);
    put("", "new\n"), put(".2", "old\n"), put(".3.gz", "oldest\n");
    CHECK(rotation_rotate(&rotation) == 0);
    CHECK(holds("cat", ".1", "new\n") && is_there(".2") && is_there(".3.gz") && !is_there(""));
    put(".1", "newer\n");
    CHECK(rotation_rotate(&rotation) == 0);
    CHECK(!is_there(".1") && !is_there(".3.gz"));
    CHECK(holds("cat", ".2", "newer\n") && holds("cat", ".3", "old\n"));
}

static void compresses(const char *compressor) {
    struct rotation rotation;
    /* Left by a monitor that was killed: a plain file, and a pair. */
    put(".1", "one\n"), put(".2", "two\n"), put(".2.gz", "whole"), put(".3", "three\n");
    rotation_open(&rotation, path, 5, compressor);
    /* Meanwhile the files move on. */
    put("", "zero\n");
    CHECK(rotation_rotate(&rotation) == 0);
    rotation_finish(&rotation);
    CHECK(rotation_descriptor(&rotation) < 0);
    CHECK(!is_there(".1") && !is_there(".2") && !is_there(".3") && !is_there(".4"));
    CHECK(holds("gzip -dc", ".1.gz", "zero\n") && holds("gzip -dc", ".2.gz", "one\n"));
    CHECK(holds("cat", ".3.gz", "whole") && holds("gzip -dc", ".4.gz", "three\n"));
}

static void keeps_what_is_rotated_out_away(const char *compressor) {
    struct rotation rotation;
    put(".1", "one\n");
    rotation_open(&rotation, path, 2, compressor);
    put("", "two\n");
    CHECK(rotation_rotate(&rotation) == 0);
    rotation_finish(&rotation);
    CHECK(holds("gzip -dc", ".1.gz", "two\n") && !is_there(".1") && !is_there(".2.gz"));
}

static void stays_plain_where_nothing_compresses(void) {
    struct rotation rotation;
    put(".1", "one\n");
    rotation_open(&rotation, path, 3, "/bin/false");
    rotation_finish(&rotation);
    CHECK(!is_there(".1.gz") && holds("cat", ".1", "one\n"));
}

int main(int count, char **arguments) {
    CHECK(count == 2);
    CHECK(mkdtemp(directory) != NULL);
    snprintf(path, sizeof path, "%s/log", directory);
    escapes();
    writes_whole_lines();
    parts_long_lines();
    rotates();
    fills_a_gap_before_it_drops();
    compresses(arguments[1]);
    keeps_what_is_rotated_out_away(arguments[1]);
    stays_plain_where_nothing_compresses();
    CHECK(rmdir(directory) == 0);
    printf("logfile: %u checks\n", checks);
}
