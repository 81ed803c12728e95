/* The matrix-product kernel, written once with the compiler's vector types. A file per instruction
 * set defines LANES (floats per register), ROWS (of a tile) and SUFFIX, and includes this. A tile
 * is 2 registers wide; ROWS x 2 sums, 2 registers of B and one broadcast of A fill the register
 * file. With NATIVE_BF16 the processor multiplies pairs of bfloat16; elsewhere pairs are widened to
 * f32 again while packing, so that the rounding is the same everywhere. */
#include <string.h>

#include "tensor/kernels/gemm_kernels.h"

#define JOIN2(a, b) a##b
#define JOIN(a, b) JOIN2(a, b)
#define COLUMNS (2 * LANES)

typedef float lanes_f32 __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

/* One unit of A at `from` times the registers b, added to sum. */
#ifdef NATIVE_BF16
#define MULTIPLY(sum, from, b)                                                                     \
    ((sum) = (lanes_f32)_mm512_dpbf16_ps((__m512)(sum), (__m512bh)_mm512_set1_ps(*(from)),         \
                                         (__m512bh)(b)))
#else
#define MULTIPLY(sum, from, b) ((sum) += *(from) * (b))
#endif

static inline __attribute__((always_inline)) void store_tile(const struct gemm_tile *tile, int rows,
                                                             lanes_f32 (*sums)[2])
{
    if (tile->columns == COLUMNS) {
        for (int i = 0; i < rows; i++) {
            float *c = tile->c + i * tile->c_stride;
            lanes_f32 low = sums[i][0], high = sums[i][1];
            if (tile->bias) {
                low += *(const lanes_f32 *)tile->bias;
                high += *(const lanes_f32 *)(tile->bias + LANES);
            }
            if (tile->add) {
                const float *add = tile->add + i * tile->add_stride;
                low += *(const lanes_f32 *)add;
                high += *(const lanes_f32 *)(add + LANES);
            }
            *(lanes_f32 *)c = low;
            *(lanes_f32 *)(c + LANES) = high;
        }
        return;
    }
    for (int i = 0; i < rows; i++) {
        float row[COLUMNS];
        memcpy(row, sums[i], sizeof row);
        for (int j = 0; j < tile->columns; j++) {
            float value = row[j];
            if (tile->bias)
                value += tile->bias[j];
            if (tile->add)
                value += tile->add[i * tile->add_stride + j];
            tile->c[i * tile->c_stride + j] = value;
        }
    }
}

/* `half`: the tile has no columns in its second register. */
static inline __attribute__((always_inline)) void
tile_rows(const struct gemm_tile *tile, int rows, int64_t row_step, int64_t unit_step, bool half)
{
    lanes_f32 sums[ROWS][2] = {0};
    const float *a = tile->a, *b = tile->b;
    for (int64_t k = 0; k < tile->units; k++) {
        lanes_f32 low = *(const lanes_f32 *)b, high = *(const lanes_f32 *)(b + LANES);
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++) {
            MULTIPLY(sums[i][0], a + i * row_step, low);
            if (!half)
                MULTIPLY(sums[i][1], a + i * row_step, high);
        }
        a += unit_step;
        b += tile->b_step;
    }
    store_tile(tile, rows, sums);
}

#define TILE_CASE(n)                                                                               \
    case n:                                                                                        \
        if (tile->a_transposed)                                                                    \
            tile_rows(tile, n, 1, tile->a_step, false);                                            \
        else if (tile->columns > LANES)                                                            \
            tile_rows(tile, n, GEMM_STRIDE, 1, false);                                             \
        else                                                                                       \
            tile_rows(tile, n, GEMM_STRIDE, 1, true);                                              \
        break;

static void multiply(const struct gemm_tile *tile)
{
    switch (tile->rows) {
        TILE_CASE(1)
        TILE_CASE(2)
        TILE_CASE(3)
        TILE_CASE(4)
#if ROWS > 4
        TILE_CASE(5)
        TILE_CASE(6)
#endif
#if ROWS > 6
        TILE_CASE(7)
        TILE_CASE(8)
        TILE_CASE(9)
        TILE_CASE(10)
        TILE_CASE(11)
        TILE_CASE(12)
        TILE_CASE(13)
        TILE_CASE(14)
#endif
    }
}

/* Four by four at a time: the compiler turns it into register shuffles. */
typedef float quad_f32 __attribute__((vector_size(16), aligned(4), may_alias));

static void transpose_quad(const float *from, int64_t stride, float *to)
{
    quad_f32 a = *(const quad_f32 *)from, b = *(const quad_f32 *)(from + stride);
    quad_f32 c = *(const quad_f32 *)(from + 2 * stride), d = *(const quad_f32 *)(from + 3 * stride);
    quad_f32 ab_low = {a[0], b[0], a[1], b[1]}, ab_high = {a[2], b[2], a[3], b[3]};
    quad_f32 cd_low = {c[0], d[0], c[1], d[1]}, cd_high = {c[2], d[2], c[3], d[3]};
    *(quad_f32 *)to = (quad_f32){ab_low[0], ab_low[1], cd_low[0], cd_low[1]};
    *(quad_f32 *)(to + COLUMNS) = (quad_f32){ab_low[2], ab_low[3], cd_low[2], cd_low[3]};
    *(quad_f32 *)(to + 2 * COLUMNS) = (quad_f32){ab_high[0], ab_high[1], cd_high[0], cd_high[1]};
    *(quad_f32 *)(to + 3 * COLUMNS) = (quad_f32){ab_high[2], ab_high[3], cd_high[2], cd_high[3]};
}

static void transpose(const void *rows_units, int64_t stride, int rows, int64_t units, void *panel)
{
    const float *from = rows_units;
    float *to = panel;
    int row = 0;
    for (; row + 4 <= rows; row += 4) {
        int64_t k = 0;
        for (; k + 4 <= units; k += 4)
            transpose_quad(from + row * stride + k, stride, to + k * COLUMNS + row);
        for (; k < units; k++)
            for (int i = 0; i < 4; i++)
                to[k * COLUMNS + row + i] = from[(row + i) * stride + k];
    }
    for (; row < COLUMNS; row++)
        for (int64_t k = 0; k < units; k++)
            to[k * COLUMNS + row] = row < rows ? from[row * stride + k] : 0.0f;
}

/* Rounding to bfloat16, to nearest even. */
static inline uint32_t round_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000;
    return (bits & 0x7fffffff) > 0x7f800000 ? bits | 0x400000 : rounded;
}

#ifndef NATIVE_BF16
static void pack_row(const float *row, int64_t count, void *units)
{
    memcpy(units, row, (size_t)count * sizeof(float));
}

static void pack_row_rounded(const float *row, int64_t count, void *units)
{
    uint32_t *out = units;
    for (int64_t i = 0; i < count; i++)
        out[i] = round_bits(row[i]);
}

const struct gemm_kernels JOIN(gemm_kernels_, SUFFIX) = {
    .rows = ROWS,
    .columns = COLUMNS,
    .pair = 1,
    .multiply = multiply,
    .pack_row = pack_row,
    .transpose = transpose,
};

const struct gemm_kernels JOIN(JOIN(gemm_kernels_, SUFFIX), _bf16) = {
    .rows = ROWS,
    .columns = COLUMNS,
    .pair = 1,
    .multiply = multiply,
    .pack_row = pack_row_rounded,
    .transpose = transpose,
};
#endif
