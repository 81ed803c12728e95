/* How two models behave; see difference.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "run/difference.h"
#include "run/engine.h"

#define CHUNK 32 /* rows whose logits exist at a time */

/* What is gathered over all tokens. */
struct gathering {
    struct decoder *decoders[2];
    struct compute *compute;
    struct tape tape;
    float *logits[2];
    double *values; /* divergence of each token */
    int64_t count, capacity, agreeing;
    double sums[2]; /* nats */
};

static enum status gathering_create(struct decoder *a, struct decoder *b, struct compute *compute,
                                    struct gathering *g, struct error *error)
{
    size_t bytes = (size_t)(CHUNK * a->config.vocabulary) * sizeof(float);
    *g = (struct gathering){.decoders = {a, b}, .compute = compute};
    tape_init(&g->tape, compute);
    if (a->config.vocabulary != b->config.vocabulary)
        return error_set(error, STATUS_FAILED,
                         "the models have vocabularies of %lld and %lld tokens: their predictions "
                         "cannot be compared",
                         (long long)a->config.vocabulary, (long long)b->config.vocabulary);
    g->logits[0] = malloc(bytes);
    g->logits[1] = malloc(bytes);
    return g->logits[0] && g->logits[1] ? STATUS_OK : error_no_memory(error, 2 * bytes);
}

static void gathering_free(struct gathering *g)
{
    tape_free(&g->tape);
    free(g->logits[0]);
    free(g->logits[1]);
    free(g->values);
}

static enum status keep(struct gathering *g, double value, struct error *error)
{
    if (g->count == g->capacity) {
        int64_t capacity = g->capacity ? 2 * g->capacity : 4096;
        double *grown = realloc(g->values, (size_t)capacity * sizeof *grown);
        if (!grown)
            return error_no_memory(error, (size_t)capacity * sizeof *grown);
        g->values = grown;
        g->capacity = capacity;
    }
    g->values[g->count++] = value;
    return STATUS_OK;
}

static int64_t likeliest(const float *logits, int64_t count)
{
    int64_t best = 0;
    for (int64_t i = 1; i < count; i++)
        best = logits[i] > logits[best] ? i : best;
    return best;
}

/* One predicted token: rows of finished logits. */
static enum status add_token(struct gathering *g, const float *a, const float *b, int32_t target,
                             struct error *error)
{
    int64_t count = g->decoders[0]->config.vocabulary;
    const struct row_kernels *kernels = g->compute->kernels;
    double sums[2] = {(double)kernels->log_sum_exp(count, a),
                      (double)kernels->log_sum_exp(count, b)};
    double divergence = 0;
    for (int64_t i = 0; i < count; i++) {
        double p = (double)a[i] - sums[0];
        if (p > -40)
            divergence += exp(p) * (p - ((double)b[i] - sums[1]));
    }
    g->sums[0] += sums[0] - (double)a[target];
    g->sums[1] += sums[1] - (double)b[target];
    g->agreeing += likeliest(a, count) == likeliest(b, count);
    return keep(g, divergence > 0 ? divergence : 0, error);
}

/* Rows of windows; those of weight 0 do not count. */
static enum status add_rows(struct gathering *g, const struct decoder_batch *batch,
                            const int32_t *targets, const float *weights, struct error *error)
{
    struct tensor *hidden[2];
    tape_reset(&g->tape);
    for (int i = 0; i < 2; i++)
        hidden[i] = decoder_hidden(g->decoders[i], &g->tape, batch);
    enum status status = tape_check(&g->tape, error);
    int64_t rows = batch->batch * batch->length, vocabulary = g->decoders[0]->config.vocabulary;
    for (int64_t begin = 0; begin < rows && status == STATUS_OK; begin += CHUNK) {
        int64_t count = rows - begin < CHUNK ? rows - begin : CHUNK;
        for (int i = 0; i < 2; i++)
            linear_logits(g->compute, hidden[i], begin, count, &g->decoders[i]->head, g->logits[i]);
        for (int64_t r = 0; r < count && status == STATUS_OK; r++)
            if (!weights || weights[begin + r] != 0)
                status = add_token(g, g->logits[0] + r * vocabulary, g->logits[1] + r * vocabulary,
                                   targets[begin + r], error);
    }
    return status;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double percentile(const struct gathering *g, double part)
{
    return g->values[(int64_t)(part * (double)(g->count - 1) + 0.5)];
}

static void summarize(struct gathering *g, struct divergence *d)
{
    *d = (struct divergence){.tokens = g->count};
    if (g->count == 0)
        return;
    double count = (double)g->count, sum = 0;
    qsort(g->values, (size_t)g->count, sizeof *g->values, ascending);
    for (int64_t i = 0; i < g->count; i++)
        sum += g->values[i];
    d->mean = sum / count;
    d->median = percentile(g, 0.5);
    d->p90 = percentile(g, 0.9);
    d->p99 = percentile(g, 0.99);
    d->largest = percentile(g, 1);
    d->agreement = (double)g->agreeing / count;
    d->loss_a = g->sums[0] / count;
    d->loss_b = g->sums[1] / count;
}

enum status difference_divergence(struct decoder *a, struct decoder *b, struct compute *compute,
                                  const struct shard *shard, const struct mixture_reading *reading,
                                  const volatile sig_atomic_t *stop, struct divergence *result,
                                  struct error *error)
{
    struct gathering g;
    const int64_t window = reading->window, wanted = mixture_reading_count(shard, reading);
    enum status status = gathering_create(a, b, compute, &g, error);
    int32_t *memory = malloc((size_t)window * 5 * sizeof *memory);
    if (status == STATUS_OK && !memory)
        status = error_no_memory(error, (size_t)window * 5 * sizeof *memory);
    struct mixture_rows rows = {0};
    if (memory)
        rows = (struct mixture_rows){memory, memory + window, memory + 2 * window,
                                     memory + 3 * window, (float *)(memory + 4 * window)};
    for (int64_t i = 0; i < wanted && status == STATUS_OK; i++) {
        status = mixture_read(shard, reading, i, 0, &rows, error);
        struct decoder_batch batch = {1, window, rows.tokens, rows.positions, rows.segment_start};
        if (status == STATUS_OK)
            status = add_rows(&g, &batch, rows.targets, rows.weights, error);
        if (status == STATUS_OK && stop && *stop)
            status = error_set(error, STATUS_INTERRUPTED, "stopped while comparing");
    }
    summarize(&g, result);
    free(memory);
    gathering_free(&g);
    return status;
}

enum status difference_divergence_rows(struct decoder *a, struct decoder *b,
                                       struct compute *compute, const int32_t *ids,
                                       const int64_t *counts, int64_t rows,
                                       const volatile sig_atomic_t *stop, struct divergence *result,
                                       struct error *error)
{
    struct gathering g;
    enum status status = gathering_create(a, b, compute, &g, error);
    for (int64_t i = 0; i < rows && status == STATUS_OK; ids += counts[i++]) {
        struct decoder_batch batch = {.batch = 1, .length = counts[i] - 1, .tokens = ids};
        if (counts[i] > 1)
            status = add_rows(&g, &batch, ids + 1, NULL, error);
        if (status == STATUS_OK && stop && *stop)
            status = error_set(error, STATUS_INTERRUPTED, "stopped while comparing");
    }
    summarize(&g, result);
    gathering_free(&g);
    return status;
}

/* Greedy answers. */

struct keeping {
    struct tok_ids *made;
    const volatile sig_atomic_t *stop;
};

static bool keep_token(void *context, const struct engine_token *token)
{
    const struct keeping *k = context;
    struct error ignored; /* a list that is too short is seen by its length */
    return tok_ids_add(k->made, &token->token, 1, &ignored) == STATUS_OK && !(k->stop && *k->stop);
}

static enum status answer(struct model *model, struct compute *compute,
                          const struct tok_ids *prompt, int64_t tokens,
                          const struct keeping *keeping, struct error *error)
{
    struct engine_result result;
    struct engine_request request = {.prompt = prompt->items,
                                     .prompt_count = prompt->count,
                                     .most_tokens = tokens,
                                     .continues = true,
                                     .on_token = keep_token,
                                     .context = (void *)(uintptr_t)keeping};
    keeping->made->count = 0;
    return engine_complete(model, compute, &request, &result, error);
}

static bool same_ids(const struct tok_ids *a, const struct tok_ids *b)
{
    return a->count == b->count &&
           (a->count == 0 || memcmp(a->items, b->items, (size_t)a->count * sizeof *a->items) == 0);
}

enum status difference_answers(struct model *a, struct model *b, struct compute *compute,
                               const char *const *prompts, int64_t count, int64_t tokens,
                               struct answers *answers, struct error *error)
{
    struct tok_ids prompt = {0}, all = {0}, made[2] = {{0}};
    struct tok_scratch scratch = {0};
    int64_t context = a->decoder.config.context;
    int64_t most = context - tokens > 1 ? context - tokens : 1;
    *answers = (struct answers){.counts = calloc((size_t)count + 1, sizeof *answers->counts)};
    enum status status = answers->counts ? STATUS_OK : error_no_memory(error, (size_t)count * 8);
    for (int64_t i = 0; i < count && status == STATUS_OK; i++) {
        prompt.count = 0;
        status = tok_encode_model(&a->tokenizer, &scratch, prompts[i], strlen(prompts[i]), true,
                                  true, &prompt, error);
        if (prompt.count > most) /* of a model with a short context */
            prompt.count = most;
        if (status == STATUS_OK)
            status =
                answer(a, compute, &prompt, tokens, &(struct keeping){&made[0], a->stop}, error);
        if (status == STATUS_OK)
            status =
                answer(b, compute, &prompt, tokens, &(struct keeping){&made[1], a->stop}, error);
        if (status == STATUS_OK && model_is_stopped(a))
            status = error_set(error, STATUS_INTERRUPTED, "stopped while comparing answers");
        if (status == STATUS_OK)
            status = tok_ids_add(&all, prompt.items, prompt.count, error);
        if (status == STATUS_OK)
            status = tok_ids_add(&all, made[0].items, made[0].count, error);
        answers->counts[i] = prompt.count + made[0].count;
        answers->prompts += status == STATUS_OK;
        answers->equal += status == STATUS_OK && same_ids(&made[0], &made[1]);
    }
    answers->ids = all.items;
    tok_ids_free(&prompt);
    tok_ids_free(&made[0]);
    tok_ids_free(&made[1]);
    tok_scratch_free(&scratch);
    return status;
}
