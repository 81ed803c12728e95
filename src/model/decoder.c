/* See decoder.h. The forward pass of a layer is one function for training, evaluation and
 * generation: only where keys and values come from differs. */
#include "model/decoder.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "tensor/attention.h"

/* Naming and declaring. */

static struct parameter *declare(struct decoder *decoder, int64_t layer, const char *name,
                                 enum parameter_kind kind, int64_t rows, int64_t columns)
{
    char full[80];
    if (layer >= 0)
        snprintf(full, sizeof full, "layers.%lld.%s", (long long)layer, name);
    else
        snprintf(full, sizeof full, "%s", name);
    return parameters_declare(&decoder->parameters, full, kind, rows, columns);
}

static struct decoder_norm declare_norm(struct decoder *decoder, int64_t layer, const char *name)
{
    struct decoder_norm norm = {0};
    char full[48];
    snprintf(full, sizeof full, "%s.weight", name);
    int64_t width = decoder->config.width;
    norm.weight = &declare(decoder, layer, full, PARAMETER_NORM, 1, width)->weight.tensor;
    if (decoder->config.norm == MODEL_NORM_LAYER) {
        snprintf(full, sizeof full, "%s.bias", name);
        norm.bias = &declare(decoder, layer, full, PARAMETER_BIAS, 1, width)->weight.tensor;
    }
    return norm;
}

static struct linear declare_linear(struct decoder *decoder, int64_t layer, const char *name,
                                    int64_t rows, int64_t columns, bool bias)
{
    struct linear linear = {0};
    char full[48];
    snprintf(full, sizeof full, "%s.weight", name);
    linear.weight = &declare(decoder, layer, full, PARAMETER_MATRIX, rows, columns)->weight;
    if (bias) {
        snprintf(full, sizeof full, "%s.bias", name);
        linear.bias = &declare(decoder, layer, full, PARAMETER_BIAS, 1, rows)->weight.tensor;
    }
    return linear;
}

static void declare_layer(struct decoder *decoder, int64_t index)
{
    const struct decoder_config *c = &decoder->config;
    struct decoder_layer *layer = &decoder->layers[index];
    int64_t queries = c->heads * c->head_width, keys = c->kv_heads * c->head_width;
    layer->attention_norm = declare_norm(decoder, index, "attention_norm");
    layer->query =
        declare_linear(decoder, index, "attention.query", queries, c->width, c->attention_bias);
    layer->key = declare_linear(decoder, index, "attention.key", keys, c->width, c->attention_bias);
    layer->value =
        declare_linear(decoder, index, "attention.value", keys, c->width, c->attention_bias);
    layer->output =
        declare_linear(decoder, index, "attention.output", c->width, queries, c->output_bias);
    layer->mlp_norm = declare_norm(decoder, index, "mlp_norm");
    if (c->mlp == MODEL_MLP_SWIGLU)
        layer->gate = declare_linear(decoder, index, "mlp.gate", c->hidden, c->width, c->mlp_bias);
    layer->up = declare_linear(decoder, index, "mlp.up", c->hidden, c->width, c->mlp_bias);
    layer->down = declare_linear(decoder, index, "mlp.down", c->width, c->hidden, c->mlp_bias);
}

static enum status make_rope(struct decoder *decoder, struct error *error)
{
    const struct decoder_config *c = &decoder->config;
    int64_t half = c->head_width / 2;
    size_t count = (size_t)(c->context * half);
    decoder->rope_values = malloc(2 * count * sizeof(float));
    if (!decoder->rope_values)
        return error_no_memory(error, 2 * count * sizeof(float));
    float *cosines = decoder->rope_values, *sines = cosines + count;
    double speeds[ATTENTION_HEAD_WIDTH_MOST / 2]; /* radians per position */
    for (int64_t j = 0; j < half; j++)
        speeds[j] = pow(c->rope_base, -2.0 * (double)j / (double)c->head_width);
    for (int64_t p = 0; p < c->context; p++) {
        for (int64_t j = 0; j < half; j++) {
            double angle = (double)p * speeds[j];
            cosines[p * half + j] = (float)cos(angle);
            sines[p * half + j] = (float)sin(angle);
        }
    }
    decoder->rope = (struct rope_table){cosines, sines, c->context, c->head_width};
    return STATUS_OK;
}

enum status decoder_create(const struct decoder_config *config, struct decoder *decoder,
                           struct error *error)
{
    *decoder = (struct decoder){.config = *config};
    decoder->layers = calloc((size_t)config->layers, sizeof *decoder->layers);
    if (!decoder->layers)
        return error_no_memory(error, (size_t)config->layers * sizeof *decoder->layers);
    enum status status =
        parameters_create(&decoder->parameters, (int)config->layers * 18 + 8, error);
    if (status != STATUS_OK) {
        decoder_free(decoder);
        return status;
    }
    decoder->embedding =
        &declare(decoder, -1, "embedding", PARAMETER_EMBEDDING, config->vocabulary, config->width)
             ->weight;
    if (config->positions == MODEL_POSITIONS_LEARNED)
        decoder->positions =
            &declare(decoder, -1, "positions", PARAMETER_EMBEDDING, config->context, config->width)
                 ->weight;
    for (int64_t i = 0; i < config->layers; i++)
        declare_layer(decoder, i);
    decoder->final_norm = declare_norm(decoder, -1, "final_norm");
    decoder->head.weight = decoder->embedding;
    if (!config->tied)
        decoder->head =
            declare_linear(decoder, -1, "head", config->vocabulary, config->width, false);
    if (config->positions == MODEL_POSITIONS_ROTARY)
        status = make_rope(decoder, error);
    if (status != STATUS_OK)
        decoder_free(decoder);
    return status;
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), width = strlen(end);
    return length >= width && strcmp(text + length - width, end) == 0;
}

enum status decoder_create_random(const struct decoder_config *config, uint64_t seed,
                                  struct decoder *decoder, struct error *error)
{
    enum status status = decoder_create(config, decoder, error);
    if (status == STATUS_OK)
        status = parameters_allocate(&decoder->parameters, error);
    if (status != STATUS_OK) {
        decoder_free(decoder);
        return status;
    }
    for (int i = 0; i < decoder->parameters.count; i++) {
        struct parameter *p = &decoder->parameters.items[i];
        struct tensor *t = &p->weight.tensor;
        struct random_address address = {seed, RANDOM_INIT, 0, (uint32_t)i};
        double deviation = 0.02;
        if (ends_with(p->name, "attention.output.weight") || ends_with(p->name, "mlp.down.weight"))
            deviation /= sqrt(2.0 * (double)config->layers);
        if (p->kind == PARAMETER_NORM)
            for (int64_t j = 0; j < tensor_count(t); j++)
                t->data[j] = 1.0f;
        else if (p->kind != PARAMETER_BIAS)
            random_fill_normal(address, 0, tensor_count(t), (float)deviation, t->data);
    }
    return STATUS_OK;
}

void decoder_free(struct decoder *decoder)
{
    parameters_free(&decoder->parameters);
    free(decoder->layers);
    free(decoder->rope_values);
    *decoder = (struct decoder){0};
}

/* Forward. */

/* Where a layer's keys and values come from: the batch itself, or a cache that they join. */
struct layer_context {
    struct attention_shape shape;
    const int32_t *positions;
    struct decoder_cache *cache; /* NULL while training */
};

static struct tensor *apply_norm(struct tape *tape, const struct decoder *decoder,
                                 const struct decoder_norm *norm, struct tensor *x)
{
    float epsilon = (float)decoder->config.norm_epsilon;
    if (decoder->config.norm == MODEL_NORM_RMS)
        return op_rms_norm(tape, x, norm->weight, epsilon);
    return op_layer_norm(tape, x, norm->weight, norm->bias, epsilon);
}

/* Copies new keys or values behind the cache's old ones and returns the whole as a tensor. */
static struct tensor *join_cache(struct tape *tape, const struct decoder *decoder,
                                 const struct decoder_cache *cache, float *store, int64_t layer,
                                 const struct tensor *fresh)
{
    int64_t width = decoder->config.kv_heads * decoder->config.head_width;
    float *base = store + layer * cache->capacity * width;
    int64_t count = tensor_rows(fresh);
    memcpy(base + cache->length * width, fresh->data, (size_t)(count * width) * sizeof(float));
    struct tensor *all = tape_alloc(tape, sizeof *all);
    if (!all)
        return NULL;
    *all = (struct tensor){.rank = 3, .shape = {1, cache->length + count, width}, .data = base};
    return all;
}

static struct tensor *attention_branch(struct decoder *decoder, struct tape *tape, int64_t index,
                                       const struct layer_context *context, struct tensor *x)
{
    struct decoder_layer *layer = &decoder->layers[index];
    struct tensor *normed = apply_norm(tape, decoder, &layer->attention_norm, x);
    struct tensor *q = op_linear(tape, normed, &layer->query, NULL);
    struct tensor *k = op_linear(tape, normed, &layer->key, NULL);
    struct tensor *v = op_linear(tape, normed, &layer->value, NULL);
    if (decoder->config.positions == MODEL_POSITIONS_ROTARY) {
        q = op_rope(tape, q, context->positions, &decoder->rope);
        k = op_rope(tape, k, context->positions, &decoder->rope);
    }
    if (context->cache && k && v) {
        k = join_cache(tape, decoder, context->cache, context->cache->keys, index, k);
        v = join_cache(tape, decoder, context->cache, context->cache->values, index, v);
    }
    struct tensor *mixed = op_attention(tape, q, k, v, &context->shape);
    if (decoder->config.dropout > 0 && tape->training) {
        mixed = op_linear(tape, mixed, &layer->output, NULL);
        return op_add(tape, x, op_dropout(tape, mixed, decoder->config.dropout));
    }
    return op_linear(tape, mixed, &layer->output, x);
}

static struct tensor *mlp_branch(struct decoder *decoder, struct tape *tape, int64_t index,
                                 struct tensor *x)
{
    struct decoder_layer *layer = &decoder->layers[index];
    struct tensor *normed = apply_norm(tape, decoder, &layer->mlp_norm, x);
    struct tensor *hidden = op_linear(tape, normed, &layer->up, NULL);
    if (decoder->config.mlp == MODEL_MLP_SWIGLU)
        hidden = op_swiglu(tape, op_linear(tape, normed, &layer->gate, NULL), hidden);
    else
        hidden = op_gelu(tape, hidden, decoder->config.mlp == MODEL_MLP_GELU_TANH);
    if (decoder->config.dropout > 0 && tape->training) {
        hidden = op_linear(tape, hidden, &layer->down, NULL);
        return op_add(tape, x, op_dropout(tape, hidden, decoder->config.dropout));
    }
    return op_linear(tape, hidden, &layer->down, x);
}

static struct tensor *embed(struct decoder *decoder, struct tape *tape,
                            const struct decoder_batch *batch, const int32_t *positions)
{
    struct tensor *x = NULL;
    if (decoder->positions)
        x = op_embedding(tape, decoder->positions, positions, batch->batch, batch->length, NULL);
    if (decoder->positions && !x)
        return NULL;
    x = op_embedding(tape, decoder->embedding, batch->tokens, batch->batch, batch->length, x);
    if (decoder->config.dropout > 0 && tape->training)
        x = op_dropout(tape, x, decoder->config.dropout);
    return x;
}

static const int32_t *fill_positions(struct tape *tape, const struct decoder_batch *batch,
                                     int64_t first)
{
    int32_t *positions = tape_alloc(tape, (size_t)(batch->batch * batch->length) * sizeof(int32_t));
    for (int64_t i = 0; positions && i < batch->batch * batch->length; i++)
        positions[i] = (int32_t)(first + i % batch->length);
    return positions;
}

static struct attention_shape base_shape(const struct decoder *decoder,
                                         const struct decoder_batch *batch)
{
    const struct decoder_config *c = &decoder->config;
    return (struct attention_shape){
        .batch = batch->batch,
        .queries = batch->length,
        .keys = batch->length,
        .heads = c->heads,
        .kv_heads = c->kv_heads,
        .head_width = c->head_width,
        .scale = (float)(1.0 / sqrt((double)c->head_width)),
        .causal = true,
        .segment_start = batch->segment_start,
    };
}

/* One layer. When nobody will ask for what lies inside it, its memory is handed back, and the new
 * stream takes the old one's place. */
static struct tensor *run_layer(struct decoder *decoder, struct tape *tape, int64_t index,
                                const struct layer_context *context, struct tensor *x)
{
    bool keeps = tape->recording || tape->forward_mode;
    struct arena_mark mark = arena_save(&tape->activations);
    struct tensor *y = attention_branch(decoder, tape, index, context, x);
    y = mlp_branch(decoder, tape, index, y);
    if (!y || keeps)
        return y;
    memcpy(x->data, y->data, (size_t)tensor_count(y) * sizeof(float));
    arena_rewind(&tape->activations, mark);
    return x;
}

struct tensor *decoder_hidden(struct decoder *decoder, struct tape *tape,
                              const struct decoder_batch *batch)
{
    struct layer_context context = {.shape = base_shape(decoder, batch)};
    context.positions = batch->positions ? batch->positions : fill_positions(tape, batch, 0);
    if (!context.positions)
        return NULL;
    struct tensor *x = embed(decoder, tape, batch, context.positions);
    for (int64_t i = 0; x && i < decoder->config.layers; i++)
        x = run_layer(decoder, tape, i, &context, x);
    return apply_norm(tape, decoder, &decoder->final_norm, x);
}

struct tensor *decoder_loss(struct decoder *decoder, struct tape *tape,
                            const struct decoder_batch *batch, const struct loss_target *target)
{
    struct tensor *hidden = decoder_hidden(decoder, tape, batch);
    return op_cross_entropy(tape, hidden, &decoder->head, target);
}

/* Generation. */

enum status decoder_cache_create(const struct decoder *decoder, int64_t capacity,
                                 struct decoder_cache *cache, struct error *error)
{
    size_t count = (size_t)(decoder->config.layers * capacity * decoder->config.kv_heads *
                            decoder->config.head_width);
    *cache = (struct decoder_cache){.capacity = capacity};
    cache->keys = malloc(count * sizeof(float));
    cache->values = malloc(count * sizeof(float));
    if (!cache->keys || !cache->values) {
        decoder_cache_free(cache);
        return error_no_memory(error, 2 * count * sizeof(float));
    }
    return STATUS_OK;
}

void decoder_cache_free(struct decoder_cache *cache)
{
    free(cache->keys);
    free(cache->values);
    *cache = (struct decoder_cache){0};
}

enum status decoder_extend(struct decoder *decoder, struct tape *tape, struct decoder_cache *cache,
                           const int32_t *tokens, int64_t count, float *logits, struct error *error)
{
    if (cache->length + count > cache->capacity)
        return error_set(error, STATUS_FAILED,
                         "the sequence of %lld tokens is longer than the context of %lld",
                         (long long)(cache->length + count), (long long)cache->capacity);
    struct arena_mark start = arena_save(&tape->activations);
    struct decoder_batch batch = {.batch = 1, .length = count, .tokens = tokens};
    struct layer_context context = {.shape = base_shape(decoder, &batch), .cache = cache};
    context.shape.keys = cache->length + count;
    context.shape.offset = cache->length;
    context.positions = fill_positions(tape, &batch, cache->length);
    struct tensor *x = context.positions ? embed(decoder, tape, &batch, context.positions) : NULL;
    for (int64_t i = 0; x && i < decoder->config.layers; i++)
        x = run_layer(decoder, tape, i, &context, x);
    x = apply_norm(tape, decoder, &decoder->final_norm, x);
    if (x && logits)
        linear_logits(tape->compute, x, count - 1, 1, &decoder->head, logits);
    cache->length += count;
    arena_rewind(&tape->activations, start);
    return tape_check(tape, error);
}
