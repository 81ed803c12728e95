/* See prepare.h. Documents of a batch are worked on in parallel; results are joined in order. */
#include "run/prepare.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "data/shard.h"

uint64_t prepare_tokenizer_hash(const struct tokenizer *t)
{
    const struct split_pattern *single = t->normalizer ? NULL : pre_single(t->pre);
    const char *pattern = single ? split_text(single) : "";
    uint64_t hash = XXH3_64bits(pattern, strlen(pattern)) + (uint64_t)t->kind;
    for (int i = TOK_NORMALIZER; i <= TOK_PRE_TOKENIZER && !single; i++)
        if (t->sections[i])
            hash = XXH3_64bits_withSeed(t->sections[i], strlen(t->sections[i]), hash);
    for (int32_t i = 0; i < t->count; i++)
        hash = XXH3_64bits_withSeed(t->pieces[i].bytes, t->pieces[i].length,
                                    hash + t->pieces[i].special);
    return XXH3_64bits_withSeed(t->merge_order, (size_t)t->merge_count * sizeof *t->merge_order,
                                hash);
}

struct counting {
    struct tok_counter *counters;
    const struct document *documents;
    enum status *statuses; /* one a thread */
};

static void count_documents(void *context, int64_t begin, int64_t end, int thread)
{
    struct counting *c = context;
    for (int64_t i = begin; i < end; i++) {
        enum status status =
            tok_count(&c->counters[thread], c->documents[i].text, c->documents[i].length, NULL);
        if (status != STATUS_OK)
            c->statuses[thread] = status;
    }
}

static enum status count_corpus(const struct prepare_job *job, struct counting *c, int threads,
                                struct prepare_result *result, struct error *error)
{
    struct corpus *corpus;
    enum status status = corpus_open(job->paths, job->path_count, &job->corpus, &corpus, error);
    if (status != STATUS_OK)
        return status;
    int64_t count = 1;
    while (status == STATUS_OK && count > 0) {
        status = corpus_next(corpus, job->threads, &c->documents, &count, error);
        if (status == STATUS_OK)
            thread_pool_for(job->threads, count, 8, count_documents, c);
        for (int i = 0; i < threads && status == STATUS_OK; i++)
            if (c->statuses[i] != STATUS_OK)
                status = error_no_memory(error, 0);
        if (job->progress)
            job->progress(job->context, "counting words", corpus_progress(corpus));
    }
    result->counts = *corpus_counts(corpus);
    corpus_close(corpus);
    return status;
}

static void report_merges(void *context, int32_t done, int32_t total)
{
    const struct prepare_job *job = context;
    if (job->progress)
        job->progress(job->context, "merging", (double)done / total);
}

enum status prepare_tokenizer(const struct prepare_job *job, int32_t vocabulary,
                              struct tokenizer *tokenizer, struct prepare_result *result,
                              struct error *error)
{
    *result = (struct prepare_result){0};
    int threads = thread_pool_size(job->threads);
    struct counting c = {calloc((size_t)threads, sizeof *c.counters), NULL,
                         calloc((size_t)threads, sizeof *c.statuses)};
    enum status status = STATUS_OK;
    if (!c.counters || !c.statuses)
        status = error_no_memory(error, (size_t)threads * sizeof *c.counters);
    if (status == STATUS_OK)
        status = count_corpus(job, &c, threads, result, error);
    for (int i = 1; i < threads && status == STATUS_OK; i++)
        status = tok_counter_merge(&c.counters[0], &c.counters[i], error);
    const char *const specials[] = {"<|endoftext|>"};
    struct tok_train_options options = {.vocabulary = vocabulary,
                                        .least_count = 2,
                                        .specials = specials,
                                        .special_count = 1,
                                        .eos = specials[0],
                                        .progress = report_merges,
                                        .context = (void *)(uintptr_t)job};
    if (status == STATUS_OK && c.counters[0].words.count == 0)
        status =
            error_set(error, STATUS_FAILED, "%s: no text to learn a tokenizer from", job->paths[0]);
    if (status == STATUS_OK)
        status = tok_train(&c.counters[0], &options, tokenizer, error);
    for (int i = 0; c.counters && i < threads; i++)
        tok_counter_free(&c.counters[i]);
    free(c.counters);
    free(c.statuses);
    return status;
}

struct encoding {
    const struct tokenizer *tokenizer;
    const struct examples *examples;
    struct buffer *stretches; /* of struct stretch; one a document of the batch */
    bool strict;
    struct prepare_result *result;
    struct tok_scratch *scratches; /* one a thread */
    const struct document *documents;
    struct tok_ids *ids; /* one a document of the batch */
    int64_t capacity;
    enum status *statuses; /* one a thread, as the next two */
    struct error *errors;
    int64_t *failed; /* the document of the error: a thread takes them in order, and stops there */
};

static void encode_examples(void *context, int64_t begin, int64_t end, int thread)
{
    struct encoding *e = context;
    for (int64_t i = begin; i < end && e->statuses[thread] == STATUS_OK; i++) {
        struct error *error = &e->errors[thread], cause = {0};
        e->ids[i].count = 0;
        buffer_clear(&e->stretches[i]);
        enum status status = example_encode(e->examples, &e->scratches[thread], &e->documents[i],
                                            &e->ids[i], &e->stretches[i], &cause);
        if (status == STATUS_FAILED) { /* this record is none */
            buffer_clear(&e->stretches[i]);
            status = e->strict ? status : STATUS_OK;
        }
        if (status != STATUS_OK) {
            e->statuses[thread] = status;
            e->failed[thread] = i;
            error_set(error, status, "record %lld: %s", (long long)e->documents[i].index + 1,
                      cause.message);
        }
    }
}

static void encode_documents(void *context, int64_t begin, int64_t end, int thread)
{
    struct encoding *e = context;
    for (int64_t i = begin; i < end && e->statuses[thread] == STATUS_OK; i++) {
        e->ids[i].count = 0;
        enum status status =
            tok_encode(e->tokenizer, &e->scratches[thread], e->documents[i].text,
                       e->documents[i].length, false, &e->ids[i], &e->errors[thread]);
        if (status == STATUS_OK && e->tokenizer->eos >= 0)
            status = tok_ids_add(&e->ids[i], &e->tokenizer->eos, 1, &e->errors[thread]);
        if (status != STATUS_OK) {
            e->statuses[thread] = status;
            e->failed[thread] = i;
        }
    }
}

static enum status encode_batch(struct encoding *e, struct thread_pool *threads, int64_t count,
                                struct error *error)
{
    if (count > e->capacity) {
        struct tok_ids *grown = realloc(e->ids, (size_t)count * sizeof *grown);
        if (!grown)
            return error_no_memory(error, (size_t)count * sizeof *grown);
        memset(grown + e->capacity, 0, (size_t)(count - e->capacity) * sizeof *grown);
        e->ids = grown;
        struct buffer *more = realloc(e->stretches, (size_t)count * sizeof *more);
        if (!more)
            return error_no_memory(error, (size_t)count * sizeof *more);
        memset(more + e->capacity, 0, (size_t)(count - e->capacity) * sizeof *more);
        e->stretches = more;
        e->capacity = count;
    }
    thread_pool_for(threads, count, 4, e->examples ? encode_examples : encode_documents, e);
    int first = -1;
    for (int i = 0; i < thread_pool_size(threads); i++)
        if (e->statuses[i] != STATUS_OK && (first < 0 || e->failed[i] < e->failed[first]))
            first = i;
    if (first >= 0 && error)
        *error = e->errors[first];
    return first >= 0 ? e->statuses[first] : STATUS_OK;
}

/* What is wrong with a record that gave no example: told once more, for the first. */
static void note_bad(struct encoding *e, const struct document *document)
{
    struct tok_ids ids = {0};
    struct buffer stretches = {0};
    struct error cause = {.message = "nothing to learn"};
    if (e->result->bad_examples++ > 0)
        return;
    example_encode(e->examples, &e->scratches[0], document, &ids, &stretches, &cause);
    snprintf(e->result->first_bad, sizeof e->result->first_bad, "record %lld: %.200s",
             (long long)document->index + 1, cause.message);
    tok_ids_free(&ids);
    buffer_free(&stretches);
}

static enum status write_batch(struct encoding *e, int64_t count, struct shard_writer writers[2],
                               double held_share, uint64_t seed, struct error *error)
{
    enum status status = STATUS_OK;
    for (int64_t i = 0; i < count && status == STATUS_OK; i++) {
        const struct document *d = &e->documents[i];
        bool held = held_share > 0 &&
                    document_held_out(document_hash(d->text, d->length), held_share, seed);
        const struct stretch *stretches = e->examples ? (const void *)e->stretches[i].data : NULL;
        size_t stretch_count = e->examples ? e->stretches[i].length / sizeof *stretches : 0;
        if (e->examples && stretch_count == 0) {
            note_bad(e, d);
            continue;
        }
        for (size_t j = 0; j < stretch_count && status == STATUS_OK; j++)
            status = shard_writer_stretch(&writers[held], stretches[j], error);
        if (status != STATUS_OK)
            break;
        status = shard_writer_add(&writers[held], e->ids[i].items, e->ids[i].count,
                                  (int64_t)d->length, error);
    }
    return status;
}

static enum status encode_corpus(const struct prepare_job *job, struct encoding *e,
                                 struct shard_writer writers[2], double held_share, uint64_t seed,
                                 struct prepare_result *result, struct error *error)
{
    struct corpus *corpus;
    enum status status = corpus_open(job->paths, job->path_count, &job->corpus, &corpus, error);
    if (status != STATUS_OK)
        return status;
    int64_t count = 1;
    while (status == STATUS_OK && count > 0) {
        status = corpus_next(corpus, job->threads, &e->documents, &count, error);
        if (status == STATUS_OK)
            status = encode_batch(e, job->threads, count, error);
        if (status == STATUS_OK)
            status = write_batch(e, count, writers, held_share, seed, error);
        if (job->progress)
            job->progress(job->context, "tokenizing", corpus_progress(corpus));
    }
    result->counts = *corpus_counts(corpus);
    corpus_close(corpus);
    return status;
}

enum status prepare_shards(const struct prepare_job *job, const struct tokenizer *tokenizer,
                           const char *path, const char *held_path, double held_share,
                           uint64_t seed, struct prepare_result *result, struct error *error)
{
    *result = (struct prepare_result){0};
    size_t threads = (size_t)thread_pool_size(job->threads);
    struct encoding e = {.tokenizer = tokenizer,
                         .examples = job->examples,
                         .strict = job->corpus.strict,
                         .result = result,
                         .scratches = calloc(threads, sizeof *e.scratches),
                         .statuses = calloc(threads, sizeof *e.statuses),
                         .errors = calloc(threads, sizeof *e.errors),
                         .failed = calloc(threads, sizeof *e.failed)};
    uint64_t hash = prepare_tokenizer_hash(tokenizer);
    struct shard_writer writers[2] = {0};
    enum status status = STATUS_OK;
    if (!e.scratches || !e.statuses || !e.errors || !e.failed)
        status = error_no_memory(error, threads * sizeof *e.errors);
    if (status == STATUS_OK)
        status = shard_writer_open(&writers[0], path, tokenizer->count, hash, error);
    if (status == STATUS_OK && held_share > 0)
        status = shard_writer_open(&writers[1], held_path, tokenizer->count, hash, error);
    if (status == STATUS_OK)
        status = encode_corpus(job, &e, writers, held_share, seed, result, error);
    result->tokens = writers[0].tokens;
    result->held_tokens = writers[1].tokens;
    for (int i = 0; i < 2; i++) {
        if (status == STATUS_OK && (i == 0 || held_share > 0))
            status = shard_writer_close(&writers[i], error);
        else
            shard_writer_abort(&writers[i]);
    }
    for (size_t i = 0; e.scratches && i < threads; i++)
        tok_scratch_free(&e.scratches[i]);
    for (int64_t i = 0; i < e.capacity; i++)
        tok_ids_free(&e.ids[i]);
    for (int64_t i = 0; i < e.capacity; i++)
        buffer_free(&e.stretches[i]);
    free(e.stretches);
    free(e.ids);
    free(e.scratches);
    free(e.statuses);
    free(e.errors);
    free(e.failed);
    return status;
}
