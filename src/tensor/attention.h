/* Softmax attention in tiles: scores exist only for a tile of queries and a slab of keys at a time
 * (Dao et al., "FlashAttention", 2022; Rabe and Staats 2021), so memory grows with T, not T x T.
 * Masks are a range of visible keys for each query: that covers causal, sliding-window, packed
 * documents, padding and a KV cache. */
#ifndef TENSOR_ATTENTION_H
#define TENSOR_ATTENTION_H

#include <stdbool.h>
#include <stdint.h>

#include "tensor/compute.h"

#define ATTENTION_HEAD_WIDTH_MOST 512

/* Queries (B, T, H * D); keys and values (B, M, Hkv * D). Query t stands at key t + offset. */
struct attention_shape {
    int64_t batch, queries, keys;
    int64_t heads, kv_heads, head_width; /* kv_heads divides heads; D at most 512 */
    float scale;                         /* of the scores, usually 1 / sqrt(D) */
    float softcap; /* c tanh(scale score / c) instead of scale score; 0: off */
    bool causal;
    int64_t offset; /* keys before the first query: a cache's length */
    int64_t window; /* a query sees this many keys at most, itself included; 0: all. Where attention
                       is not causal, as many to either side */
    const int32_t *segment_start; /* (B, T): first visible key, or NULL */
    const int32_t *lengths;       /* (B): keys from here on are padding, or NULL */
};

/* Keys [*begin, *end) that query t of sequence b sees; may be empty, then its output is 0. */
void attention_visible(const struct attention_shape *shape, int64_t b, int64_t t, int64_t *begin,
                       int64_t *end);

/* out (B, T, H * D). log_sums (B, H, T), or NULL: log of each query's sum of exponentials, which
 * backward needs. */
void attention_forward(const struct compute *compute, const struct attention_shape *shape,
                       const float *q, const float *k, const float *v, float *out, float *log_sums);

/* Keys and values that lie elsewhere than in one array, as in the pages of a cache: writes those of
 * one key/value head, keys [first, first + count), as rows of D values. */
struct attention_source {
    void (*load)(const void *context, int64_t kv_head, int64_t first, int64_t count, float *keys,
                 float *values);
    const void *context;
};
/* attention_forward of one sequence (batch 1) over such keys. The result for a query is the same
 * bits whatever other queries are computed beside it. */
void attention_forward_from(const struct compute *compute, const struct attention_shape *shape,
                            const float *q, const struct attention_source *source, float *out);

/* What backward reads and writes; gradients that are NULL are not computed. */
struct attention_gradients {
    const float *q, *k, *v, *out, *log_sums, *out_gradient;
    float *q_gradient, *k_gradient, *v_gradient;
    bool q_add, k_add, v_add; /* add to what is there instead of overwriting it */
};
void attention_backward(const struct compute *compute, const struct attention_shape *shape,
                        const struct attention_gradients *gradients);

/* Forward mode: the derivative of out along tangents of q, k, v, each of which may be NULL (zero).
 * Plain loops; it serves a few methods that take one product a step. */
struct attention_tangents {
    const float *q, *k, *v, *q_tangent, *k_tangent, *v_tangent;
};
void attention_tangent(const struct compute *compute, const struct attention_shape *shape,
                       const struct attention_tangents *tangents, float *out_tangent);

#endif
