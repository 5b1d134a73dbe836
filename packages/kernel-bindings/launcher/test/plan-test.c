/* The decoder: takes what the encoder makes, and nothing that was cut, lengthened or tampered with beyond its bounds. */
#include <string.h>

#include "../plan.h"
#include "check.h"

static uint8_t bytes[4096];
static size_t size;

static void put(const void *value, size_t length) {
    memcpy(bytes + size, value, length);
    size += length;
}
static void put_u32(uint32_t value) { put(&value, sizeof value); }
static void put_u64(uint64_t value) { put(&value, sizeof value); }
static void put_string(const char *string) {
    put_u32((uint32_t)strlen(string));
    put(string, strlen(string) + 1);
}

static void begin(uint32_t steps) {
    size = 0;
    put("TSDP", 4);
    put_u32(PLAN_VERSION);
    put_u32(steps);
}

static size_t begin_step(uint32_t op) {
    put_u32(op);
    put_u32(0);
    return size;
}
static void end_step(size_t start) {
    uint32_t length = (uint32_t)(size - start);
    memcpy(bytes + start - 4, &length, sizeof length);
}

static void sample(void) {
    begin(3);
    size_t step = begin_step(OP_HOSTNAME);
    put_string("box");
    end_step(step);
    step = begin_step(OP_EXECUTE);
    put_string("sh");
    put_u32(2);
    put_string("sh");
    put_string("-c");
    put_u32(1);
    put_string("PATH=/bin");
    end_step(step);
    step = begin_step(OP_USER);
    put_u64(1000);
    put_u64(100);
    put_u32(2);
    put_u64(4);
    put_u64(24);
    put_u64(022);
    end_step(step);
}

static int decode(struct plan *plan) {
    const char *reason;
    return plan_decode(bytes, size, plan, &reason);
}

static void takes_a_plan(void) {
    struct plan plan;
    sample();
    CHECK(decode(&plan) == 0);
    CHECK(plan.length == 3);
    CHECK(strcmp(plan.steps[0].fields[0].string, "box") == 0);
    CHECK(plan.steps[1].fields[1].length == 2);
    CHECK(strcmp(plan.steps[1].fields[1].list[1], "-c") == 0);
    CHECK(plan.steps[1].fields[1].list[2] == NULL);
    CHECK(plan_number(&plan.steps[2].fields[2], 1) == 24);
    CHECK(plan.steps[2].fields[3].number == 022);
    plan_free(&plan);
}

static void refuses_every_cut(void) {
    struct plan plan;
    sample();
    for (size_t whole = size; size-- > 0;) {
        CHECK(decode(&plan) == -1);
        CHECK(plan.steps == NULL);
        (void)whole;
    }
}

static void refuses_more_than_there_is(void) {
    struct plan plan;
    sample();
    put("x", 1);
    CHECK(decode(&plan) == -1);
    begin(0xffffffff);
    CHECK(decode(&plan) == -1);
    begin(1);
    size_t step = begin_step(OP_CGROUP_ENTER);
    put_u32(0x40000000); /* a list that would need gigabytes */
    end_step(step);
    CHECK(decode(&plan) == -1);
}

static void refuses_strange_strings_and_steps(void) {
    struct plan plan;
    begin(1);
    size_t step = begin_step(OP_HOSTNAME);
    put_u32(3);
    put("a\0b\0", 4); /* a NUL inside */
    end_step(step);
    CHECK(decode(&plan) == -1);
    begin(1);
    step = begin_step(9999);
    end_step(step);
    CHECK(decode(&plan) == -1);
    sample();
    bytes[4] = 9; /* another version */
    CHECK(decode(&plan) == -1);
}

/* Any one byte changed: decoded or refused, never out of bounds (the sanitizers watch). */
static void survives_every_change(void) {
    struct plan plan;
    sample();
    for (size_t at = 0; at < size; at++)
        for (unsigned value = 0; value < 256; value += 5) {
            uint8_t kept = bytes[at];
            bytes[at] = (uint8_t)value;
            if (decode(&plan) == 0) plan_free(&plan);
            bytes[at] = kept;
            checks++;
        }
}

/* With an argument it writes the sample plan there: a seed for the fuzzer. */
static int write_sample(const char *path) {
    sample();
    FILE *file = fopen(path, "w");
    return file && fwrite(bytes, 1, size, file) == size && fclose(file) == 0 ? 0 : 1;
}

int main(int count, char **arguments) {
    if (count > 1) return write_sample(arguments[1]);
    takes_a_plan();
    refuses_every_cut();
    refuses_more_than_there_is();
    refuses_strange_strings_and_steps();
    survives_every_change();
    printf("plan: %u checks\n", checks);
}
