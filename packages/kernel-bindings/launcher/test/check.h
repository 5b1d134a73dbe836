/* The least a C test needs: a check that tells where it failed, and a count. */
#ifndef TSD_CHECK_H
#define TSD_CHECK_H
#include <stdio.h>
#include <stdlib.h>

static unsigned checks;
#define CHECK(condition)                                                        \
    do {                                                                        \
        checks++;                                                               \
        if (!(condition)) {                                                     \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                            \
        }                                                                       \
    } while (0)
#endif
