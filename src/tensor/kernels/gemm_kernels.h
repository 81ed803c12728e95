/* The inner kernels of matrix products, one table per instruction set.
 *
 * A product C (M, N) = A (M, K) B (K, N) is computed in tiles of `rows` x `columns`. Values along K
 * come in units: one f32, or a pair of bfloat16 in the same 32 bits. A is read from a block of
 * units whose rows are GEMM_STRIDE apart, either as it stands or transposed, so that packing it is
 * a copy. B is read from panels: for each unit of K, `columns` units side by side. */
#ifndef TENSOR_KERNELS_GEMM_KERNELS_H
#define TENSOR_KERNELS_GEMM_KERNELS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define GEMM_DEPTH 512 /* most units of K in one pass */
#define GEMM_STRIDE                                                                                \
    528                   /* units between rows of an A block: 33 cache lines, so that rows do     \
                             not fall on the same cache sets */
#define GEMM_ROWS_MOST 14 /* largest tile */
#define GEMM_COLUMNS_MOST 32

struct gemm_tile {
    const void *a;     /* first unit: rows GEMM_STRIDE apart, or, transposed, one apart */
    const void *b;     /* first unit: rows of `columns` units */
    int64_t a_step;    /* transposed: from one unit of K to the next */
    int64_t b_step;    /* likewise; the tile's full width in a panel */
    int64_t units;     /* along K */
    int rows, columns; /* valid part of the tile */
    float *c;          /* C's upper left value */
    int64_t c_stride;
    const float *add; /* added to the product; NULL: nothing. May be c itself */
    int64_t add_stride;
    const float *bias; /* `columns` values added to each row, or NULL */
    bool a_transposed;
};

struct gemm_kernels {
    int rows, columns; /* of a full tile */
    int pair;          /* values of K in a unit: 1, or 2 for bfloat16 */
    void (*multiply)(const struct gemm_tile *tile);
    /* Copies `count` values of a row into units: for pair 2 they are rounded and joined along the
     * row; an odd last value is paired with 0. */
    void (*pack_row)(const float *row, int64_t count, void *units);
    /* Units from two rows, value j of `first` with value j of `second` (NULL: 0); pair 2 only. */
    void (*pack_pair)(const float *first, const float *second, int64_t count, void *units);
    /* Transposes `rows` (at most `columns` of the tile) rows of `units` units, `stride` units
     * apart, into a panel; missing rows become 0. */
    void (*transpose)(const void *rows_units, int64_t stride, int rows, int64_t units, void *panel);
};

/* Copies units; for the short runs of packing, where a call of memcpy costs more than the copy. */
static inline void gemm_copy(void *to, const void *from, int64_t units)
{
    char *out = to;
    const char *in = from;
    for (; units >= 16; units -= 16, out += 64, in += 64)
        memcpy(out, in, 64);
    if (units > 0)
        memcpy(out, in, (size_t)units * 4);
}

extern const struct gemm_kernels gemm_kernels_baseline, gemm_kernels_baseline_bf16;
#if defined(__x86_64__)
extern const struct gemm_kernels gemm_kernels_avx2, gemm_kernels_avx2_bf16;
extern const struct gemm_kernels gemm_kernels_avx512, gemm_kernels_avx512_bf16;
extern const struct gemm_kernels gemm_kernels_bf16;
#endif

#endif
