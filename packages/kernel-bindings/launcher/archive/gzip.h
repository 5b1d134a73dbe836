/* Compresses standard input to standard output, a file: a log's, for the container's monitor. */
#ifndef TSD_GZIP_H
#define TSD_GZIP_H

/* Returns 0 when all of it is on the disk; ends with words otherwise. */
int gzip(void);
#endif
