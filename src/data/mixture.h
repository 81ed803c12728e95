/* Training batches: windows of tokens cut from shards, in an order that is a pure function of seed
 * and place in the run. A source is walked through in a fresh random order each time round; which
 * source a row comes from is drawn by weights that may change over the run. */
#ifndef DATA_MIXTURE_H
#define DATA_MIXTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "data/shard.h"

#define MIXTURE_SOURCES 64

struct mixture_source {
    struct shard shard;
    double weight, final_weight; /* at the start and at the end of the run, linear between */
    int64_t drawn;               /* rows taken so far */
};

struct mixture {
    struct mixture_source sources[MIXTURE_SOURCES];
    int count;
    int64_t window; /* tokens in a row, T */
    uint64_t seed;
    int64_t rows;       /* taken so far, all sources */
    int64_t total_rows; /* in the whole run, for the weights */
};

/* Windows that a shard can give: T + 1 tokens each, overlapping by one. At least 1, when the shard
 * has 2 tokens; a short last window is moved back to fit. */
int64_t mixture_windows(const struct mixture *mixture, int source);

/* Checks that all sources can give windows and that weights make sense. `names` for messages. */
enum status mixture_check(const struct mixture *mixture, const char *const *names,
                          struct error *error);

/* Arrays of (count, T). */
struct mixture_rows {
    int32_t *tokens, *targets, *positions, *segment_start;
    float *weights; /* 0 where the target is the start of another document, or padding */
};

/* The next rows. */
enum status mixture_next(struct mixture *mixture, int64_t count, const struct mixture_rows *rows,
                         struct error *error);
/* Moves to where the run was after `rows` rows: replays the choice of sources without reading. */
void mixture_seek(struct mixture *mixture, int64_t rows);

/* Which windows of a shard are evaluated, and what of them. */
struct mixture_reading {
    int64_t window;      /* tokens */
    int64_t most_tokens; /* windows are spread evenly over the shard when there are more; 0: all */
    /* As llama.cpp measures: whole windows only, of which tokens count that have at least half a
     * window before them; their first token gives way to `begin` (-1: it stays). */
    bool second_half;
    int32_t begin;
};

/* Windows that are read. */
int64_t mixture_reading_count(const struct shard *shard, const struct mixture_reading *reading);
/* The `index`-th of them as a row. They lie one after the other, so that every token is the target
 * of exactly one; padding beyond the end has weight 0. */
enum status mixture_read(const struct shard *shard, const struct mixture_reading *reading,
                         int64_t index, int64_t row, const struct mixture_rows *rows,
                         struct error *error);

#endif
