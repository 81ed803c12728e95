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

/* The kernels of all products: with MATMUL_BF16 operands are rounded, and sums stay f32. */
static inline const struct gemm_kernels *attention_kernels(const struct compute *compute)
{
    return compute->precision == MATMUL_BF16 ? compute->gemm_bf16 : compute->gemm_f32;
}

/* Units of that many values along K. */
static inline int64_t attention_units(const struct gemm_kernels *kernels, int64_t values)
{
    return (values + kernels->pair - 1) / kernels->pair;
}

/* Rows (count, D), `stride` apart, as the transposed right-hand operand: (D, count). `space` is for
 * GEMM_COLUMNS_MOST rows of a block. */
void attention_pack_across(const struct gemm_kernels *kernels, const float *rows, int64_t stride,
                           int64_t count, int64_t width, uint32_t *panels, uint32_t *space);
/* The same rows as a straight right-hand operand: (count, D). `space` is for one row. */
void attention_pack_along(const struct gemm_kernels *kernels, const float *rows, int64_t stride,
                          int64_t count, int64_t width, uint32_t *panels, uint32_t *space);
/* The same rows as a left-hand block (count, D), or transposed (D, count). */
void attention_pack_left(const struct gemm_kernels *kernels, const float *rows, int64_t stride,
                         int64_t count, int64_t width, uint32_t *block);
void attention_pack_turned(const struct gemm_kernels *kernels, const float *rows, int64_t stride,
                           int64_t count, int64_t width, uint32_t *block);

/* Scores or their like (count, width), GEMM_STRIDE apart, as a left-hand block, transposed or not:
 * where they lie, or rounded into `space`. */
const uint32_t *attention_left(const struct compute *compute, const float *scores, int64_t count,
                               int64_t width, bool turned, uint32_t *space);

/* One product over packed operands: C (rows, columns) = or += A (rows, units) B. B's panels are
 * `panel_units` units deep, of which [first_unit, first_unit + units) are used; A starts at its
 * first used unit. Columns [first_column, columns) are computed; first_column is a multiple of the
 * tile's width. */
struct attention_product {
    const uint32_t *a;
    bool a_transposed;
    const uint32_t *b;
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
