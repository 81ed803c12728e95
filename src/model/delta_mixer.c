/* See delta_mixer.h. */
#include "model/delta_mixer.h"

#include "tensor/delta.h"

static struct delta_shape shape_of(const struct decoder_config *c, int64_t batch, int64_t length)
{
    const struct delta_config *d = &c->delta;
    return (struct delta_shape){.batch = batch,
                                .length = length,
                                .key_heads = d->key_heads,
                                .value_heads = d->value_heads,
                                .key_width = d->key_width,
                                .value_width = d->value_width,
                                .kernel = d->kernel};
}

/* The layer's part of a sequence's state. */
static float *state_of(const struct decoder_config *c, const struct kv_sequence *sequence,
                       int64_t layer)
{
    int64_t before = layer - decoder_attention_layers(c, layer);
    int64_t all = c->layers - decoder_attention_layers(c, c->layers);
    return sequence->state + before * (decoder_state_values(c) / all);
}

/* Convolution and rule, sequence by sequence. */
static struct tensor *go_on(struct decoder *decoder, struct tape *tape, int64_t index,
                            const struct decoder_run *runs, int64_t run_count,
                            struct tensor *const *made)
{
    const struct decoder_config *c = &decoder->config;
    const struct decoder_layer *layer = &decoder->layers[index];
    int64_t columns = decoder_delta_columns(c), heads = c->delta.value_heads;
    int64_t rows = tensor_rows(made[0]), values = heads * c->delta.value_width;
    const int64_t shape[] = {1, rows, values};
    struct tensor *out = tape_tensor(tape, 3, shape);
    float *mixed = tape_alloc(tape, (size_t)(rows * columns) * sizeof *mixed);
    if (!out || !mixed)
        return NULL;
    int64_t row = 0;
    for (int64_t i = 0; i < run_count; row += runs[i].count, i++) {
        struct delta_shape part = shape_of(c, 1, runs[i].count);
        float *state = state_of(c, runs[i].sequence, index), *own = mixed + row * columns;
        causal_convolution_continue(&part, made[0]->data + row * columns, columns,
                                    layer->delta_kernel->data, state, own);
        tape->compute->kernels->activate(runs[i].count * columns, ACTIVATION_SILU, own, own);
        struct delta_inputs in = {own, made[2]->data + row * heads, made[3]->data + row * heads,
                                  layer->delta_rate->data, layer->delta_bias->data};
        delta_continue(tape->compute, &part, &in, state + (c->delta.kernel - 1) * columns,
                       out->data + row * values);
    }
    return out;
}

struct tensor *delta_mix(struct decoder *decoder, struct tape *tape, int64_t index,
                         const struct decoder_batch *batch, const struct decoder_run *runs,
                         int64_t run_count, struct tensor *normed)
{
    const struct decoder_config *c = &decoder->config;
    const struct decoder_layer *layer = &decoder->layers[index];
    const struct linear *const inputs[] = {&layer->delta_input, &layer->delta_gate,
                                           &layer->delta_beta, &layer->delta_decay};
    struct tensor *made[4], *out;
    if (!op_linear_group(tape, normed, inputs, 4, made))
        return NULL;
    if (runs) {
        out = go_on(decoder, tape, index, runs, run_count, made);
    } else {
        struct delta_shape shape = shape_of(c, batch->batch, batch->length);
        shape.segment_start = batch->segment_start;
        out = op_causal_convolution(tape, &shape, made[0], layer->delta_kernel);
        out = op_activate(tape, ACTIVATION_SILU, out);
        out = op_delta(tape, &shape, out, made[2], made[3], layer->delta_rate, layer->delta_bias);
    }
    if (!out)
        return NULL;
    int64_t batches = out->shape[0], length = out->shape[1], heads = c->delta.value_heads;
    const int64_t apart[] = {batches, length, heads, c->delta.value_width};
    const int64_t together[] = {batches, length, heads * c->delta.value_width};
    out = op_rms_norm(tape, op_view(tape, out, 4, apart), layer->delta_norm.weight,
                      (float)c->norm_epsilon);
    return op_gated(tape, ACTIVATION_SILU, made[1], op_view(tape, out, 3, together));
}

int64_t delta_mixer_values(const struct decoder_config *c)
{
    const struct delta_config *d = &c->delta;
    int64_t values = d->value_heads * d->value_width;
    int64_t kept = d->value_heads * d->key_width * d->value_width / DELTA_KEEP;
    return 3 * decoder_delta_columns(c) + 4 * values + 3 * d->value_heads + kept + c->width;
}
