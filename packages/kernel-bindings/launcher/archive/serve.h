/* Many archives by one process, which forks for each: faster than executing this program anew. */
#ifndef TSD_ARCHIVE_SERVE_H
#define TSD_ARCHIVE_SERVE_H

/* Serves until whoever asks is gone. Returns in each child, with its arguments. */
char **serve(int *count);
#endif
