/* System call traces: a filter that asks before every call, and whoever answers and counts (seccomp_unotify(2)). */
#ifndef TSD_TRACE_H
#define TSD_TRACE_H
#include <stdbool.h>

#include "context.h"

struct trace;

/* In the child: from here on each of its calls, and of its children's, is asked for. */
int child_seccomp_trace(struct context *context);

/* In the monitor: takes the listener, which the child has (or will have in a moment) as this descriptor; NULL with errno
 * if it can't be had. */
struct trace *trace_start(struct context *context, uint32_t number);
/* The descriptor to poll, or -1. */
int trace_listener(const struct trace *trace);
/* Counts one call and lets it go on; false when there will be no more. */
bool trace_answer(struct trace *trace);
/* Answers no more. */
void trace_stop(struct trace *trace);
/* Writes down what was counted, and lets go of the trace (or NULL). */
void trace_end(struct trace *trace);
#endif
