/* See decoder.h. The forward pass of a layer is one function for training, evaluation and
 * generation: only where keys and values come from differs. */
#include "model/decoder.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "model/delta_mixer.h"
#include "model/experts.h"
#include "tensor/attention.h"

#define ROTATIONS_LEAST 256 /* positions in a table at first */

/* Naming and declaring. */

static struct parameter *declare(struct decoder *decoder, int64_t layer, const char *name,
                                 enum parameter_kind kind, int64_t rows, int64_t columns)
{
    char full[96];
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
    char full[64];
    snprintf(full, sizeof full, "%s.weight", name);
    linear.weight = &declare(decoder, layer, full, PARAMETER_MATRIX, rows, columns)->weight;
    if (bias) {
        snprintf(full, sizeof full, "%s.bias", name);
        linear.bias = &declare(decoder, layer, full, PARAMETER_BIAS, 1, rows)->weight.tensor;
    }
    return linear;
}

/* A norm on queries or keys: over a head, or over all of them. */
static struct decoder_norm declare_query_norm(struct decoder *decoder, int64_t layer,
                                              const char *name, int64_t heads)
{
    const struct decoder_config *c = &decoder->config;
    struct decoder_norm norm = {0};
    if (c->query_norm == MODEL_QUERY_NORM_NONE)
        return norm;
    int64_t width = c->query_norm == MODEL_QUERY_NORM_HEAD ? c->head_width : heads * c->head_width;
    norm.weight = &declare(decoder, layer, name, PARAMETER_NORM, 1, width)->weight.tensor;
    return norm;
}

/* All gates, then all ups, then all downs: files keep those of a kind together. */
static void declare_experts(struct decoder *decoder, int64_t index)
{
    const struct decoder_config *c = &decoder->config;
    struct decoder_layer *layer = &decoder->layers[index];
    const char *const kinds[] = {"gate", "up", "down"};
    struct linear *lists[] = {layer->expert_gates, layer->expert_ups, layer->expert_downs};
    layer->router = declare_linear(decoder, index, "mlp.router", c->experts, c->width, false);
    for (int kind = 0; kind < 3; kind++)
        for (int64_t e = 0; e < c->experts; e++) {
            char name[48];
            bool down = kind == 2;
            snprintf(name, sizeof name, "experts.%lld.%s", (long long)e, kinds[kind]);
            lists[kind][e] = declare_linear(decoder, index, name, down ? c->width : c->hidden,
                                            down ? c->hidden : c->width, false);
        }
}

/* Room for the experts' layers, shared by all of the decoder's. */
static bool allocate_experts(struct decoder *decoder)
{
    size_t experts = (size_t)decoder->config.experts, layers = (size_t)decoder->config.layers;
    decoder->experts = experts ? calloc(3 * experts * layers, sizeof *decoder->experts) : NULL;
    for (size_t i = 0; decoder->experts && i < layers; i++) {
        struct decoder_layer *layer = &decoder->layers[i];
        layer->expert_gates = decoder->experts + 3 * i * experts;
        layer->expert_ups = layer->expert_gates + experts;
        layer->expert_downs = layer->expert_ups + experts;
    }
    return experts == 0 || decoder->experts;
}

static void declare_attention(struct decoder *decoder, int64_t index)
{
    const struct decoder_config *c = &decoder->config;
    struct decoder_layer *layer = &decoder->layers[index];
    int64_t queries = c->heads * c->head_width, keys = c->kv_heads * c->head_width;
    layer->query =
        declare_linear(decoder, index, "attention.query", queries, c->width, c->attention_bias);
    if (c->attention_gate)
        layer->attention_gate =
            declare_linear(decoder, index, "attention.gate", queries, c->width, c->attention_bias);
    layer->key = declare_linear(decoder, index, "attention.key", keys, c->width, c->attention_bias);
    layer->value =
        declare_linear(decoder, index, "attention.value", keys, c->width, c->attention_bias);
    layer->output =
        declare_linear(decoder, index, "attention.output", c->width, queries, c->output_bias);
    layer->query_norm = declare_query_norm(decoder, index, "attention.query_norm.weight", c->heads);
    layer->key_norm = declare_query_norm(decoder, index, "attention.key_norm.weight", c->kv_heads);
}

static struct tensor *declare_vector(struct decoder *decoder, int64_t layer, const char *name,
                                     int64_t count)
{
    return &declare(decoder, layer, name, PARAMETER_BIAS, 1, count)->weight.tensor;
}

static void declare_delta(struct decoder *decoder, int64_t index)
{
    const struct decoder_config *c = &decoder->config;
    const struct delta_config *d = &c->delta;
    struct decoder_layer *layer = &decoder->layers[index];
    int64_t columns = decoder_delta_columns(c), values = d->value_heads * d->value_width;
    layer->delta_input = declare_linear(decoder, index, "delta.input", columns, c->width, false);
    layer->delta_gate = declare_linear(decoder, index, "delta.gate", values, c->width, false);
    layer->delta_beta =
        declare_linear(decoder, index, "delta.beta", d->value_heads, c->width, false);
    layer->delta_decay =
        declare_linear(decoder, index, "delta.decay", d->value_heads, c->width, false);
    layer->delta_kernel = declare_vector(decoder, index, "delta.kernel", columns * d->kernel);
    layer->delta_rate = declare_vector(decoder, index, "delta.rate", d->value_heads);
    layer->delta_bias = declare_vector(decoder, index, "delta.bias", d->value_heads);
    layer->delta_norm.weight =
        &declare(decoder, index, "delta.norm.weight", PARAMETER_NORM, 1, d->value_width)
             ->weight.tensor;
    layer->output = declare_linear(decoder, index, "delta.output", c->width, values, false);
}

static void declare_layer(struct decoder *decoder, int64_t index)
{
    const struct decoder_config *c = &decoder->config;
    struct decoder_layer *layer = &decoder->layers[index];
    if (!c->first_bare || index > 0)
        layer->attention_norm = declare_norm(decoder, index, "attention_norm");
    if (decoder_layer_is_delta(c, index))
        declare_delta(decoder, index);
    else
        declare_attention(decoder, index);
    if (c->block == MODEL_BLOCK_SANDWICH)
        layer->attention_after = declare_norm(decoder, index, "attention_after");
    layer->mlp_norm = declare_norm(decoder, index, "mlp_norm");
    if (c->experts > 0) {
        declare_experts(decoder, index);
    } else {
        if (model_mlp_is_gated(c->mlp))
            layer->gate =
                declare_linear(decoder, index, "mlp.gate", c->hidden, c->width, c->mlp_bias);
        layer->up = declare_linear(decoder, index, "mlp.up", c->hidden, c->width, c->mlp_bias);
        layer->down = declare_linear(decoder, index, "mlp.down", c->width, c->hidden, c->mlp_bias);
    }
    if (c->block == MODEL_BLOCK_SANDWICH)
        layer->mlp_after = declare_norm(decoder, index, "mlp_after");
}

enum status decoder_create(const struct decoder_config *config, struct decoder *decoder,
                           struct error *error)
{
    *decoder = (struct decoder){.config = *config};
    decoder->layers = calloc((size_t)config->layers, sizeof *decoder->layers);
    if (!decoder->layers || !allocate_experts(decoder)) {
        decoder_free(decoder);
        return error_no_memory(error, (size_t)config->layers * sizeof *decoder->layers);
    }
    int64_t row = decoder_embedding_width(config);
    int64_t capacity = config->layers * (28 + 3 * config->experts) + 10;
    enum status status = parameters_create(&decoder->parameters, (int)capacity, error);
    if (status != STATUS_OK) {
        decoder_free(decoder);
        return status;
    }
    decoder->embedding =
        &declare(decoder, -1, "embedding", PARAMETER_EMBEDDING, config->vocabulary, row)->weight;
    if (config->embedding_width > 0)
        decoder->embedding_in =
            declare_linear(decoder, -1, "embedding_in", config->width, row, false);
    if (config->positions == MODEL_POSITIONS_LEARNED)
        decoder->positions = &declare(decoder, -1, "positions", PARAMETER_EMBEDDING,
                                      config->context + config->position_offset, config->width)
                                  ->weight;
    if (config->token_types > 0)
        decoder->token_types = &declare(decoder, -1, "token_types", PARAMETER_EMBEDDING,
                                        config->token_types, config->width)
                                    ->weight;
    if (config->embedding_norm)
        decoder->embedding_norm = declare_norm(decoder, -1, "embedding_norm");
    for (int64_t i = 0; i < config->layers; i++)
        declare_layer(decoder, i);
    if (config->block != MODEL_BLOCK_POST)
        decoder->final_norm = declare_norm(decoder, -1, "final_norm");
    if (config->embedding_width > 0)
        decoder->embedding_out =
            declare_linear(decoder, -1, "embedding_out", row, config->width, false);
    decoder->head.scale = config->logit_scale > 0 ? (float)config->logit_scale : 1.0f;
    decoder->head.softcap = (float)config->logit_softcap;
    decoder->head.linear.weight = decoder->embedding;
    if (!config->tied)
        decoder->head.linear = declare_linear(decoder, -1, "head", config->vocabulary, row, false);
    return STATUS_OK;
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
        if (ends_with(p->name, ".output.weight") || ends_with(p->name, ".down.weight"))
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
    free(decoder->experts);
    for (int i = 0; i < ROTATIONS; i++)
        free(decoder->rope_values[i]);
    *decoder = (struct decoder){0};
}

/* Forward. */

/* Where a layer's keys and values come from: the batch itself, or a cache that they join. */
struct layer_context {
    struct attention_shape shape;
    const int32_t *positions;
    enum decoder_rotation rotation;
    const struct decoder_batch *batch;
    struct kv_cache *cache; /* of a step; NULL while training */
    const struct decoder_run *runs;
    int64_t run_count;
    struct kv_query *queries; /* room for one a run */
};

/* Makes the table that a layer kind needs at least `positions` long; kept for later batches. */
static bool reserve_rotation(struct decoder *decoder, struct tape *tape,
                             enum decoder_rotation which, int64_t positions)
{
    struct rope_table *table = &decoder->rope[which];
    if (table->positions >= positions)
        return true;
    int64_t half = decoder_rope_width(&decoder->config) / 2, room = ROTATIONS_LEAST;
    while (room < positions)
        room *= 2;
    size_t count = (size_t)(room * half);
    float *cosines = malloc(2 * count * sizeof *cosines);
    if (!cosines) {
        tape->status = error_no_memory(&tape->error, 2 * count * sizeof *cosines);
        return false;
    }
    float *sines = cosines + count;
    double speeds[ATTENTION_HEAD_WIDTH_MOST / 2], magnitude;
    decoder_rope_speeds(&decoder->config, which == ROTATION_LOCAL, which == ROTATION_BEYOND, speeds,
                        &magnitude);
    for (int64_t p = 0; p < room; p++) {
        for (int64_t j = 0; j < half; j++) {
            double angle = (double)p * speeds[j];
            cosines[p * half + j] = (float)(magnitude * cos(angle));
            sines[p * half + j] = (float)(magnitude * sin(angle));
        }
    }
    free(decoder->rope_values[which]);
    decoder->rope_values[which] = cosines;
    *table = (struct rope_table){cosines, sines, room, decoder->config.head_width, 2 * half};
    return true;
}

/* Chooses rotations for sequences of at most `longest` tokens, and has their tables made. */
static bool prepare_rotations(struct decoder *decoder, struct tape *tape, int64_t longest,
                              int64_t positions, enum decoder_rotation *rotation)
{
    const struct rope_config *rope = &decoder->config.rope;
    *rotation = rope->scaling == ROPE_SCALING_LONG && longest > rope->first_context
                    ? ROTATION_BEYOND
                    : ROTATION_USUAL;
    if (decoder->config.positions != MODEL_POSITIONS_ROTARY)
        return true;
    return reserve_rotation(decoder, tape, *rotation, positions) &&
           (rope->local_base == 0 || reserve_rotation(decoder, tape, ROTATION_LOCAL, positions));
}

static struct tensor *apply_norm(struct tape *tape, const struct decoder *decoder,
                                 const struct decoder_norm *norm, struct tensor *x)
{
    float epsilon = (float)decoder->config.norm_epsilon;
    if (!norm->weight)
        return x;
    if (decoder->config.norm == MODEL_NORM_RMS)
        return op_rms_norm(tape, x, norm->weight, epsilon);
    return op_layer_norm(tape, x, norm->weight, norm->bias, epsilon);
}

/* The stream x plus a branch's result y. */
static struct tensor *join_branch(struct decoder *decoder, struct tape *tape, struct tensor *x,
                                  struct tensor *y, const struct decoder_norm *after)
{
    const struct decoder_config *c = &decoder->config;
    if (after->weight)
        y = apply_norm(tape, decoder, after, y);
    if (c->residual_scale > 0)
        y = op_scale(tape, y, c->residual_scale);
    if (c->dropout > 0 && tape->training)
        y = op_dropout(tape, y, c->dropout);
    return op_add(tape, x, y);
}

/* The stream x plus a branch that ends in the linear layer `last`, whose input is `inner`. A plain
 * sum is made within the product. */
static struct tensor *join_stream(struct decoder *decoder, struct tape *tape, struct tensor *x,
                                  struct tensor *inner, const struct linear *last,
                                  const struct decoder_norm *after)
{
    const struct decoder_config *c = &decoder->config;
    bool dropped = c->dropout > 0 && tape->training, scaled = c->residual_scale > 0;
    if (!after->weight && !scaled && !dropped)
        return op_linear(tape, inner, last, x);
    return join_branch(decoder, tape, x, op_linear(tape, inner, last, NULL), after);
}

/* Attention of a step: every run's keys and values join its sequence, then its queries look. */
static struct tensor *attend_pages(struct tape *tape, const struct layer_context *context,
                                   int64_t layer, const struct attention_shape *shape,
                                   const struct tensor *q, const struct tensor *k,
                                   const struct tensor *v)
{
    struct tensor *out = q && k && v ? tape_tensor_like(tape, q) : NULL;
    if (!out)
        return NULL;
    int64_t width = shape->heads * shape->head_width, kv = shape->kv_heads * shape->head_width;
    int64_t row = 0, singles = 0;
    for (int64_t i = 0; i < context->run_count; i++) {
        const struct decoder_run *run = &context->runs[i];
        kv_store(tape->compute, context->cache, layer, run->sequence, k->data + row * kv,
                 v->data + row * kv, run->count);
        if (run->single)
            context->queries[singles++] =
                (struct kv_query){run->sequence, run->sequence->length + 1, q->data + row * width,
                                  out->data + row * width};
        row += run->count;
    }
    if (singles > 0) {
        size_t room = (size_t)kv_attend_space(shape, context->queries, singles) * sizeof(float);
        float *space = tape_alloc(tape, room);
        if (!space)
            return NULL;
        kv_attend(tape->compute, context->cache, layer, shape, context->queries, singles, space);
    }
    row = singles;
    for (int64_t i = singles; i < context->run_count; i++) {
        const struct decoder_run *run = &context->runs[i];
        kv_attend_rows(tape->compute, context->cache, layer, shape, run->sequence,
                       q->data + row * width, run->count, out->data + row * width);
        row += run->count;
    }
    return out;
}

/* Queries or keys (B, T, heads * D), normed and rotated as the layer wants it. */
static struct tensor *place_heads(struct decoder *decoder, struct tape *tape, int64_t index,
                                  const struct layer_context *context, int64_t heads,
                                  const struct decoder_norm *norm, struct tensor *x)
{
    const struct decoder_config *c = &decoder->config;
    float epsilon = (float)c->norm_epsilon;
    int64_t batch = context->shape.batch, length = context->shape.queries;
    if (c->query_norm == MODEL_QUERY_NORM_WHOLE) {
        x = op_rms_norm(tape, x, norm->weight, epsilon);
    } else if (c->query_norm == MODEL_QUERY_NORM_HEAD) {
        const int64_t apart[] = {batch, length, heads, c->head_width};
        const int64_t together[] = {batch, length, heads * c->head_width};
        x = op_rms_norm(tape, op_view(tape, x, 4, apart), norm->weight, epsilon);
        x = op_view(tape, x, 3, together);
    }
    if (c->positions != MODEL_POSITIONS_ROTARY || layer_pattern_has(&c->unrotated, index))
        return x;
    bool local = c->rope.local_base > 0 && decoder_layer_window(c, index) > 0;
    return op_rope(tape, x, heads, context->positions,
                   &decoder->rope[local ? ROTATION_LOCAL : context->rotation]);
}

/* Mixes tokens by attention over the normed stream; without the output projection. */
static struct tensor *attend(struct decoder *decoder, struct tape *tape, int64_t index,
                             const struct layer_context *context, struct tensor *normed)
{
    struct decoder_layer *layer = &decoder->layers[index];
    const struct decoder_config *c = &decoder->config;
    const struct linear *const inputs[] = {&layer->query, &layer->key, &layer->value,
                                           &layer->attention_gate};
    struct tensor *made[4], *q, *k, *v;
    if (decoder_layer_is_delta(c, index))
        return delta_mix(decoder, tape, index, context->batch, context->runs, context->run_count,
                         normed);
    if (!op_linear_group(tape, normed, inputs, c->attention_gate ? 4 : 3, made))
        return NULL;
    q = place_heads(decoder, tape, index, context, c->heads, &layer->query_norm, made[0]);
    k = place_heads(decoder, tape, index, context, c->kv_heads, &layer->key_norm, made[1]);
    v = made[2];
    struct attention_shape shape = context->shape;
    shape.window = decoder_layer_window(c, index);
    struct tensor *mixed;
    if (context->cache)
        mixed = attend_pages(tape, context, decoder_attention_layers(c, index), &shape, q, k, v);
    else
        mixed = op_attention(tape, q, k, v, &shape);
    return c->attention_gate && mixed ? op_gated(tape, ACTIVATION_SIGMOID, made[3], mixed) : mixed;
}

enum activation decoder_activation(enum model_mlp mlp)
{
    static const enum activation by_mlp[] = {
        [MODEL_MLP_SWIGLU] = ACTIVATION_SILU,         [MODEL_MLP_GEGLU_TANH] = ACTIVATION_GELU_TANH,
        [MODEL_MLP_GEGLU] = ACTIVATION_GELU,          [MODEL_MLP_GELU] = ACTIVATION_GELU,
        [MODEL_MLP_GELU_TANH] = ACTIVATION_GELU_TANH, [MODEL_MLP_RELU] = ACTIVATION_RELU,
    };
    return by_mlp[mlp];
}

/* The feed-forward layer over the normed stream; without the projection back. */
static struct tensor *feed(struct decoder *decoder, struct tape *tape, int64_t index,
                           struct tensor *normed)
{
    struct decoder_layer *layer = &decoder->layers[index];
    enum activation f = decoder_activation(decoder->config.mlp);
    if (!model_mlp_is_gated(decoder->config.mlp))
        return op_activate(tape, f, op_linear(tape, normed, &layer->up, NULL));
    const struct linear *const inputs[] = {&layer->up, &layer->gate};
    struct tensor *made[2];
    if (!op_linear_group(tape, normed, inputs, 2, made))
        return NULL;
    return op_gated(tape, f, made[1], made[0]);
}

/* A layer with its norms behind the sums. */
static struct tensor *pass_post(struct decoder *decoder, struct tape *tape, int64_t index,
                                const struct layer_context *context, struct tensor *x)
{
    static const struct decoder_norm none;
    struct decoder_layer *layer = &decoder->layers[index];
    struct tensor *mixed = attend(decoder, tape, index, context, x);
    x = join_stream(decoder, tape, x, mixed, &layer->output, &none);
    x = apply_norm(tape, decoder, &layer->attention_norm, x);
    x = join_stream(decoder, tape, x, feed(decoder, tape, index, x), &layer->down, &none);
    return apply_norm(tape, decoder, &layer->mlp_norm, x);
}

/* Both branches of a layer. */
static struct tensor *pass_layer(struct decoder *decoder, struct tape *tape, int64_t index,
                                 const struct layer_context *context, struct tensor *x)
{
    struct decoder_layer *layer = &decoder->layers[index];
    if (decoder->config.block == MODEL_BLOCK_POST)
        return pass_post(decoder, tape, index, context, x);
    struct tensor *normed = apply_norm(tape, decoder, &layer->attention_norm, x);
    struct tensor *mixed = attend(decoder, tape, index, context, normed);
    struct tensor *y =
        join_stream(decoder, tape, x, mixed, &layer->output, &layer->attention_after);
    bool parallel = decoder->config.block == MODEL_BLOCK_PARALLEL;
    normed = apply_norm(tape, decoder, &layer->mlp_norm, parallel ? x : y);
    if (decoder->config.experts > 0)
        return join_branch(decoder, tape, y, experts_feed(decoder, tape, index, normed),
                           &layer->mlp_after);
    return join_stream(decoder, tape, y, feed(decoder, tape, index, normed), &layer->down,
                       &layer->mlp_after);
}

static struct tensor *embed(struct decoder *decoder, struct tape *tape,
                            const struct decoder_batch *batch, const int32_t *positions)
{
    struct tensor *x = NULL;
    if (decoder->positions)
        x = op_embedding(tape, decoder->positions, positions, batch->batch, batch->length, NULL);
    if (decoder->positions && !x)
        return NULL;
    if (decoder->token_types) {
        size_t bytes = (size_t)(batch->batch * batch->length) * sizeof(int32_t);
        int32_t *first = tape_alloc(tape, bytes);
        if (!first)
            return NULL;
        memset(first, 0, bytes);
        x = op_embedding(tape, decoder->token_types, first, batch->batch, batch->length, x);
    }
    if (decoder->embedding_in.weight) {
        struct tensor *rows = op_embedding(tape, decoder->embedding, batch->tokens, batch->batch,
                                           batch->length, NULL);
        x = op_linear(tape, rows, &decoder->embedding_in, x);
    } else {
        x = op_embedding(tape, decoder->embedding, batch->tokens, batch->batch, batch->length, x);
    }
    if (decoder->config.embedding_scale > 0)
        x = op_scale(tape, x, decoder->config.embedding_scale);
    x = apply_norm(tape, decoder, &decoder->embedding_norm, x);
    if (decoder->config.dropout > 0 && tape->training)
        x = op_dropout(tape, x, decoder->config.dropout);
    return x;
}

/* The positions of a batch's tokens, counted from `first` where it does not say, plus the offset
 * of learned positions; *most receives one more than the largest. */
static const int32_t *fill_positions(struct tape *tape, const struct decoder *decoder,
                                     const struct decoder_batch *batch, int64_t first,
                                     int64_t *most)
{
    int64_t count = batch->batch * batch->length, offset = decoder->config.position_offset;
    int32_t *positions = tape_alloc(tape, (size_t)count * sizeof(int32_t));
    *most = 0;
    for (int64_t i = 0; positions && i < count; i++) {
        positions[i] =
            batch->positions ? batch->positions[i] : (int32_t)(first + i % batch->length);
        *most = positions[i] >= *most ? positions[i] + 1 : *most;
        positions[i] += (int32_t)offset;
    }
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
        .scale = (float)(c->attention_scale > 0 ? c->attention_scale
                                                : 1.0 / sqrt((double)c->head_width)),
        .softcap = (float)c->attention_softcap,
        .causal = !c->bidirectional,
        .segment_start = batch->segment_start,
    };
}

/* A layer as a function of its input. */
struct layer_call {
    struct decoder *decoder;
    int64_t index;
    struct layer_context context;
};

static struct tensor *call_layer(void *context, struct tape *tape, struct tensor *x)
{
    const struct layer_call *call = context;
    return pass_layer(call->decoder, tape, call->index, &call->context, x);
}

/* One layer. When nobody will ask for what lies inside it, its memory is handed back, and the new
 * stream takes the old one's place. */
static struct tensor *run_layer(struct decoder *decoder, struct tape *tape, int64_t index,
                                const struct layer_context *context, struct tensor *x)
{
    bool keeps = tape->recording || tape->forward_mode;
    if (decoder->checkpoints && tape->recording && !tape->forward_mode) {
        struct layer_call *call = tape_alloc(tape, sizeof *call);
        if (!call)
            return NULL;
        *call = (struct layer_call){decoder, index, *context};
        return tape_checkpoint(tape, call_layer, call, x);
    }
    struct arena_mark mark = arena_save(&tape->activations);
    struct tensor *y = pass_layer(decoder, tape, index, context, x);
    if (!y || keeps)
        return y;
    memcpy(x->data, y->data, (size_t)tensor_count(y) * sizeof(float));
    arena_rewind(&tape->activations, mark);
    return x;
}

/* What the last layer leaves, as hidden states. */
static struct tensor *finish(struct decoder *decoder, struct tape *tape, struct tensor *x)
{
    x = apply_norm(tape, decoder, &decoder->final_norm, x);
    return decoder->embedding_out.weight ? op_linear(tape, x, &decoder->embedding_out, NULL) : x;
}

struct tensor *decoder_hidden(struct decoder *decoder, struct tape *tape,
                              const struct decoder_batch *batch)
{
    struct layer_context context = {.shape = base_shape(decoder, batch), .batch = batch};
    int64_t most;
    context.positions = fill_positions(tape, decoder, batch, 0, &most);
    if (!context.positions ||
        !prepare_rotations(decoder, tape, batch->length, most, &context.rotation))
        return NULL;
    struct tensor *x = embed(decoder, tape, batch, context.positions);
    for (int64_t i = 0; x && i < decoder->config.layers; i++)
        x = run_layer(decoder, tape, i, &context, x);
    return finish(decoder, tape, x);
}

struct tensor *decoder_loss(struct decoder *decoder, struct tape *tape,
                            const struct decoder_batch *batch, const struct loss_target *target)
{
    struct tensor *hidden = decoder_hidden(decoder, tape, batch);
    return op_cross_entropy(tape, hidden, &decoder->head, target);
}

/* Generation. */

/* Tokens and positions of all runs, behind one another. */
static int64_t flatten_runs(const struct decoder_run *runs, int64_t count, int32_t *tokens,
                            int32_t *positions)
{
    int64_t row = 0;
    for (int64_t i = 0; i < count; i++)
        for (int64_t j = 0; j < runs[i].count; j++, row++) {
            tokens[row] = runs[i].tokens[j];
            positions[row] = (int32_t)(runs[i].sequence->length + j);
        }
    return row;
}

/* The rows of x whose results are wanted, copied behind one another (outputs, C). */
static float *gather_outputs(struct tape *tape, const struct tensor *x,
                             const struct decoder_run *runs, int64_t count, int64_t *outputs)
{
    int64_t width = tensor_columns(x), row = 0;
    *outputs = 0;
    for (int64_t i = 0; i < count; i++)
        *outputs += runs[i].outputs;
    float *rows = tape_alloc(tape, (size_t)(*outputs * width) * sizeof *rows), *to = rows;
    for (int64_t i = 0; rows && i < count; i++) {
        row += runs[i].count;
        size_t bytes = (size_t)(runs[i].outputs * width) * sizeof *rows;
        memcpy(to, x->data + (row - runs[i].outputs) * width, bytes);
        to += runs[i].outputs * width;
    }
    return rows;
}

/* Final hidden states of a step's rows; NULL on failure. */
static struct tensor *step_hidden(struct decoder *decoder, struct tape *tape,
                                  struct layer_context *context, int64_t rows)
{
    int32_t *tokens = tape_alloc(tape, (size_t)rows * sizeof *tokens);
    int32_t *positions = tape_alloc(tape, (size_t)rows * sizeof *positions);
    context->queries = tape_alloc(tape, (size_t)context->run_count * sizeof *context->queries);
    struct decoder_batch *batch = tape_alloc(tape, sizeof *batch);
    if (!tokens || !positions || !context->queries || !batch)
        return NULL;
    flatten_runs(context->runs, context->run_count, tokens, positions);
    *batch = (struct decoder_batch){
        .batch = 1, .length = rows, .tokens = tokens, .positions = positions};
    context->shape = base_shape(decoder, batch);
    context->batch = batch;
    int64_t most, longest = 0;
    for (int64_t i = 0; i < context->run_count; i++)
        longest = context->runs[i].beyond ? INT64_MAX : longest;
    context->positions = fill_positions(tape, decoder, batch, 0, &most);
    if (!context->positions || !prepare_rotations(decoder, tape, longest, most, &context->rotation))
        return NULL;
    struct tensor *x = embed(decoder, tape, batch, context->positions);
    for (int64_t i = 0; x && i < decoder->config.layers; i++)
        x = run_layer(decoder, tape, i, context, x);
    return finish(decoder, tape, x);
}

/* Runs whose rotations are of one kind. */
static void step_together(struct decoder *decoder, struct tape *tape, struct kv_cache *cache,
                          const struct decoder_run *runs, int64_t count, float *logits,
                          float *hidden)
{
    struct layer_context context = {.cache = cache, .runs = runs, .run_count = count};
    int64_t rows = 0, outputs;
    for (int64_t i = 0; i < count; i++) {
        tape->singles += runs[i].single;
        rows += runs[i].count;
    }
    struct tensor *x = step_hidden(decoder, tape, &context, rows);
    float *wanted = x ? gather_outputs(tape, x, runs, count, &outputs) : NULL;
    if (!wanted)
        return;
    if (hidden)
        memcpy(hidden, wanted, (size_t)(outputs * tensor_columns(x)) * sizeof *hidden);
    if (logits)
        linear_single_logits(tape->compute, wanted, outputs, &decoder->head, logits);
    for (int64_t i = 0; i < count; i++)
        runs[i].sequence->length += runs[i].count;
}

enum status decoder_step(struct decoder *decoder, struct tape *tape, struct kv_cache *cache,
                         const struct decoder_run *runs, int64_t run_count, float *logits,
                         float *hidden, struct error *error)
{
    bool kinds = decoder->config.rope.scaling == ROPE_SCALING_LONG;
    int64_t vocabulary = decoder->config.vocabulary;
    int64_t width = decoder_embedding_width(&decoder->config);
    for (int64_t begin = 0, end; begin < run_count; begin = end) {
        int64_t outputs = runs[begin].outputs;
        for (end = begin + 1; end < run_count; end++) {
            if (kinds && runs[end].beyond != runs[begin].beyond)
                break;
            outputs += runs[end].outputs;
        }
        struct arena_mark start = arena_save(&tape->activations);
        tape->stepping = true;
        tape->singles = 0;
        step_together(decoder, tape, cache, runs + begin, end - begin, logits, hidden);
        tape->stepping = false;
        arena_rewind(&tape->activations, start);
        if (tape_check(tape, error) != STATUS_OK)
            return tape_check(tape, error);
        logits = logits ? logits + outputs * vocabulary : NULL;
        hidden = hidden ? hidden + outputs * width : NULL;
    }
    return STATUS_OK;
}
