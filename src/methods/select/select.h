/* The select stage: from a pool of documents, those worth training on. A method scores and chooses;
 * the stage reads, cuts and deduplicates the pool and writes what was chosen. */
#ifndef METHODS_SELECT_SELECT_H
#define METHODS_SELECT_SELECT_H

#include <jansson.h>
#include <stdint.h>

#include "base/options.h"
#include "base/topk.h"
#include "data/chunks.h"

struct select_job {
    const char *const *pool_paths;
    int64_t pool_count;
    const char *const *target_paths; /* a sample of the domain */
    int64_t target_count;
    struct chunk_options chunks; /* how pool and target are cut */
    int64_t count;               /* documents wanted; 0: by share */
    double share;                /* of the pool's documents */
    uint64_t seed;
    struct thread_pool *threads;
    /* Told now and then what is being done, and how far in [0, 1]; NULL allowed. */
    void (*progress)(void *context, const char *what, double done);
    void *context;
};

struct select_result {
    struct topk chosen; /* by score, best first */
    int64_t pool_documents, pool_bytes, eligible, duplicates;
    json_t *metrics;   /* what the method has to say, e.g. the KL reduction */
    char warning[512]; /* empty: none */
    struct corpus_counts counts;
};

struct select_method {
    const char *name, *title, *citation;
    const struct option *options; /* into a struct of options_size bytes */
    size_t options_size;
    enum status (*run)(const struct select_job *job, const void *options,
                       struct select_result *result, struct error *error);
};

/* The methods, ended by NULL. */
extern const struct select_method *const select_methods[];
const struct select_method *select_method_by_name(const char *name);

/* Runs the method, then writes the chosen documents as JSON lines {"text", "index", "score"} in the
 * pool's order. Free the result with select_result_free. */
enum status select_run(const struct select_method *method, const struct select_job *job,
                       const void *options, const char *output, struct select_result *result,
                       struct error *error);
void select_result_free(struct select_result *result);

/* Documents wanted of `eligible`: the count, or the share; an error names both when too few. */
enum status select_budget(const struct select_job *job, int64_t eligible, int64_t documents,
                          int64_t *wanted, struct error *error);

#endif
