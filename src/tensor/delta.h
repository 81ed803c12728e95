/* The gated delta rule (Yang, Kautz and Hatamizadeh 2025, "Gated Delta Networks"): a mixer of
 * tokens whose memory is a matrix S (Dk, Dv) for each head, which fades, forgets what it says of a
 * key and learns what is new. With q, k of length 1 (q also divided by sqrt(Dk)):
 *
 *     S' = a S,  d = b (v - S'^T k),  S = S' + k d^T,  out = S^T q,
 *     a = exp(-exp(rate) softplus(decay + decay_bias)),  b = sigmoid(beta)
 *
 * Value head h has queries and keys of key head h modulo their number, as ggml has it. Computed
 * token by token, heads side by side; backward keeps S every few tokens and makes what
 * lies between again. */
#ifndef TENSOR_DELTA_H
#define TENSOR_DELTA_H

#include <stdint.h>

#include "tensor/tape.h"

#define DELTA_WIDTH_MOST 256
#define DELTA_KEEP 16 /* tokens between states that are kept for backward */

struct delta_shape {
    int64_t batch, length;
    int64_t key_heads, value_heads; /* key_heads divides value_heads */
    int64_t key_width, value_width; /* Dk, Dv; at most DELTA_WIDTH_MOST */
    int64_t kernel;                 /* K of the convolution */
    const int32_t *segment_start;   /* (B, T): first token of the token's document, or NULL */
};

/* Values of S of all heads of a sequence. */
int64_t delta_state_values(const struct delta_shape *shape);

/* Inputs of the rule: mixed (B, T, 2 Hk Dk + Hv Dv): queries, keys, values; beta and decay (B, T,
 * Hv); rate and decay_bias (Hv). out (B, T, Hv Dv). */
struct tensor *op_delta(struct tape *tape, const struct delta_shape *shape, struct tensor *mixed,
                        struct tensor *beta, struct tensor *decay, struct tensor *rate,
                        struct tensor *decay_bias);

/* The same outside of any tape for one sequence that goes on: `state` is read and written. */
struct delta_inputs {
    const float *mixed, *beta, *decay, *rate, *decay_bias;
};
void delta_continue(const struct compute *compute, const struct delta_shape *shape,
                    const struct delta_inputs *in, float *state, float *out);

/* Depthwise causal convolution over tokens, within documents: y[t, c] = sum over j < K of
 * kernel[c, j] x[t - K + 1 + j, c]. x (B, T, C); kernel, a vector, holds (C, K). */
struct tensor *op_causal_convolution(struct tape *tape, const struct delta_shape *shape,
                                     struct tensor *x, struct tensor *kernel);
/* One sequence that goes on: `state` holds the last K - 1 inputs (K - 1, C). */
void causal_convolution_continue(const struct delta_shape *shape, const float *x, int64_t columns,
                                 const float *kernel, float *state, float *out);

#endif
