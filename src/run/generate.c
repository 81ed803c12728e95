/* See generate.h. */
#include "run/generate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/random.h"

struct sampler_candidate {
    float logit;
    float weight; /* exp(logit - largest), later also probability */
    int32_t id;
};

enum status sampler_create(const struct sampling_options *options, int64_t vocabulary,
                           struct sampler *sampler, struct error *error)
{
    *sampler = (struct sampler){.options = *options, .vocabulary = vocabulary};
    sampler->candidates = malloc((size_t)vocabulary * sizeof *sampler->candidates);
    if (!sampler->candidates)
        return error_no_memory(error, (size_t)vocabulary * sizeof *sampler->candidates);
    return STATUS_OK;
}

void sampler_free(struct sampler *sampler)
{
    free(sampler->candidates);
    *sampler = (struct sampler){0};
}

/* Each recent token is punished once, however often it came. */
static void punish(const struct sampling_options *o, float *logits, int64_t vocabulary,
                   const int32_t *recent, int64_t count)
{
    int64_t first = count > o->repetition_window ? count - o->repetition_window : 0;
    float penalty = (float)o->repetition_penalty;
    for (int64_t i = first; i < count; i++) {
        bool seen = recent[i] < 0 || recent[i] >= vocabulary;
        for (int64_t j = first; j < i && !seen; j++)
            seen = recent[j] == recent[i];
        if (seen)
            continue;
        float *logit = &logits[recent[i]];
        *logit = *logit > 0 ? *logit / penalty : *logit * penalty;
    }
}

static int by_logit(const void *a, const void *b)
{
    const struct sampler_candidate *x = a, *y = b;
    if (x->logit != y->logit)
        return x->logit < y->logit ? 1 : -1;
    return x->id - y->id;
}

/* Candidates in falling order, cut by top-k, then weighed. */
static int64_t rank(struct sampler *s, const float *logits)
{
    int64_t count = 0;
    float most = -INFINITY;
    for (int64_t i = 0; i < s->vocabulary; i++)
        most = logits[i] > most ? logits[i] : most;
    /* What is 40 nats below the best after scaling cannot be drawn: it need not be sorted. */
    float least = most - 40.0f * (float)fmax(s->options.temperature, 1e-3);
    for (int64_t i = 0; i < s->vocabulary; i++)
        if (logits[i] >= least)
            s->candidates[count++] = (struct sampler_candidate){logits[i], 0, (int32_t)i};
    qsort(s->candidates, (size_t)count, sizeof *s->candidates, by_logit);
    if (s->options.top_k > 0 && s->options.top_k < count)
        count = s->options.top_k;
    for (int64_t i = 0; i < count; i++)
        s->candidates[i].weight =
            (float)exp((double)(s->candidates[i].logit - most) / s->options.temperature);
    return count;
}

/* The smallest set of the likeliest whose probability reaches top_p; those below min_p go. */
static int64_t cut(const struct sampler *s, int64_t count)
{
    double total = 0, sum = 0;
    int64_t kept = 0;
    for (int64_t i = 0; i < count; i++)
        total += (double)s->candidates[i].weight;
    while (kept < count && (kept == 0 || (sum < s->options.top_p * total &&
                                          (double)s->candidates[kept].weight >= s->options.min_p)))
        sum += (double)s->candidates[kept++].weight;
    return kept;
}

int32_t sampler_draw(struct sampler *s, float *logits, const int32_t *recent, int64_t count)
{
    if (s->options.repetition_penalty != 1)
        punish(&s->options, logits, s->vocabulary, recent, count);
    if (s->options.temperature <= 0) {
        int32_t best = 0;
        for (int64_t i = 1; i < s->vocabulary; i++)
            if (logits[i] > logits[best])
                best = (int32_t)i;
        return best;
    }
    int64_t kept = cut(s, rank(s, logits));
    double total = 0;
    for (int64_t i = 0; i < kept; i++)
        total += (double)s->candidates[i].weight;
    struct random_address address = {s->options.seed, RANDOM_SAMPLE, 0, 0};
    double left = total * random_uniform(address, (uint64_t)s->drawn++);
    for (int64_t i = 0; i + 1 < kept; i++) {
        left -= (double)s->candidates[i].weight;
        if (left < 0)
            return s->candidates[i].id;
    }
    return kept > 0 ? s->candidates[kept - 1].id : 0;
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static enum status continue_tokens(struct model *model, struct tape *tape, struct sampler *sampler,
                                   const struct generate_options *o, struct decoder_cache *cache,
                                   float *logits, struct tok_ids *ids, struct error *error)
{
    enum status status = STATUS_OK;
    for (int64_t made = 0; made < o->most_tokens && status == STATUS_OK; made++) {
        int32_t token = sampler_draw(sampler, logits, ids->items, ids->count);
        status = tok_ids_add(ids, &token, 1, error);
        bool ended = !o->ignore_end && token == model->tokenizer.eos;
        if (status != STATUS_OK || ended || (o->on_token && !o->on_token(o->context, token)))
            break;
        if (cache->length >= cache->capacity || made + 1 == o->most_tokens)
            break;
        status = decoder_extend(&model->decoder, tape, cache, &token, 1, logits, error);
    }
    return status;
}

enum status generate_tokens(struct model *model, struct tape *tape, struct sampler *sampler,
                            const struct generate_options *options, struct tok_ids *ids,
                            double *prompt_seconds, double *seconds, struct error *error)
{
    struct decoder *decoder = &model->decoder;
    int64_t capacity = ids->count + options->most_tokens;
    capacity = capacity < decoder->config.context ? capacity : decoder->config.context;
    if (ids->count == 0)
        return error_set(error, STATUS_USAGE, "the prompt is empty");
    struct decoder_cache cache;
    enum status status = decoder_cache_create(decoder, capacity, &cache, error);
    if (status != STATUS_OK)
        return status;
    float *logits = malloc((size_t)decoder->config.vocabulary * sizeof *logits);
    if (!logits)
        status = error_no_memory(error, (size_t)decoder->config.vocabulary * sizeof *logits);
    bool recording = tape->recording;
    tape->recording = tape->training = false;
    double start = now();
    if (status == STATUS_OK)
        status = decoder_extend(decoder, tape, &cache, ids->items, ids->count, logits, error);
    double middle = now();
    if (status == STATUS_OK)
        status = continue_tokens(model, tape, sampler, options, &cache, logits, ids, error);
    if (prompt_seconds)
        *prompt_seconds = middle - start;
    if (seconds)
        *seconds = now() - middle;
    tape->recording = recording;
    free(logits);
    decoder_cache_free(&cache);
    return status;
}
