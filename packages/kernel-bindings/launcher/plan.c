/* Decodes launch plans: no byte is used before its bound was checked. */
#include "plan.h"

#include <stdlib.h>
#include <string.h>

const struct vocabulary_entry vocabulary[] = {
#define X(code, identifier, name, stage, schema) {(code), name, stage, schema},
    STEP_VOCABULARY(X)
#undef X
};
const size_t vocabulary_length = sizeof vocabulary / sizeof vocabulary[0];

struct reader {
    const uint8_t *at;
    const uint8_t *end;
};

static size_t left(const struct reader *reader) { return (size_t)(reader->end - reader->at); }

static int take_u32(struct reader *reader, uint32_t *value) {
    if (left(reader) < sizeof *value) return -1;
    memcpy(value, reader->at, sizeof *value);
    reader->at += sizeof *value;
    return 0;
}

static int take_u64(struct reader *reader, uint64_t *value) {
    if (left(reader) < sizeof *value) return -1;
    memcpy(value, reader->at, sizeof *value);
    reader->at += sizeof *value;
    return 0;
}

static int take_bytes(struct reader *reader, const char **bytes, size_t *length) {
    uint32_t size;
    if (take_u32(reader, &size) < 0 || left(reader) < size) return -1;
    *bytes = (const char *)reader->at;
    *length = size;
    reader->at += size;
    return 0;
}

/* A string carries its NUL on the wire, so that it can be used where it stands. */
static int take_string(struct reader *reader, const char **string, size_t *length) {
    if (take_bytes(reader, string, length) < 0 || left(reader) < 1 || *reader->at != 0) return -1;
    reader->at += 1;
    return memchr(*string, 0, *length) ? -1 : 0;
}

static int take_list(struct reader *reader, struct field *field) {
    uint32_t count;
    if (take_u32(reader, &count) < 0) return -1;
    if (count > left(reader) / 5) return -1; /* each item is at least a length and a NUL */
    field->list = calloc((size_t)count + 1, sizeof *field->list);
    if (!field->list) return -1;
    field->length = count;
    for (uint32_t i = 0; i < count; i++) {
        size_t length;
        if (take_string(reader, &field->list[i], &length) < 0) return -1;
    }
    return 0;
}

static int take_numbers(struct reader *reader, struct field *field) {
    uint32_t count;
    if (take_u32(reader, &count) < 0 || count > left(reader) / 8) return -1;
    field->numbers = reader->at;
    field->length = count;
    reader->at += (size_t)count * 8;
    return 0;
}

uint64_t plan_number(const struct field *field, size_t index) {
    uint64_t value;
    memcpy(&value, field->numbers + index * sizeof value, sizeof value);
    return value;
}

static int take_field(struct reader *reader, char type, struct field *field) {
    switch (type) {
    case 'u': return take_u64(reader, &field->number);
    case 's': return take_string(reader, &field->string, &field->length);
    case 'b': return take_bytes(reader, &field->string, &field->length);
    case 'l': return take_list(reader, field);
    case 'n': return take_numbers(reader, field);
    default: return -1;
    }
}

static const struct vocabulary_entry *entry_of(uint32_t op) {
    for (size_t i = 0; i < vocabulary_length; i++)
        if (vocabulary[i].op == op) return &vocabulary[i];
    return NULL;
}

static int take_step(struct reader *reader, struct step *step) {
    uint32_t op, size;
    if (take_u32(reader, &op) < 0 || take_u32(reader, &size) < 0 || left(reader) < size) return -1;
    step->entry = entry_of(op);
    if (!step->entry) return -1;
    struct reader payload = {reader->at, reader->at + size};
    for (size_t i = 0; step->entry->schema[i]; i++)
        if (take_field(&payload, step->entry->schema[i], &step->fields[i]) < 0) return -1;
    if (left(&payload) != 0) return -1;
    reader->at += size;
    return 0;
}

int plan_decode(const uint8_t *bytes, size_t size, struct plan *plan, const char **reason) {
    struct reader reader = {bytes, bytes + size};
    uint32_t version, length;
    *plan = (struct plan){0};
    *reason = "not a launch plan";
    if (size < 4 || size > PLAN_MAX_BYTES || memcmp(bytes, "TSDP", 4) != 0) return -1;
    reader.at += 4;
    if (take_u32(&reader, &version) < 0 || take_u32(&reader, &length) < 0) return -1;
    *reason = "unknown plan version";
    if (version != PLAN_VERSION) return -1;
    *reason = "too many steps";
    if (length > PLAN_MAX_STEPS || length > left(&reader) / 8) return -1;
    plan->steps = calloc(length ? length : 1, sizeof *plan->steps);
    *reason = "out of memory";
    if (!plan->steps) return -1;
    plan->length = length;
    *reason = "malformed step";
    for (uint32_t i = 0; i < length; i++)
        if (take_step(&reader, &plan->steps[i]) < 0) goto bad;
    if (left(&reader) == 0) return 0;
    *reason = "bytes after the last step";
bad:
    plan_free(plan);
    return -1;
}

void plan_free(struct plan *plan) {
    for (uint32_t i = 0; i < plan->length; i++)
        for (size_t j = 0; j < STEP_MAX_FIELDS; j++) free(plan->steps[i].fields[j].list);
    free(plan->steps);
    *plan = (struct plan){0};
}
