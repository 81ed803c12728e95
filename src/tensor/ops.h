/* The ops of the decoder that need no weight format; those that multiply with a weight (linear,
 * embedding, cross-entropy with the output projection) are in weight/ops.h. Each op returns its
 * output, or NULL after a failure that is kept on the tape. Rows are the product of all axes but
 * the last; columns the last. */
#ifndef TENSOR_OPS_H
#define TENSOR_OPS_H

#include <stdbool.h>
#include <stdint.h>

#include "tensor/attention.h"
#include "tensor/tape.h"

/* y = x / sqrt(mean(x^2) + epsilon) * weight over each row; weight (C). Zhang and Sennrich 2019. */
struct tensor *op_rms_norm(struct tape *tape, struct tensor *x, struct tensor *weight,
                           float epsilon);

/* y = (x - mean) / sqrt(var + epsilon) * weight + bias, biased variance; weight, bias (C). */
struct tensor *op_layer_norm(struct tape *tape, struct tensor *x, struct tensor *weight,
                             struct tensor *bias, float epsilon);

/* Cosines and sines of positions 0..positions-1 for heads of width D, each (positions, D / 2). */
struct rope_table {
    const float *cosines, *sines;
    int64_t positions;
    int64_t head_width;
};

/* Rotates each head of x (rows, heads * D) by its row's position; position[row] < table positions.
 * Pair (j, j + D/2), as in Hugging Face files. Works in place: x's values are overwritten, and the
 * op that made x must not need its own output for its backward. */
struct tensor *op_rope(struct tape *tape, struct tensor *x, const int32_t *position,
                       const struct rope_table *table);

/* Softmax attention; see tensor/attention.h for the shape's fields and masks. q (B, T, H * D), k
 * and v (B, M, Hkv * D) -> (B, T, H * D). The mask arrays must live until backward. */
struct tensor *op_attention(struct tape *tape, struct tensor *q, struct tensor *k, struct tensor *v,
                            const struct attention_shape *shape);

/* silu(gate) * up, same shapes. */
struct tensor *op_swiglu(struct tape *tape, struct tensor *gate, struct tensor *up);

/* x * Phi(x): exact, or the tanh approximation that GPT-2 uses. */
struct tensor *op_gelu(struct tape *tape, struct tensor *x, bool tanh_form);

struct tensor *op_add(struct tape *tape, struct tensor *a, struct tensor *b);

/* While tape->training: zeroes values with probability `rate` and scales the rest by
 * 1 / (1 - rate). The mask is a function of (tape seed, step, op, element), remade in backward. */
struct tensor *op_dropout(struct tape *tape, struct tensor *x, double rate);

#endif
