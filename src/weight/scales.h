/* What the formats with super-blocks of 256 values ("k-quants") share: sub-scales packed into few
 * bits, and the searches for the scale of a sub-block. Private to the formats.
 *
 * The searches follow those of llama.cpp's ggml-quants.c without importance matrix, candidate for
 * candidate, so that the same values become the same blocks; but lines that fall, which it stores
 * with a wrong scale, are left out. */
#ifndef WEIGHT_SCALES_H
#define WEIGHT_SCALES_H

#include <stdbool.h>
#include <stdint.h>

/* q4_K and q5_K: scale and minimum of sub-block j < 8, 6 bits each, in 12 bytes. Bytes 0-3 and 4-7
 * hold the first four of each in their low 6 bits; bytes 8-11 the low nibbles of the last four,
 * whose upper bits are the upper bits of bytes 0-7. */
static inline void scales_get_6(const unsigned char *at, int j, int *scale, int *minimum)
{
    if (j < 4) {
        *scale = at[j] & 63;
        *minimum = at[j + 4] & 63;
    } else {
        *scale = (at[j + 4] & 15) | at[j - 4] >> 6 << 4;
        *minimum = at[j + 4] >> 4 | at[j] >> 6 << 4;
    }
}

/* q3_K: scale of sub-block j < 16, 6 bits less 32, in 12 bytes: low nibbles in bytes 0-7, the last
 * eight in the upper halves, and upper bits in pairs in bytes 8-11. */
static inline int scales_get_q3(const unsigned char *at, int j)
{
    int low = j < 8 ? at[j] & 15 : at[j - 8] >> 4;
    return (low | (at[8 + j % 4] >> j / 4 * 2 & 3) << 4) - 32;
}

/* The way from 8 scales and minima to the head of a q4_K or q5_K block: f16 scale, f16 scale of the
 * minima, 12 bytes as above. */
void scales_put_6(const float *scales, const float *minima, unsigned char *head);

/* How to look for the scale of values that are never below a minimum: the inverses that are tried
 * are (first + 0.1 i + most) / range for i in 0..steps. */
struct scale_search {
    int most;    /* largest code */
    float first; /* candidates */
    int steps;
    bool absolute; /* minimize absolute errors instead of squares */
};

/* Values are approximated by scale * code - *minimum, errors weighted; `count` <= 32. Returns the
 * scale. */
float scales_search(const struct scale_search *search, int count, const float *values,
                    const float *weights, uint8_t *codes, float *minimum);

/* Codes of a whole block of q4_K or q5_K, and its head of 16 bytes. */
void scales_pack_6(const struct scale_search *search, const float *values, unsigned char *head,
                   uint8_t *codes);

/* q6_K: 16 values ~ scale * (code - most), codes in 0..2 most - 1, errors weighted by the squares
 * of the values. Returns the scale, 0 when all values are tiny. */
float scales_search_signed(int most, const float *values, uint8_t *codes);

/* q3_K: the same, but each code in turn is moved to where the whole fits best. */
float scales_search_moves(int most, const float *values, uint8_t *codes);

#endif
