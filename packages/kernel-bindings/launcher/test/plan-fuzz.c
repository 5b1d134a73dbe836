/* libFuzzer's entry to the decoder: whatever decodes is read whole. */
#include <string.h>

#include "../plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct plan plan;
    const char *reason;
    volatile size_t sum = 0;
    if (plan_decode(data, size, &plan, &reason) < 0) return 0;
    for (uint32_t i = 0; i < plan.length; i++)
        for (size_t j = 0; plan.steps[i].entry->schema[j]; j++) {
            const struct field *field = &plan.steps[i].fields[j];
            switch (plan.steps[i].entry->schema[j]) {
            case 's': sum += strlen(field->string); break;
            case 'b': for (size_t k = 0; k < field->length; k++) sum += (size_t)field->string[k]; break;
            case 'l': for (size_t k = 0; k < field->length; k++) sum += strlen(field->list[k]); break;
            case 'n': for (size_t k = 0; k < field->length; k++) sum += (size_t)plan_number(field, k); break;
            default: sum += (size_t)field->number;
            }
        }
    plan_free(&plan);
    return 0;
}
