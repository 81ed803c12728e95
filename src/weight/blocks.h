/* What the block formats share: f16 fields at odd addresses, the test for values that cannot be
 * stored, and rounding to codes. Private to the formats. */
#ifndef WEIGHT_BLOCKS_H
#define WEIGHT_BLOCKS_H

#include <math.h>
#include <stdbool.h>
#include <string.h>

#ifdef __F16C__
#include <immintrin.h>
#endif

#include "base/half.h"

static inline float block_half(const unsigned char *at)
{
    uint16_t half;
    memcpy(&half, at, sizeof half);
#ifdef __F16C__
    return _cvtsh_ss(half);
#else
    return half_to_float(half);
#endif
}

static inline void block_put_half(unsigned char *at, float value)
{
    uint16_t half = half_from_float(value);
    memcpy(at, &half, sizeof half);
}

/* True when one of the values is an infinity or a NaN: 0 times it is NaN. */
static inline bool block_broken(const float *values, int count)
{
    float probe = 0;
    for (int i = 0; i < count; i++)
        probe += 0.0f * values[i];
    return isnan(probe);
}

/* The value of largest magnitude, with its sign; the first of equals. */
static inline float block_extreme(const float *values, int count)
{
    float extreme = 0;
    for (int i = 0; i < count; i++)
        extreme = fabsf(values[i]) > fabsf(extreme) ? values[i] : extreme;
    return extreme;
}

static inline void block_range(const float *values, int count, float *low, float *high)
{
    *low = *high = values[0];
    for (int i = 1; i < count; i++) {
        *low = values[i] < *low ? values[i] : *low;
        *high = values[i] > *high ? values[i] : *high;
    }
}

/* A value in steps from the lowest, rounded half up to a code of at most `most`. */
static inline unsigned block_code(float steps, int most)
{
    int rounded = (int)(steps + 0.5f);
    return (unsigned)(rounded > most ? most : rounded);
}

/* 32 codes of 5 bits as q5_0 and q5_1 keep them: four bytes with the fifth bit of code i in bit i,
 * then 16 with code i in the low and code i + 16 in the high nibble. */
static inline void block_put_5_bits(unsigned char *out, const unsigned *codes)
{
    uint32_t high = 0;
    for (int i = 0; i < 16; i++) {
        out[4 + i] = (unsigned char)((codes[i] & 15) | (codes[i + 16] & 15) << 4);
        high |= (codes[i] >> 4) << i | (codes[i + 16] >> 4) << (i + 16);
    }
    memcpy(out, &high, sizeof high);
}

/* The nearest whole number, ties to even, kept within [low, high]; NaN becomes low. The limits are
 * small, so that adding 1.5 * 2^23 leaves the whole number in the lowest bits. */
static inline int block_nearest(float value, int low, int high)
{
    float kept = value > (float)low ? value : (float)low;
    kept = (kept < (float)high ? kept : (float)high) + 12582912.0f;
    return (int)(half_float_bits(kept) & 0x7fffff) - 0x400000;
}

#endif
