/* The monitor: carries a plan out, then looks after its process until the end. */
#ifndef TSD_MONITOR_H
#define TSD_MONITOR_H
#include "protocol.h"

/* Runs in the forked process; `descriptors` are the plan, the control connection and the clients. Does not return. */
_Noreturn void monitor_main(const struct launch_request *request, const int *descriptors);
#endif
