/* Matrix-product kernels for AVX-512 with BF16: 32 products of bfloat16 an instruction, summed in
 * f32. */
#include <immintrin.h>

#define LANES 16
#define ROWS 14
#define SUFFIX bf16
#define NATIVE_BF16
#include "tensor/kernels/gemm_template.h"

static void pack_row(const float *row, int64_t count, void *units)
{
    uint16_t *out = units;
    int64_t i = 0;
    for (; i + 32 <= count; i += 32) {
        __m512bh rounded =
            _mm512_cvtne2ps_pbh(_mm512_loadu_ps(row + i + 16), _mm512_loadu_ps(row + i));
        _mm512_storeu_si512(out + i, (__m512i)rounded);
    }
    for (; i < count; i++)
        out[i] = (uint16_t)(round_bits(row[i]) >> 16);
    if (count % 2)
        out[count] = 0;
}

static void pack_pair(const float *first, const float *second, int64_t count, void *units)
{
    uint32_t *out = units;
    int64_t i = 0;
    for (; i + 16 <= count; i += 16) {
        __m512 low = _mm512_loadu_ps(first + i);
        __m512 high = second ? _mm512_loadu_ps(second + i) : _mm512_setzero_ps();
        __m512i low_bits = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(low));
        __m512i high_bits = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(high));
        _mm512_storeu_si512(out + i, _mm512_or_si512(low_bits, _mm512_slli_epi32(high_bits, 16)));
    }
    for (; i < count; i++)
        out[i] = round_bits(first[i]) >> 16 | (second ? round_bits(second[i]) : 0);
}

const struct gemm_kernels gemm_kernels_bf16 = {
    .rows = ROWS,
    .columns = COLUMNS,
    .pair = 2,
    .multiply = multiply,
    .pack_row = pack_row,
    .pack_pair = pack_pair,
    .transpose = transpose,
};
