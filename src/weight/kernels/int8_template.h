/* The kernels of int8_kernels.h, written once with the compiler's vector types. A file per
 * instruction set defines LANES (of 32 bits in a register), ROWS (of a tile) and SUFFIX, and
 * includes this; what the compiler cannot make from vector types is in int8_lanes.h. Functions take
 * the format as a constant, and are inlined into one function per format. */
#include <string.h>

#include "weight/blocks.h"
#include "weight/kernels/int8_kernels.h"
#include "weight/kernels/int8_lanes.h"

#define JOIN2(a, b) a##b
#define JOIN(a, b) JOIN2(a, b)
#define CHUNK                                                                                      \
    4 /* blocks of 32 whose scales are collected together: enough to have them in time, few enough \
         not to wait for memory */

static const struct int8_layout layouts[WEIGHT_CODES] = {
#ifdef NATIVE_DOT
    [WEIGHT_Q8_0] = {32, 32, 128, false, false},
#else
    [WEIGHT_Q8_0] = {32, 32, 0, false, true},
#endif
    [WEIGHT_Q4_0] = {32, 32, 8, false, false},   [WEIGHT_Q4_1] = {32, 32, 0, true, false},
    [WEIGHT_Q5_0] = {32, 32, 16, false, false},  [WEIGHT_Q5_1] = {32, 32, 0, true, false},
    [WEIGHT_Q2_K] = {256, 16, 0, true, false},   [WEIGHT_Q3_K] = {256, 16, 4, false, false},
    [WEIGHT_Q4_K] = {256, 32, 0, true, false},   [WEIGHT_Q5_K] = {256, 32, 0, true, false},
    [WEIGHT_Q6_K] = {256, 16, 32, false, false},
};

/* Rounding of activations. */

#define ROUNDED 16 /* blocks whose scales are made together, so that divisions overlap */

/* Scales of at most ROUNDED blocks from the bits of their largest magnitudes, which are divided by
 * 127, and their inverses. A block with an infinity or a NaN gets NaN for its scale, one that is
 * too small for an inverse becomes zero. */
static inline void make_scales(const int32_t *most, int count, float *scales, float *inverses)
{
    for (int b = 0; b < count; b++) {
        float scale = half_float_of_bits((uint32_t)most[b]) / 127.0f, inverse = 1.0f / scale;
        bool usable = inverse < INFINITY && most[b] < 0x7f800000;
        scales[b] = usable ? scale : most[b] >= 0x7f800000 ? NAN : 0;
        inverses[b] = usable ? inverse : 0;
    }
}

/* Rounds `blocks` blocks of `size` (32 or 256) values. */
INLINE void round_blocks(const float *values, int size, int64_t blocks, int8_t *codes,
                         float *scales)
{
    int32_t most[ROUNDED];
    float inverses[ROUNDED];
    for (int64_t first = 0; first < blocks; first += ROUNDED) {
        int count = blocks - first < ROUNDED ? (int)(blocks - first) : ROUNDED;
        for (int b = 0; b < count; b++)
            most[b] = largest_bits(values + (first + b) * size, size);
        make_scales(most, count, scales + first, inverses);
        for (int b = 0; b < count; b++)
            round_values(values + (first + b) * size, size, inverses[b],
                         codes + (first + b) * size);
    }
}

static inline int32_t sum_codes(const int8_t *codes, int count)
{
    int32_t sum = 0;
    for (int i = 0; i < count; i++)
        sum += codes[i];
    return sum;
}

static void quantize(const struct int8_layout *layout, const float *values, int64_t count,
                     unsigned char *row)
{
    int8_t *codes = (int8_t *)row;
    float *scales = (float *)(row + count);
    unsigned char *sides = row + count + count / layout->block * 4;
    if (layout->block == 32)
        round_blocks(values, 32, count / 32, codes, scales);
    else
        round_blocks(values, 256, count / 256, codes, scales);
    for (int64_t s = 0; s < count / layout->sub; s++) {
        int32_t sum =
            layout->sub == 32 ? sum_codes(codes + 32 * s, 32) : sum_codes(codes + 16 * s, 16);
        if (!layout->minima)
            ((int32_t *)sides)[s] = -layout->offset * sum;
        else if (layout->block == 32)
            ((float *)sides)[s] = scales[s] * (float)sum;
        else
            ((int16_t *)sides)[s] = (int16_t)sum;
    }
}

/* Blocks of 32 values. */

INLINE int64_t short_bytes(enum weight_code format)
{
    return format == WEIGHT_Q8_0   ? 34
           : format == WEIGHT_Q4_0 ? 18
           : format == WEIGHT_Q4_1 ? 20
           : format == WEIGHT_Q5_0 ? 22
                                   : 24;
}

/* Scales and fifth bits of up to CHUNK blocks of all lanes, collected by plain loads and stores
 * well before they are needed as registers. */
struct short_heads {
    uint32_t scales[CHUNK][LANES]; /* f16 scale, f16 minimum above it */
    uint32_t highs[CHUNK][LANES];
};

INLINE void collect(enum weight_code format, const unsigned char *weights, int64_t stride,
                    int64_t count, struct short_heads *heads)
{
    int64_t bytes = short_bytes(format);
    bool wide = format == WEIGHT_Q4_1 || format == WEIGHT_Q5_1;
    bool high = format == WEIGHT_Q5_0 || format == WEIGHT_Q5_1;
    for (int64_t b = 0; b < count; b++, weights += bytes)
        for (int lane = 0; lane < LANES; lane++) {
            const unsigned char *at = weights + lane * stride;
            uint32_t head = 0;
            memcpy(&head, at, wide ? 4 : 2);
            heads->scales[b][lane] = head;
            if (high)
                memcpy(&heads->highs[b][lane], at + (wide ? 4 : 2), 4);
        }
}

/* The 32 codes of a block: register i holds values 4 i to 4 i + 3 of every lane. */
INLINE void short_codes(enum weight_code format, const unsigned char *at, int64_t stride,
                        lanes_i32 high, lanes_i32 *codes)
{
    if (format == WEIGHT_Q8_0) {
        read_16(at + 2, stride, codes);
        read_16(at + 18, stride, codes + 4);
#ifdef NATIVE_DOT
        for (int i = 0; i < 8; i++)
            codes[i] ^= (int32_t)0x80808080;
#endif
        return;
    }
    lanes_i32 nibbles[4];
    read_16(at + short_bytes(format) - 16, stride, nibbles);
    for (int i = 0; i < 4; i++) {
        codes[i] = nibbles[i] & 0x0f0f0f0f;
        codes[i + 4] = shift_right(nibbles[i], 4) & 0x0f0f0f0f;
    }
    if (format == WEIGHT_Q5_0 || format == WEIGHT_Q5_1)
        for (int i = 0; i < 8; i++)
            codes[i] |= spread_bits(shift_right(high, 4 * i));
}

INLINE void few_short(enum weight_code format, int rows, const struct int8_few *call)
{
    const struct int8_layout layout = layouts[format];
    const int64_t bytes = short_bytes(format), blocks = call->depth / 32;
    const unsigned char *at = call->weights;
    uintptr_t ahead = (uintptr_t)at + (uintptr_t)(LANES * call->stride);
    struct short_heads heads;
    lanes_f32 sums[INT8_FEW] = {0};
    for (int64_t first = 0; first < blocks; first += CHUNK) {
        int64_t count = blocks - first < CHUNK ? blocks - first : CHUNK;
        collect(format, at, call->stride, count, &heads);
        for (int64_t b = 0; b < count; b++, at += bytes, ahead += (uintptr_t)bytes * LANES) {
            lanes_i32 codes[8], head = load_i32(heads.scales[b]);
            short_codes(format, at, call->stride, load_i32(heads.highs[b]), codes);
            lanes_f32 scale = widen_halves(head);
            lanes_f32 minimum = layout.minima ? widen_halves(shift_right(head, 16)) : scale;
            for (int r = 0; r < rows; r++) {
                const unsigned char *row = call->rows + r * call->row_stride;
                const unsigned char *a = row + 32 * (first + b);
                const unsigned char *side = row + call->depth + 4 * (first + b);
                lanes_i32 dots = layout.offset ? broadcast_i32(side + 4 * blocks) : zero_i32();
#pragma GCC unroll 8
                for (int i = 0; i < 8; i++) {
                    dots = dot(layout.negative, dots, codes[i], broadcast_i32(a + 4 * i));
                    if (r == 0)
                        prefetch_part(ahead, bytes * LANES, i, 8);
                }
                sums[r] = add_product(sums[r], to_float(dots), scale * broadcast_f32(side));
                if (layout.minima)
                    sums[r] = add_product(sums[r], minimum, broadcast_f32(side + 4 * blocks));
            }
        }
    }
    for (int r = 0; r < rows; r++)
        store_f32(call->out + r * LANES, sums[r]);
}

/* A panel's record: codes, scales, minima. */
INLINE void pack_short(enum weight_code format, const unsigned char *weights, int64_t stride,
                       int64_t depth, unsigned char *panel)
{
    const struct int8_layout layout = layouts[format];
    struct short_heads heads;
    for (int64_t first = 0; first < depth / 32; first += CHUNK) {
        int64_t count = depth / 32 - first < CHUNK ? depth / 32 - first : CHUNK;
        collect(format, weights, stride, count, &heads);
        for (int64_t b = 0; b < count; b++, weights += short_bytes(format)) {
            lanes_i32 codes[8], head = load_i32(heads.scales[b]);
            short_codes(format, weights, stride, load_i32(heads.highs[b]), codes);
            for (int i = 0; i < 8; i++, panel += 4 * LANES)
                store_i32(panel, codes[i]);
            store_f32((float *)panel, widen_halves(head));
            panel += 4 * LANES;
            if (layout.minima) {
                store_f32((float *)panel, widen_halves(shift_right(head, 16)));
                panel += 4 * LANES;
            }
        }
    }
}

/* rows x 2 panels of 32 products each. */
INLINE void tile_dots(bool negative, int rows, const unsigned char *const *a,
                      const unsigned char *const *panels, int units, lanes_i32 (*dots)[2])
{
#pragma GCC unroll 8
    for (int i = 0; i < units; i++) {
        lanes_i32 low = load_i32(panels[0] + 4 * LANES * i);
        lanes_i32 high = load_i32(panels[1] + 4 * LANES * i);
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            lanes_i32 value = broadcast_i32(a[r] + 4 * i);
            dots[r][0] = dot(negative, dots[r][0], low, value);
            dots[r][1] = dot(negative, dots[r][1], high, value);
        }
    }
}

/* Finished sums of a tile into C. */
INLINE void finish_tile(int rows, const struct int8_tile *tile)
{
    for (int r = 0; r < rows; r++)
        for (int first = 0; first < tile->columns; first += LANES) {
            float *c = tile->c + r * tile->c_stride + first;
            const float *add = tile->add ? tile->add + r * tile->add_stride + first : NULL;
            const float *bias = tile->bias ? tile->bias + first : NULL;
            lanes_f32 sum = load_f32(tile->sums + 2 * LANES * r + first);
            if (tile->columns - first >= LANES) {
                if (bias)
                    sum += load_f32(bias);
                if (add)
                    sum += load_f32(add);
                store_f32(c, sum);
                continue;
            }
            for (int i = 0; i < tile->columns - first; i++) {
                float value = bias ? sum[i] + bias[i] : sum[i];
                c[i] = add ? value + add[i] : value;
            }
        }
}

INLINE void tile_short(enum weight_code format, int rows, const struct int8_tile *tile)
{
    const struct int8_layout layout = layouts[format];
    const int64_t record = (layout.minima ? 10 : 9) * 4 * LANES, blocks = tile->depth / 32;
    const unsigned char *panels[2] = {tile->panels[0] + tile->begin / 32 * record,
                                      tile->panels[1] + tile->begin / 32 * record};
    const unsigned char *a[ROWS];
    lanes_f32 sums[ROWS][2] = {0};
    for (int r = 0; r < rows; r++) {
        a[r] = tile->rows + r * tile->row_stride + tile->begin;
        for (int p = 0; p < 2 && tile->begin > 0; p++)
            sums[r][p] = load_f32(tile->sums + (2 * r + p) * LANES);
    }
    int64_t side = tile->depth - tile->begin + tile->begin / 8; /* from a[r] to the block's scale */
    for (int64_t b = tile->begin / 32; b < tile->end / 32; b++, side -= 28) {
        lanes_i32 dots[ROWS][2];
        for (int r = 0; r < rows; r++)
            dots[r][0] = dots[r][1] =
                layout.offset ? broadcast_i32(a[r] + side + 4 * blocks) : zero_i32();
        tile_dots(layout.negative, rows, a, panels, 8, dots);
        lanes_f32 low = load_f32(panels[0] + 32 * LANES), high = load_f32(panels[1] + 32 * LANES);
        for (int r = 0; r < rows; r++) {
            lanes_f32 scale = broadcast_f32(a[r] + side);
            sums[r][0] = add_product(sums[r][0], to_float(dots[r][0]), low * scale);
            sums[r][1] = add_product(sums[r][1], to_float(dots[r][1]), high * scale);
        }
        if (layout.minima) {
            low = load_f32(panels[0] + 36 * LANES);
            high = load_f32(panels[1] + 36 * LANES);
            for (int r = 0; r < rows; r++) {
                lanes_f32 sum = broadcast_f32(a[r] + side + 4 * blocks);
                sums[r][0] = add_product(sums[r][0], low, sum);
                sums[r][1] = add_product(sums[r][1], high, sum);
            }
        }
        for (int r = 0; r < rows; r++)
            a[r] += 32;
        panels[0] += record;
        panels[1] += record;
    }
    for (int r = 0; r < rows; r++)
        for (int p = 0; p < 2; p++)
            store_f32(tile->sums + (2 * r + p) * LANES, sums[r][p]);
    if (tile->end == tile->depth)
        finish_tile(rows, tile);
}

#include "weight/kernels/int8_super.h"

#define SHAPE_CASE(function, format, n, call)                                                      \
    case n:                                                                                        \
        if ((n) <= ROWS)                                                                           \
            function(format, (n) <= ROWS ? (n) : 1, call);                                         \
        break;
#define FUNCTIONS(name, format, kind)                                                              \
    static void few_##name(const struct int8_few *call)                                            \
    {                                                                                              \
        switch (call->row_count) {                                                                 \
        case 1:                                                                                    \
            few_##kind(format, 1, call);                                                           \
            break;                                                                                 \
        case 2:                                                                                    \
            few_##kind(format, 2, call);                                                           \
            break;                                                                                 \
        case 3:                                                                                    \
            few_##kind(format, 3, call);                                                           \
            break;                                                                                 \
        default:                                                                                   \
            few_##kind(format, 4, call);                                                           \
        }                                                                                          \
    }                                                                                              \
    static void pack_##name(const unsigned char *weights, int64_t stride, int64_t depth,           \
                            unsigned char *panel)                                                  \
    {                                                                                              \
        pack_##kind(format, weights, stride, depth, panel);                                        \
    }
#define TILES(name, format, kind)                                                                  \
    static void tile_##name(const struct int8_tile *tile)                                          \
    {                                                                                              \
        switch (tile->row_count) {                                                                 \
            SHAPE_CASE(tile_##kind, format, 1, tile)                                               \
            SHAPE_CASE(tile_##kind, format, 2, tile)                                               \
            SHAPE_CASE(tile_##kind, format, 3, tile)                                               \
            SHAPE_CASE(tile_##kind, format, 4, tile)                                               \
            SHAPE_CASE(tile_##kind, format, 5, tile)                                               \
            SHAPE_CASE(tile_##kind, format, 6, tile)                                               \
        }                                                                                          \
    }

FUNCTIONS(q8_0, WEIGHT_Q8_0, short)
FUNCTIONS(q4_0, WEIGHT_Q4_0, short)
FUNCTIONS(q4_1, WEIGHT_Q4_1, short)
FUNCTIONS(q5_0, WEIGHT_Q5_0, short)
FUNCTIONS(q5_1, WEIGHT_Q5_1, short)
FUNCTIONS(q2_k, WEIGHT_Q2_K, super)
FUNCTIONS(q3_k, WEIGHT_Q3_K, super)
FUNCTIONS(q4_k, WEIGHT_Q4_K, super)
FUNCTIONS(q5_k, WEIGHT_Q5_K, super)
FUNCTIONS(q6_k, WEIGHT_Q6_K, super)
/* Panels of the same shape share their tiles. */
TILES(q8_0, WEIGHT_Q8_0, short)
TILES(offset, WEIGHT_Q4_0, short)
TILES(minima, WEIGHT_Q4_1, short)
TILES(super_16_minima, WEIGHT_Q2_K, super)
TILES(super_32_minima, WEIGHT_Q4_K, super)
TILES(super_16, WEIGHT_Q6_K, super)

const struct int8_kernels JOIN(int8_kernels_, SUFFIX) = {
    .lanes = LANES,
    .tile_rows = ROWS,
    .layouts = layouts,
    .quantize = quantize,
    .multiply_few = {[WEIGHT_Q8_0] = few_q8_0,
                     [WEIGHT_Q4_0] = few_q4_0,
                     [WEIGHT_Q4_1] = few_q4_1,
                     [WEIGHT_Q5_0] = few_q5_0,
                     [WEIGHT_Q5_1] = few_q5_1,
                     [WEIGHT_Q2_K] = few_q2_k,
                     [WEIGHT_Q3_K] = few_q3_k,
                     [WEIGHT_Q4_K] = few_q4_k,
                     [WEIGHT_Q5_K] = few_q5_k,
                     [WEIGHT_Q6_K] = few_q6_k},
    .pack = {[WEIGHT_Q8_0] = pack_q8_0,
             [WEIGHT_Q4_0] = pack_q4_0,
             [WEIGHT_Q4_1] = pack_q4_1,
             [WEIGHT_Q5_0] = pack_q5_0,
             [WEIGHT_Q5_1] = pack_q5_1,
             [WEIGHT_Q2_K] = pack_q2_k,
             [WEIGHT_Q3_K] = pack_q3_k,
             [WEIGHT_Q4_K] = pack_q4_k,
             [WEIGHT_Q5_K] = pack_q5_k,
             [WEIGHT_Q6_K] = pack_q6_k},
    .multiply_tile = {[WEIGHT_Q8_0] = tile_q8_0,
                      [WEIGHT_Q4_0] = tile_offset,
                      [WEIGHT_Q4_1] = tile_minima,
                      [WEIGHT_Q5_0] = tile_offset,
                      [WEIGHT_Q5_1] = tile_minima,
                      [WEIGHT_Q2_K] = tile_super_16_minima,
                      [WEIGHT_Q3_K] = tile_super_16,
                      [WEIGHT_Q4_K] = tile_super_32_minima,
                      [WEIGHT_Q5_K] = tile_super_32_minima,
                      [WEIGHT_Q6_K] = tile_super_16},
};
