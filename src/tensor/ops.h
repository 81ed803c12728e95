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

/* Cosines and sines of positions 0..positions-1 for heads of width D, of which the first W values
 * are rotated, each (positions, W / 2). */
struct rope_table {
    const float *cosines, *sines;
    int64_t positions;
    int64_t head_width, width; /* D, W */
};

/* Rotates each head of x (..., heads * D) or (..., heads, D) by its token's position; there is a
 * position for each `heads * D` values of x, below the table's positions. Pair (j, j + W/2), as in
 * Hugging Face files. Works in place: x's values are overwritten, and the
 * op that made x must not need its own output for its backward. */
struct tensor *op_rope(struct tape *tape, struct tensor *x, int64_t heads, const int32_t *position,
                       const struct rope_table *table);

/* Softmax attention; see tensor/attention.h for the shape's fields and masks. q (B, T, H * D), k
 * and v (B, M, Hkv * D) -> (B, T, H * D). The mask arrays must live until backward. */
struct tensor *op_attention(struct tape *tape, struct tensor *q, struct tensor *k, struct tensor *v,
                            const struct attention_shape *shape);

/* f(gate) * up, same shapes: SwiGLU with SiLU, GEGLU with GELU (Shazeer 2020). */
struct tensor *op_gated(struct tape *tape, enum activation f, struct tensor *gate,
                        struct tensor *up);

struct tensor *op_activate(struct tape *tape, enum activation f, struct tensor *x);

/* factor * x. */
struct tensor *op_scale(struct tape *tape, struct tensor *x, double factor);

/* x under another shape of as many values (outermost first): nothing is copied, and the gradient
 * is handed on. x itself must not be used by other ops. */
struct tensor *op_view(struct tape *tape, struct tensor *x, int rank, const int64_t *shape);

/* For a mixture of experts (Shazeer et al. 2017). From logits (rows, E): `chosen` (rows, used),
 * which must live until backward, receives the largest of each row, falling, ties to the lower
 * index; returned are their weights (rows, used): shares of the softmax over all E, or with `whole`
 * divided by the sum of those chosen. */
struct tensor *op_route(struct tape *tape, struct tensor *logits, int64_t used, bool whole,
                        int32_t *chosen);
/* Rows rows[i] of x (..., C) -> (count, C). The list must live until backward. */
struct tensor *op_gather_rows(struct tape *tape, struct tensor *x, const int32_t *rows,
                              int64_t count);
/* out[r] = sum over k of weights[r, k] * row place[r, k] of parts[part[r, k]]; weights (rows,
 * used), the parts (any, C), NULL where none is used. All lists must live until backward. */
struct tensor *op_mix_rows(struct tape *tape, struct tensor *weights, struct tensor *const *parts,
                           int64_t part_count, const int32_t *part, const int32_t *place);

struct tensor *op_add(struct tape *tape, struct tensor *a, struct tensor *b);

/* While tape->training: zeroes values with probability `rate` and scales the rest by
 * 1 / (1 - rate). The mask is a function of (tape seed, step, op, element), remade in backward. */
struct tensor *op_dropout(struct tape *tape, struct tensor *x, double rate);

#endif
