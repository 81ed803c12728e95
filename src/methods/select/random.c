/* See random.h. Each document draws a number by its index; the largest win, so the choice depends
 * on neither threads nor shards. */
#include "methods/select/random.h"

#include "base/random.h"

static enum status run(const struct select_job *job, const void *options,
                       struct select_result *result, struct error *error)
{
    (void)options;
    struct chunks chunks = {0};
    enum status status =
        chunks_open(job->pool_paths, job->pool_count, &job->chunks, &chunks, error);
    while (status == STATUS_OK) {
        const struct document *documents;
        int64_t count;
        status = chunks_next(&chunks, job->threads, &documents, &count, error);
        if (status != STATUS_OK || count == 0)
            break;
        for (int64_t i = 0; i < count; i++)
            result->pool_bytes += (int64_t)documents[i].length;
        result->pool_documents += count;
        if (job->progress)
            job->progress(job->context, "counting", corpus_progress(chunks.corpus));
    }
    int64_t wanted;
    result->eligible = result->pool_documents;
    if (chunks.corpus)
        result->counts = *corpus_counts(chunks.corpus);
    result->duplicates = chunks.duplicates;
    chunks_close(&chunks);
    if (status == STATUS_OK)
        status = select_budget(job, result->eligible, result->pool_documents, &wanted, error);
    if (status == STATUS_OK)
        status = topk_create(&result->chosen, wanted, error);
    for (int64_t i = 0; status == STATUS_OK && i < result->pool_documents; i++)
        topk_offer(
            &result->chosen,
            random_uniform((struct random_address){job->seed, RANDOM_SELECT, 0, 0}, (uint64_t)i),
            i);
    if (status == STATUS_OK)
        topk_sort(&result->chosen);
    result->metrics = json_object();
    return status;
}

const struct select_method select_random = {
    .name = "random",
    .title = "Uniform choice without replacement; the baseline",
    .citation = "-",
    .run = run,
};
