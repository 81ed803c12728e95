/* Times learning a byte-level BPE tokenizer and encoding with it, from texts in memory.
 *
 *   bench_tokenizer CORPUS.jsonl VOCABULARY THREADS OUTPUT.json */
#include <stdio.h>
#include <stdlib.h>

#include "support.h"
#include "text/tokenizer_train.h"

struct job {
    const struct bench_corpus *corpus;
    const struct tokenizer *tokenizer;
    struct tok_counter *counters; /* one a thread, as all below */
    struct tok_scratch *scratches;
    struct tok_ids *ids;
    int threads;
    enum status status;
    struct error error;
};

static void count_documents(void *context, int64_t begin, int64_t end, int thread)
{
    struct job *job = context;
    const struct bench_corpus *corpus = job->corpus;
    for (int64_t i = begin; i < end; i++)
        if (tok_count(&job->counters[thread], corpus->text.data + corpus->offsets[i],
                      (size_t)(corpus->offsets[i + 1] - corpus->offsets[i]), NULL) != STATUS_OK)
            job->status = STATUS_NO_MEMORY;
}

static void encode_documents(void *context, int64_t begin, int64_t end, int thread)
{
    struct job *job = context;
    const struct bench_corpus *corpus = job->corpus;
    for (int64_t i = begin; i < end; i++)
        if (tok_encode(job->tokenizer, &job->scratches[thread],
                       corpus->text.data + corpus->offsets[i],
                       (size_t)(corpus->offsets[i + 1] - corpus->offsets[i]), false,
                       &job->ids[thread], NULL) != STATUS_OK)
            job->status = STATUS_NO_MEMORY;
}

static void train(struct job *job, struct thread_pool *pool, int32_t vocabulary,
                  struct tokenizer *tokenizer, double *count_seconds, double *train_seconds)
{
    double begin = bench_seconds();
    thread_pool_for(pool, job->corpus->count, 8, count_documents, job);
    bench_require(job->status, &job->error);
    for (int i = 1; i < job->threads; i++)
        bench_require(tok_counter_merge(&job->counters[0], &job->counters[i], &job->error),
                      &job->error);
    *count_seconds = bench_seconds() - begin;
    struct tok_train_options options = {.vocabulary = vocabulary, .least_count = 2};
    bench_require(tok_train(&job->counters[0], &options, tokenizer, &job->error), &job->error);
    *train_seconds = bench_seconds() - begin;
}

int main(int count, char **arguments)
{
    if (count != 5) {
        fprintf(stderr, "usage: %s CORPUS.jsonl VOCABULARY THREADS OUTPUT.json\n", arguments[0]);
        return 2;
    }
    struct bench_corpus corpus;
    bench_corpus_read(arguments[1], &corpus);
    int32_t vocabulary = (int32_t)bench_number(arguments[2], "vocabulary", 256);
    struct thread_pool *pool;
    struct job job = {.corpus = &corpus, .error.message = "out of memory"};
    bench_require(
        thread_pool_create((int)bench_number(arguments[3], "threads", 0), &pool, &job.error),
        &job.error);
    job.threads = thread_pool_size(pool);
    job.counters = calloc((size_t)job.threads, sizeof *job.counters);
    job.scratches = calloc((size_t)job.threads, sizeof *job.scratches);
    job.ids = calloc((size_t)job.threads, sizeof *job.ids);
    if (!job.counters || !job.scratches || !job.ids)
        bench_require(error_no_memory(&job.error, 0), &job.error);
    struct tokenizer tokenizer;
    double count_seconds, train_seconds;
    train(&job, pool, vocabulary, &tokenizer, &count_seconds, &train_seconds);
    job.tokenizer = &tokenizer;
    double begin = bench_seconds();
    thread_pool_for(pool, corpus.count, 8, encode_documents, &job);
    double encode_seconds = bench_seconds() - begin;
    bench_require(job.status, &job.error);
    int64_t ids = 0;
    for (int i = 0; i < job.threads; i++)
        ids += job.ids[i].count;
    bench_require(tok_save(&tokenizer, arguments[4], &job.error), &job.error);
    double megabytes = 1e-6 * (double)corpus.text.length;
    printf("{\"megabytes\": %.2f, \"threads\": %d, \"vocabulary\": %d, \"count_seconds\": %.4f, "
           "\"train_seconds\": %.4f, \"encode_seconds\": %.4f, \"ids\": %lld}\n",
           megabytes, job.threads, tokenizer.count, count_seconds, train_seconds, encode_seconds,
           (long long)ids);
    for (int i = 0; i < job.threads; i++) {
        tok_counter_free(&job.counters[i]);
        tok_scratch_free(&job.scratches[i]);
        tok_ids_free(&job.ids[i]);
    }
    free(job.counters);
    free(job.scratches);
    free(job.ids);
    tok_free(&tokenizer);
    thread_pool_free(pool);
    bench_corpus_free(&corpus);
    return 0;
}
