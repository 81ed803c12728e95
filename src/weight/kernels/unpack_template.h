/* Unpacking of the block formats, written once in plain C: a file per instruction set defines
 * SUFFIX and includes this, and its compiler flags make vector code of the loops. All levels give
 * the same bits, also where a multiplication and an addition are fused: a scale of f16 times a
 * code of at most 6 bits and a sub-scale of at most 6 bits is exact in f32. The layouts are told
 * where each format is packed. */
#include "weight/blocks.h"
#include "weight/kernels/unpack_kernels.h"
#include "weight/scales.h"

#define JOIN3(a, b, c) a##b##_##c
#define JOIN(a, b, c) JOIN3(a, b, c)
#define UNPACK(format)                                                                             \
    void JOIN(unpack_, format, SUFFIX)(const void *blocks, int64_t count, float *restrict values)

/* Sixteen codes, put down as scale * code + least. Written out for the wide levels: of such short
 * loops the compiler makes code for registers of 16 bytes. A least of -0 leaves every product. */
typedef int8_t codes_i8 __attribute__((vector_size(16), aligned(1), may_alias));
typedef uint8_t codes_u8 __attribute__((vector_size(16), aligned(1), may_alias));

static inline void put_codes(codes_i8 codes, float scale, float least, float *restrict values)
{
#if defined(__AVX512F__)
    __m512 wide = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32((__m128i)codes));
    _mm512_storeu_ps(values, wide * scale + least);
#elif defined(__AVX2__)
    __m256 low = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32((__m128i)codes));
    __m256 high = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128((__m128i)codes, 8)));
    _mm256_storeu_ps(values, low * scale + least);
    _mm256_storeu_ps(values + 8, high * scale + least);
#else
    int8_t each[16];
    memcpy(each, &codes, sizeof each);
    for (int i = 0; i < 16; i++)
        values[i] = scale * (float)each[i] + least;
#endif
}

UNPACK(q8_0)
{
    const unsigned char *in = blocks;
    for (int64_t b = 0; b < count / 32; b++, values += 32, in += 34) {
        float scale = block_half(in);
        for (int i = 0; i < 32; i += 16)
            put_codes(*(const codes_i8 *)(in + 2 + i), scale, -0.0f, values + i);
    }
}

UNPACK(q4_0)
{
    const unsigned char *in = blocks;
    for (int64_t b = 0; b < count / 32; b++, values += 32, in += 18) {
        float scale = block_half(in);
        codes_u8 codes = *(const codes_u8 *)(in + 2);
        put_codes((codes_i8)(codes & 15) - 8, scale, -0.0f, values);
        put_codes((codes_i8)(codes >> 4) - 8, scale, -0.0f, values + 16);
    }
}

UNPACK(q4_1)
{
    const unsigned char *in = blocks;
    for (int64_t b = 0; b < count / 32; b++, values += 32, in += 20) {
        float scale = block_half(in), minimum = block_half(in + 2);
        codes_u8 codes = *(const codes_u8 *)(in + 4);
        put_codes((codes_i8)(codes & 15), scale, minimum, values);
        put_codes((codes_i8)(codes >> 4), scale, minimum, values + 16);
    }
}

/* The fifth bits of 32 codes as bytes of 0 or 16. */
static inline void fifth_bits(const unsigned char *in, unsigned char *restrict bits)
{
    uint32_t high;
    memcpy(&high, in, sizeof high);
    for (int i = 0; i < 32; i++)
        bits[i] = (unsigned char)((high >> i & 1) << 4);
}

UNPACK(q5_0)
{
    const unsigned char *in = blocks;
    for (int64_t b = 0; b < count / 32; b++, values += 32, in += 22) {
        float scale = block_half(in);
        unsigned char high[32];
        fifth_bits(in + 2, high);
        for (int i = 0; i < 16; i++) {
            values[i] = scale * (float)(((in[6 + i] & 15) | high[i]) - 16);
            values[i + 16] = scale * (float)(((in[6 + i] >> 4) | high[i + 16]) - 16);
        }
    }
}

UNPACK(q5_1)
{
    const unsigned char *in = blocks;
    for (int64_t b = 0; b < count / 32; b++, values += 32, in += 24) {
        float scale = block_half(in), minimum = block_half(in + 2);
        unsigned char high[32];
        fifth_bits(in + 4, high);
        for (int i = 0; i < 16; i++) {
            values[i] = scale * (float)((in[8 + i] & 15) | high[i]) + minimum;
            values[i + 16] = scale * (float)((in[8 + i] >> 4) | high[i + 16]) + minimum;
        }
    }
}

UNPACK(q2_k)
{
    const unsigned char *in = blocks;
    for (int64_t b = 0; b < count / 256; b++, values += 256, in += 84) {
        float scale = block_half(in + 80), minimum = block_half(in + 82);
        for (int j = 0; j < 16; j++) {
            const unsigned char *from = in + 16 + j / 8 * 32 + j % 2 * 16;
            int shift = j / 2 % 4 * 2;
            float step = scale * (float)(in[j] & 15), low = minimum * (float)(in[j] >> 4);
            for (int i = 0; i < 16; i++)
                values[16 * j + i] = step * (float)(from[i] >> shift & 3) - low;
        }
    }
}

UNPACK(q3_k)
{
    const unsigned char *in = blocks;
    for (int64_t b = 0; b < count / 256; b++, values += 256, in += 110) {
        float scale = block_half(in + 108);
        for (int j = 0; j < 16; j++) {
            const unsigned char *from = in + 32 + j / 8 * 32 + j % 2 * 16;
            const unsigned char *high = in + j % 2 * 16;
            int shift = j / 2 % 4 * 2, bit = j / 2;
            float step = scale * (float)scales_get_q3(in + 96, j);
            for (int i = 0; i < 16; i++)
                values[16 * j + i] =
                    step * (float)((from[i] >> shift & 3) + (high[i] >> bit & 1) * 4 - 4);
        }
    }
}

UNPACK(q4_k)
{
    const unsigned char *in = blocks;
    for (int64_t b = 0; b < count / 256; b++, values += 256, in += 144) {
        float scale = block_half(in), minimum = block_half(in + 2);
        for (int j = 0; j < 8; j++) {
            const unsigned char *from = in + 16 + j / 2 * 32;
            int shift = j % 2 * 4, sub, low;
            scales_get_6(in + 4, j, &sub, &low);
            float step = scale * (float)sub, least = minimum * (float)low;
            for (int i = 0; i < 32; i++)
                values[32 * j + i] = step * (float)(from[i] >> shift & 15) - least;
        }
    }
}

UNPACK(q5_k)
{
    const unsigned char *in = blocks;
    for (int64_t b = 0; b < count / 256; b++, values += 256, in += 176) {
        float scale = block_half(in), minimum = block_half(in + 2);
        const unsigned char *high = in + 16;
        for (int j = 0; j < 8; j++) {
            const unsigned char *from = in + 48 + j / 2 * 32;
            int shift = j % 2 * 4, sub, low;
            scales_get_6(in + 4, j, &sub, &low);
            float step = scale * (float)sub, least = minimum * (float)low;
            for (int i = 0; i < 32; i++)
                values[32 * j + i] =
                    step * (float)((from[i] >> shift & 15) + (high[i] >> j & 1) * 16) - least;
        }
    }
}

UNPACK(q6_k)
{
    const unsigned char *in = blocks;
    for (int64_t b = 0; b < count / 256; b++, values += 256, in += 210) {
        float scale = block_half(in + 208);
        for (int j = 0; j < 16; j++) {
            const unsigned char *low = in + j / 8 * 64 + j % 4 * 16;
            const unsigned char *high = in + 128 + j / 8 * 32 + j % 2 * 16;
            int shift = j / 4 % 2 * 4, pair = j / 2 % 4 * 2;
            float step = scale * (float)(int8_t)in[192 + j];
            for (int i = 0; i < 16; i++)
                values[16 * j + i] =
                    step * (float)((low[i] >> shift & 15) + (high[i] >> pair & 3) * 16 - 32);
        }
    }
}
