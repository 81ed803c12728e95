/* Times the select stage with DSIR from JSON lines on disk to JSON lines on disk.
 *
 *   bench_dsir POOL.jsonl TARGET.jsonl COUNT THREADS OUTPUT.jsonl */
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "methods/select/dsir.h"
#include "support.h"

int main(int count, char **arguments)
{
    if (count != 6) {
        fprintf(stderr, "usage: %s POOL.jsonl TARGET.jsonl COUNT THREADS OUTPUT.jsonl\n",
                arguments[0]);
        return 2;
    }
    struct error error;
    uint64_t bytes;
    bench_require(file_size(arguments[1], &bytes, &error), &error);
    struct arena arena = {0};
    struct option_set set = {.arena = &arena};
    void *options = calloc(1, select_dsir.options_size);
    if (!options)
        bench_require(error_no_memory(&error, select_dsir.options_size), &error);
    bench_require(option_add(&set, NULL, select_dsir.options, options, &error), &error);
    const char *pool = arguments[1], *target = arguments[2];
    struct select_job job = {.pool_paths = &pool,
                             .pool_count = 1,
                             .target_paths = &target,
                             .target_count = 1,
                             .count = bench_number(arguments[3], "count", 1),
                             .seed = 1};
    bench_require(
        thread_pool_create((int)bench_number(arguments[4], "threads", 0), &job.threads, &error),
        &error);
    struct select_result result;
    double begin = bench_seconds();
    bench_require(select_run(&select_dsir, &job, options, arguments[5], &result, &error), &error);
    double seconds = bench_seconds() - begin;
    printf("{\"megabytes\": %.3f, \"threads\": %d, \"seconds\": %.5f, \"documents\": %lld, "
           "\"peak_mib\": %.1f}\n",
           1e-6 * (double)bytes, thread_pool_size(job.threads), seconds,
           (long long)result.pool_documents, bench_peak_mebibytes());
    select_result_free(&result);
    thread_pool_free(job.threads);
    free(options);
    arena_free(&arena);
    return 0;
}
