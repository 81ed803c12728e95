/* Products of quantized weights with activations rounded to 8 bits, one table per instruction set.
 *
 * A row of activations is rounded in blocks of 32 values for formats with blocks of 32, and in
 * blocks of 256 for those with super-blocks. Weights stay the codes that they are. The products of
 * codes are summed as integers, exactly, over 32 values or over a whole super-block with its
 * sub-scales, which are integers, too; then each block adds one product of scales to an f32 sum,
 * from first block to last. So the sum of one row of activations and one row of weights is the same
 * bits wherever it is made: alone, among few rows or in a large matrix.
 *
 * `lanes` rows of weights lie side by side in a register, four codes of each: blocks are transposed
 * while they are read. With few rows of activations they are used right there; with many they are
 * first written to panels, in the same order, which then serve all rows.
 *
 * A rounded row is: codes (int8, one for each of K values); scales (f32, one for each block); then
 * for each sub-block what its codes add up to: times -offset as int32 where codes are unsigned by
 * an offset; times the scale as f32 for minima of blocks of 32; as int16 for minima of
 * super-blocks.
 */
#ifndef WEIGHT_KERNELS_INT8_KERNELS_H
#define WEIGHT_KERNELS_INT8_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

#include "weight/weight.h"

#define INT8_FEW 4 /* most rows of activations of multiply_few */
#define INT8_LANES_MOST 16

/* How a format takes part; block 0: it does not. */
struct int8_layout {
    int block;     /* values with one scale: 32 or 256 */
    int sub;       /* values with one sub-scale; 32 when block is 32 */
    int offset;    /* what is subtracted from unsigned codes */
    bool minima;   /* products of minima are added (block 32) or subtracted (256) */
    bool negative; /* codes are signed */
};

/* `lanes` rows of weights, `stride` bytes apart, times at most INT8_FEW rows. */
struct int8_few {
    const unsigned char *weights;
    int64_t stride;
    int64_t depth; /* K */
    const unsigned char *rows;
    int64_t row_stride;
    int row_count;
    float *out; /* (row_count, lanes) */
};

/* At most `tile_rows` rows times two panels of `lanes` outputs, over values [begin, end) of K,
 * which are whole blocks. */
struct int8_tile {
    const unsigned char *panels[2]; /* their first block */
    const unsigned char *rows;
    int64_t row_stride;
    int row_count;
    int64_t depth, begin, end;
    float *sums; /* (row_count, 2 lanes): added to, but overwritten when begin is 0 */
    /* Where the sums go when end is depth: C's first `columns` columns of each row. */
    int columns;
    float *c;
    int64_t c_stride;
    const float *add; /* added to the sums, or NULL; may be c itself */
    int64_t add_stride;
    const float *bias; /* added to each row's, or NULL */
};

struct int8_kernels {
    int lanes, tile_rows;
    const struct int8_layout *layouts; /* by weight_code */
    void (*quantize)(const struct int8_layout *layout, const float *values, int64_t count,
                     unsigned char *row);
    void (*multiply_few[WEIGHT_CODES])(const struct int8_few *call);
    /* Writes `lanes` rows of weights into a panel. */
    void (*pack[WEIGHT_CODES])(const unsigned char *weights, int64_t stride, int64_t depth,
                               unsigned char *panel);
    void (*multiply_tile[WEIGHT_CODES])(const struct int8_tile *tile);
};

/* Bytes of a rounded row without padding, and of one block of a panel. */
static inline int64_t int8_row_bytes(const struct int8_layout *layout, int64_t depth)
{
    return depth + depth / layout->block * 4 + depth / layout->sub * 4;
}

static inline int64_t int8_record_bytes(const struct int8_layout *layout, int lanes)
{
    int64_t sides = layout->block == 32 ? 0 : layout->block / layout->sub;
    int64_t words = layout->block / 4 + 1 + sides;
    if (layout->minima)
        words += 1 + sides / 2;
    return words * lanes * 4;
}

extern const struct int8_kernels int8_kernels_baseline;
#if defined(__x86_64__)
extern const struct int8_kernels int8_kernels_avx2, int8_kernels_avx512, int8_kernels_vnni;
#endif

#endif
