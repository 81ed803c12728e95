/* What the forward and backward passes of attention share: packing heads into the operands of the
 * matrix kernels, and multiplying tiles. Private to attention. */
#ifndef TENSOR_ATTENTION_TILES_H
#define TENSOR_ATTENTION_TILES_H

#include "tensor/attention.h"

/* Keys in a slab: what fits a row of a tile, fewer for very wide heads so that all packed forms
 * fit the scratch memory. */
static inline int64_t attention_slab(const struct attention_shape *shape)
{
    return shape->head_width <= 128 ? GEMM_DEPTH : GEMM_DEPTH / 4;
}

static inline int64_t attention_round_up(int64_t value, int64_t unit)
{
    return (value + unit - 1) / unit * unit;
}

/* What exponentials multiply scores with, once attention_cap has been over them. */
static inline float attention_slope(const struct attention_shape *shape)
{
    return shape->softcap > 0 ? 1.0f : shape->scale;
}

/* Raw scores, capped in place where the shape asks for it. */
void attention_cap(const struct compute *compute, const struct attention_shape *shape,
                   int64_t count, float *scores);

/* Rows (count, D), `stride` apart, as the transposed right-hand operand: (D, count). */
void attention_pack_across(const struct gemm_kernels *kernels, const float *rows, int64_t stride,
                           int64_t count, int64_t width, float *panels);
/* The same rows as a straight right-hand operand: (count, D). */
void attention_pack_along(const struct gemm_kernels *kernels, const float *rows, int64_t stride,
                          int64_t count, int64_t width, float *panels);
/* The same rows as a left-hand block. */
void attention_pack_left(const float *rows, int64_t stride, int64_t count, int64_t width,
                         float *block);

/* One product over packed operands: C (rows, columns) = or += A (rows, units) B. B's panels are
 * `panel_units` units deep, of which [first_unit, first_unit + units) are used; A starts at its
 * first used unit. Columns [first_column, columns) are computed; first_column is a multiple of the
 * tile's width. */
struct attention_product {
    const float *a;
    bool a_transposed;
    const float *b;
    int64_t panel_units, first_unit, units;
    int64_t rows, first_column, columns;
    float *c;
    int64_t c_stride;
    bool add;
};
void attention_multiply(const struct gemm_kernels *kernels, const struct attention_product *p);

/* The keys of slab [slab, slab + count) that any of queries [first, last) sees, relative to the
 * slab; *begin == *end when none. *begin is rounded down to a multiple of `unit`. */
void attention_tile_range(const struct attention_shape *shape, int64_t b, int64_t first,
                          int64_t last, int64_t slab, int64_t count, int64_t unit, int64_t *begin,
                          int64_t *end);

#endif
