/* See dsir.h. The pool is read once for counting, its n-grams being kept in memory up to a limit;
 * what does not fit is read and hashed again for the weights. */
#include "methods/select/dsir.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"

#define FLOOR 1e-8
#define KEPT_NGRAMS ((int64_t)96 << 20) /* n-grams kept in memory between the passes */
#define FEW_NGRAMS 200000               /* of the target, below which smoothing is needed */
#define LEAST_NGRAMS 100                /* of the target: below, its counts say nothing */
#define LEAST_REDUCTION 0.05            /* nats; below it the selection has not come nearer */

struct dsir_options {
    int64_t ngrams, buckets, least_words, fit;
    double lambda;
    const char *sampling;
};

static const struct option options[] = {
    {"ngrams", 0, OPTION_INT, offsetof(struct dsir_options, ngrams), "2", 1, 5, NULL, NULL,
     "longest n-gram, in words"},
    {"buckets", 0, OPTION_INT, offsetof(struct dsir_options, buckets), "10000", 16, 1 << 24, NULL,
     NULL, "buckets that n-grams are hashed into"},
    {"min-words", 0, OPTION_INT, offsetof(struct dsir_options, least_words), "100", 0, 1e9, NULL,
     NULL, "documents of fewer words are not chosen"},
    {"lambda", 0, OPTION_REAL, offsetof(struct dsir_options, lambda), "-1", -1, 1e9, NULL, NULL,
     "smoothing of the target; -1: 1 for targets below 200000 n-grams, else 0"},
    {"fit", 0, OPTION_INT, offsetof(struct dsir_options, fit), "0", 0, 1e15, NULL, "N-GRAMS",
     "fit the pool's model on that many n-grams; 0: 100000 per bucket"},
    {"sampling", 0, OPTION_CHOICE, offsetof(struct dsir_options, sampling), "gumbel", 0, 0,
     "gumbel|topk", NULL, "draw by importance, or take the largest weights"},
    {.name = NULL},
};

enum status dsir_create(struct dsir_model *model, int64_t buckets, struct error *error)
{
    *model = (struct dsir_model){.buckets = buckets};
    model->target = calloc((size_t)buckets * 3, sizeof *model->target);
    if (!model->target)
        return error_no_memory(error, (size_t)buckets * 3 * sizeof *model->target);
    model->pool = model->target + buckets;
    model->difference = model->pool + buckets;
    return STATUS_OK;
}

void dsir_free(struct dsir_model *model)
{
    free(model->target);
    *model = (struct dsir_model){0};
}

void dsir_fit(struct dsir_model *model, double lambda, double floor)
{
    double total = model->target_total + lambda * (double)model->buckets;
    for (int64_t b = 0; b < model->buckets; b++) {
        double p = (model->target[b] + lambda) / total, q = model->pool[b] / model->pool_total;
        model->difference[b] = log(p + floor) - log(q + floor);
    }
}

double dsir_log_weight(const struct dsir_model *model, const uint32_t *buckets, int64_t count)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += model->difference[buckets[i]];
    return sum;
}

int64_t dsir_length(int64_t ngrams, int most)
{
    return ngrams == 0 ? 0 : (ngrams + (int64_t)most * (most - 1) / 2) / most;
}

double dsir_divergence(const struct dsir_model *model, const double *counts, double total,
                       double floor)
{
    double sum = 0;
    for (int64_t b = 0; b < model->buckets; b++) {
        double p = model->target[b] / model->target_total;
        if (p > 0)
            sum += p * log((p + floor) / (counts[b] / total + floor));
    }
    return sum;
}

/* Reading and hashing, in parallel. */

struct hashing {
    struct ngram_hasher *hashers; /* one a thread */
    int threads;
    const struct document *documents;
    struct ngram_list *lists; /* one a document of the batch */
    int64_t capacity;
    enum status status;
    struct error error; /* the first one */
};

static void hashing_free(struct hashing *h)
{
    for (int i = 0; h->hashers && i < h->threads; i++)
        ngram_hasher_free(&h->hashers[i]);
    for (int64_t i = 0; i < h->capacity; i++)
        free(h->lists[i].items);
    free(h->hashers);
    free(h->lists);
}

static enum status hashing_create(struct hashing *h, const struct select_job *job,
                                  const struct dsir_options *o, struct error *error)
{
    *h = (struct hashing){.threads = thread_pool_size(job->threads)};
    h->hashers = calloc((size_t)h->threads, sizeof *h->hashers);
    enum status status = h->hashers ? STATUS_OK : error_no_memory(error, sizeof *h->hashers);
    for (int i = 0; i < h->threads && status == STATUS_OK; i++)
        ngram_hasher_init(&h->hashers[i], (int)o->ngrams, o->buckets);
    return status;
}

static void hash_documents(void *context, int64_t begin, int64_t end, int thread)
{
    struct hashing *h = context;
    for (int64_t i = begin; i < end; i++) {
        struct error error;
        int64_t words;
        h->lists[i].count = 0;
        enum status status = ngram_hash(&h->hashers[thread], h->documents[i].text,
                                        h->documents[i].length, &h->lists[i], &words, &error);
        if (status != STATUS_OK)
            h->status = status; /* out of memory is all that can happen */
    }
}

static enum status hash_batch(struct hashing *h, struct thread_pool *pool,
                              const struct document *documents, int64_t count, struct error *error)
{
    if (count > h->capacity) {
        struct ngram_list *grown = realloc(h->lists, (size_t)count * sizeof *grown);
        if (!grown)
            return error_no_memory(error, (size_t)count * sizeof *grown);
        memset(grown + h->capacity, 0, (size_t)(count - h->capacity) * sizeof *grown);
        h->lists = grown;
        h->capacity = count;
    }
    h->documents = documents;
    thread_pool_for(pool, count, 16, hash_documents, h);
    return h->status == STATUS_OK ? STATUS_OK : error_no_memory(error, 0);
}

/* The pool's n-grams as far as they were kept, and one entry for every document. */
struct kept {
    uint32_t *ngrams;
    int64_t count, capacity;
    int64_t *ends;    /* of a document's n-grams; -1: not kept */
    int32_t *lengths; /* n-grams of a document */
    double *weights;
    int64_t documents, document_capacity;
};

static void kept_free(struct kept *kept)
{
    free(kept->ngrams);
    free(kept->ends);
    free(kept->lengths);
    free(kept->weights);
}

static bool kept_grow(struct kept *kept)
{
    int64_t capacity = kept->document_capacity ? kept->document_capacity * 2 : 4096;
    int64_t *ends = realloc(kept->ends, (size_t)capacity * sizeof *ends);
    if (ends)
        kept->ends = ends;
    int32_t *lengths = realloc(kept->lengths, (size_t)capacity * sizeof *lengths);
    if (lengths)
        kept->lengths = lengths;
    double *weights = realloc(kept->weights, (size_t)capacity * sizeof *weights);
    if (weights)
        kept->weights = weights;
    if (!ends || !lengths || !weights)
        return false;
    kept->document_capacity = capacity;
    return true;
}

static bool keep(struct kept *kept, const struct ngram_list *list)
{
    if (kept->documents == kept->document_capacity && !kept_grow(kept))
        return false;
    kept->lengths[kept->documents] = (int32_t)(list->count < INT32_MAX ? list->count : INT32_MAX);
    kept->ends[kept->documents++] = -1;
    if (kept->count + list->count > KEPT_NGRAMS)
        return true;
    if (kept->count + list->count > kept->capacity) {
        int64_t capacity = (kept->count + list->count) * 2;
        uint32_t *grown = realloc(kept->ngrams, (size_t)capacity * sizeof *grown);
        if (!grown)
            return false;
        kept->ngrams = grown;
        kept->capacity = capacity;
    }
    if (list->count > 0)
        memcpy(kept->ngrams + kept->count, list->items, (size_t)list->count * sizeof *list->items);
    kept->count += list->count;
    kept->ends[kept->documents - 1] = kept->count;
    return true;
}

/* A pass over pool or target: `take` gets each document's n-grams in order. */
struct pass {
    const struct select_job *job;
    const struct dsir_options *options;
    struct hashing *hashing;
    struct dsir_model *model;
    struct kept *kept;
    const char *what;
    double *counts; /* of the chosen, in the last pass */
    const bool *chosen;
    int64_t documents, bytes;
};

static enum status for_all(struct pass *p, bool pool,
                           bool (*take)(struct pass *, const struct document *,
                                        const struct ngram_list *),
                           struct select_result *result, struct error *error)
{
    struct chunks chunks = {0};
    const struct select_job *job = p->job;
    enum status status =
        chunks_open(pool ? job->pool_paths : job->target_paths,
                    pool ? job->pool_count : job->target_count, &job->chunks, &chunks, error);
    while (status == STATUS_OK) {
        const struct document *documents;
        int64_t count;
        status = chunks_next(&chunks, job->threads, &documents, &count, error);
        if (status != STATUS_OK || count == 0)
            break;
        status = hash_batch(p->hashing, job->threads, documents, count, error);
        for (int64_t i = 0; i < count && status == STATUS_OK; i++) {
            p->documents++;
            p->bytes += (int64_t)documents[i].length;
            if (!take(p, &documents[i], &p->hashing->lists[i]))
                status = error_no_memory(error, (size_t)p->kept->count * sizeof(uint32_t));
        }
        if (job->progress)
            job->progress(job->context, p->what, corpus_progress(chunks.corpus));
    }
    if (result && chunks.corpus) {
        result->counts = *corpus_counts(chunks.corpus);
        result->duplicates = chunks.duplicates;
    }
    chunks_close(&chunks);
    return status;
}

static bool take_target(struct pass *p, const struct document *d, const struct ngram_list *list)
{
    (void)d;
    for (int64_t i = 0; i < list->count; i++)
        p->model->target[list->items[i]]++;
    p->model->target_total += (double)list->count;
    return true;
}

static bool take_pool(struct pass *p, const struct document *d, const struct ngram_list *list)
{
    (void)d;
    double limit = p->options->fit > 0 ? (double)p->options->fit : 1e5 * (double)p->model->buckets;
    if (p->model->pool_total < limit) {
        for (int64_t i = 0; i < list->count; i++)
            p->model->pool[list->items[i]]++;
        p->model->pool_total += (double)list->count;
    }
    return keep(p->kept, list);
}

static bool take_weight(struct pass *p, const struct document *d, const struct ngram_list *list)
{
    if (d->index < p->kept->documents && p->kept->ends[d->index] < 0)
        p->kept->weights[d->index] = dsir_log_weight(p->model, list->items, list->count);
    return true;
}

static bool take_chosen(struct pass *p, const struct document *d, const struct ngram_list *list)
{
    if (d->index < p->kept->documents && p->chosen[d->index] && p->kept->ends[d->index] < 0)
        for (int64_t i = 0; i < list->count; i++)
            p->counts[list->items[i]]++;
    return true;
}

static const uint32_t *kept_ngrams(const struct kept *kept, int64_t document)
{
    return kept->ngrams + kept->ends[document] - kept->lengths[document];
}

static enum status weigh(struct pass *p, bool *complete, struct error *error)
{
    *complete = true;
    for (int64_t i = 0; i < p->kept->documents; i++) {
        if (p->kept->ends[i] >= 0)
            p->kept->weights[i] =
                dsir_log_weight(p->model, kept_ngrams(p->kept, i), p->kept->lengths[i]);
        else
            *complete = false;
    }
    p->what = "weighing";
    return *complete ? STATUS_OK : for_all(p, true, take_weight, NULL, error);
}

static enum status choose(const struct pass *p, struct select_result *result, struct error *error)
{
    const struct kept *kept = p->kept;
    int most = (int)p->options->ngrams;
    for (int64_t i = 0; i < kept->documents; i++)
        result->eligible += dsir_length(kept->lengths[i], most) >= p->options->least_words;
    int64_t wanted;
    enum status status = select_budget(p->job, result->eligible, kept->documents, &wanted, error);
    if (status == STATUS_OK)
        status = topk_create(&result->chosen, wanted, error);
    bool noise = strcmp(p->options->sampling, "gumbel") == 0;
    struct random_address address = {p->job->seed, RANDOM_SELECT, 0, 0};
    for (int64_t i = 0; status == STATUS_OK && i < kept->documents; i++)
        if (dsir_length(kept->lengths[i], most) >= p->options->least_words)
            topk_offer(&result->chosen,
                       kept->weights[i] + (noise ? random_gumbel(address, (uint64_t)i) : 0), i);
    if (status == STATUS_OK)
        topk_sort(&result->chosen);
    return status;
}

/* How much nearer the selection is to the target than the pool: the paper's data metric. */
static enum status measure(struct pass *p, bool complete, struct select_result *result,
                           struct error *error)
{
    size_t bytes = (size_t)p->kept->documents + 1;
    bool *chosen = calloc(bytes, 1);
    p->counts = calloc((size_t)p->model->buckets, sizeof *p->counts);
    p->chosen = chosen;
    enum status status = STATUS_OK;
    if (!chosen || !p->counts)
        status = error_no_memory(error, bytes);
    for (int64_t j = 0; status == STATUS_OK && j < result->chosen.count; j++) {
        int64_t i = result->chosen.items[j].index;
        chosen[i] = true;
        for (int64_t k = 0; p->kept->ends[i] >= 0 && k < p->kept->lengths[i]; k++)
            p->counts[kept_ngrams(p->kept, i)[k]]++;
    }
    p->what = "measuring";
    if (status == STATUS_OK && !complete)
        status = for_all(p, true, take_chosen, NULL, error);
    if (status == STATUS_OK) {
        double total = 0;
        for (int64_t b = 0; b < p->model->buckets; b++)
            total += p->counts[b];
        double before = dsir_divergence(p->model, p->model->pool, p->model->pool_total, FLOOR);
        double after = total > 0 ? dsir_divergence(p->model, p->counts, total, FLOOR) : before;
        result->metrics = json_pack("{s:f,s:f,s:f,s:f,s:f}", "kl_pool", before, "kl_selected",
                                    after, "kl_reduction", before - after, "target_ngrams",
                                    p->model->target_total, "pool_ngrams", p->model->pool_total);
        if (before - after < LEAST_REDUCTION)
            snprintf(result->warning, sizeof result->warning,
                     "the selection is hardly nearer to the target than the pool (KL reduction "
                     "%.3f nats, below %.2f): the target may be too varied, the pool may lack it, "
                     "or the selection may be too small",
                     before - after, LEAST_REDUCTION);
    }
    free(chosen);
    free(p->counts);
    return status;
}

static enum status fit_and_choose(struct pass *p, struct select_result *result, struct error *error)
{
    p->what = "target";
    enum status status = for_all(p, false, take_target, NULL, error);
    if (status == STATUS_OK && p->model->target_total == 0)
        status = error_set(error, STATUS_FAILED, "%s: no words in the domain sample",
                           p->job->target_paths[0]);
    if (status == STATUS_OK && p->model->target_total < LEAST_NGRAMS)
        status = error_set(error, STATUS_FAILED,
                           "%s: %.0f n-grams are too small a domain sample to select by; at least "
                           "%d are needed",
                           p->job->target_paths[0], p->model->target_total, LEAST_NGRAMS);
    p->what = "counting";
    p->documents = p->bytes = 0;
    if (status == STATUS_OK)
        status = for_all(p, true, take_pool, result, error);
    result->pool_documents = p->documents;
    result->pool_bytes = p->bytes;
    if (status == STATUS_OK && (p->model->pool_total == 0 || !p->kept->ends))
        status = error_set(error, STATUS_FAILED, "%s: no words in the pool", p->job->pool_paths[0]);
    if (status != STATUS_OK)
        return status;
    double lambda = p->options->lambda;
    if (lambda < 0)
        lambda = p->model->target_total < FEW_NGRAMS ? 1 : 0;
    dsir_fit(p->model, lambda, FLOOR);
    bool complete;
    status = weigh(p, &complete, error);
    if (status == STATUS_OK)
        status = choose(p, result, error);
    return status == STATUS_OK ? measure(p, complete, result, error) : status;
}

static enum status run(const struct select_job *job, const void *opaque,
                       struct select_result *result, struct error *error)
{
    const struct dsir_options *o = opaque;
    if (job->target_count == 0)
        return error_set(error, STATUS_USAGE, "dsir needs a sample of the domain: --target PATH");
    struct hashing hashing = {0};
    struct dsir_model model = {0};
    struct kept kept = {0};
    struct pass pass = {
        .job = job, .options = o, .hashing = &hashing, .model = &model, .kept = &kept};
    enum status status = hashing_create(&hashing, job, o, error);
    if (status == STATUS_OK)
        status = dsir_create(&model, o->buckets, error);
    if (status == STATUS_OK)
        status = fit_and_choose(&pass, result, error);
    hashing_free(&hashing);
    dsir_free(&model);
    kept_free(&kept);
    return status;
}

const struct select_method select_dsir = {
    .name = "dsir",
    .title = "Importance resampling by hashed n-grams towards a sample of the domain",
    .citation = "Xie et al., Data Selection for Language Models via Importance Resampling, 2023",
    .options = options,
    .options_size = sizeof(struct dsir_options),
    .run = run,
};
