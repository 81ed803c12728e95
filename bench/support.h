/* What the benchmark programs share: the clock, peak memory, medians, number arguments. They print
 * one JSON object per line, which bench/run.py puts beside the other side's. */
#ifndef BENCH_SUPPORT_H
#define BENCH_SUPPORT_H

#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/threads.h"

/* Seconds on a clock that only goes forward. */
double bench_seconds(void);

/* Most memory that this process has had, in MiB (VmHWM); 0 where the system does not tell. */
double bench_peak_mebibytes(void);

/* Median of `count` > 0 values; puts them in order. */
double bench_median(double *values, int count);

/* A whole number of at least `least` from the command line; ends the program when it is none. */
int64_t bench_number(const char *text, const char *name, int64_t least);

/* Ends the program with the error's message unless the status is STATUS_OK. */
void bench_require(enum status status, const struct error *error);

struct bench_span {
    const void *memory;
    int64_t bytes;
};

/* Reads spans of memory and does nothing with them, by all threads; returns bytes a second. */
double bench_read_rate(struct thread_pool *pool, const struct bench_span *spans, int count);

/* All documents of a corpus of JSON lines, in memory. */
struct bench_corpus {
    struct buffer text;
    int64_t *offsets; /* count + 1 */
    int64_t count;
};
void bench_corpus_read(const char *path, struct bench_corpus *corpus);
void bench_corpus_free(struct bench_corpus *corpus);

#endif
