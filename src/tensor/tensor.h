/* A tensor: row-major f32 values with a shape, and beside them, when wanted, the gradient of the
 * loss (reverse mode) and the derivative along a direction (forward mode). It owns nothing: memory
 * belongs to an arena, a parameter store or a caller. */
#ifndef TENSOR_TENSOR_H
#define TENSOR_TENSOR_H

#include <stdbool.h>
#include <stdint.h>

#define TENSOR_RANK 4

struct tensor {
    int rank;
    int64_t shape[TENSOR_RANK]; /* outermost first */
    float *data;
    float *gradient; /* same layout; NULL: none yet, or none wanted */
    float *tangent;  /* same layout; NULL means zero */
    bool trains;     /* a gradient is wanted here or in something that this was made from */
    bool parameter;  /* gradient buffer is the owner's: add to it, never take or recycle it */
};

/* Number of values. */
static inline int64_t tensor_count(const struct tensor *tensor)
{
    int64_t count = 1;
    for (int i = 0; i < tensor->rank; i++)
        count *= tensor->shape[i];
    return count;
}

/* Length of the last axis (C of (B, T, C)); 1 for a scalar. */
static inline int64_t tensor_columns(const struct tensor *tensor)
{
    return tensor->rank ? tensor->shape[tensor->rank - 1] : 1;
}

/* Product of all axes but the last (B*T of (B, T, C)). */
static inline int64_t tensor_rows(const struct tensor *tensor)
{
    int64_t rows = 1;
    for (int i = 0; i + 1 < tensor->rank; i++)
        rows *= tensor->shape[i];
    return rows;
}

#endif
