/* The few operations of the int8 kernels that depend on the instruction set: reading 16 bytes of
 * each of LANES rows into four registers, products of bytes, f16 to f32. Included by
 * int8_template.h after LANES is set; without AVX2 they are plain C. */
#ifndef WEIGHT_KERNELS_INT8_LANES_H
#define WEIGHT_KERNELS_INT8_LANES_H

#include <stdint.h>
#include <string.h>

#include "base/half.h"
#if LANES >= 8
#include <immintrin.h>
#endif

typedef int32_t lanes_i32 __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint32_t lanes_u32 __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef float lanes_f32 __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
#define PREFETCH_FAR 8192
#define INLINE static inline __attribute__((always_inline))

INLINE lanes_i32 zero_i32(void)
{
    return (lanes_i32){0};
}

INLINE lanes_i32 load_i32(const void *from)
{
    return *(const lanes_i32 *)from;
}

INLINE void store_i32(void *to, lanes_i32 value)
{
    *(lanes_i32 *)to = value;
}

INLINE lanes_f32 load_f32(const void *from)
{
    return *(const lanes_f32 *)from;
}

INLINE void store_f32(float *to, lanes_f32 value)
{
    *(lanes_f32 *)to = value;
}

INLINE lanes_i32 broadcast_i32(const void *from)
{
    int32_t value;
    memcpy(&value, from, sizeof value);
    return zero_i32() + value;
}

INLINE lanes_f32 broadcast_f32(const void *from)
{
    int32_t value;
    memcpy(&value, from, sizeof value);
    return (lanes_f32)(zero_i32() + value);
}

INLINE lanes_i32 shift_right(lanes_i32 value, int count)
{
    return (lanes_i32)((lanes_u32)value >> count);
}

INLINE lanes_f32 to_float(lanes_i32 value)
{
    return __builtin_convertvector(value, lanes_f32);
}

/* Byte i of each lane becomes 16 where bit i is set, of bits 0 to 3. */
INLINE lanes_i32 spread_bits(lanes_i32 bits)
{
#if LANES == 16
    const __m512i table =
        _mm512_setr_epi32(0x00000000, 0x00000010, 0x00001000, 0x00001010, 0x00100000, 0x00100010,
                          0x00101000, 0x00101010, 0x10000000, 0x10000010, 0x10001000, 0x10001010,
                          0x10100000, 0x10100010, 0x10101000, 0x10101010);
    return (lanes_i32)_mm512_permutexvar_epi32((__m512i)bits, table);
#else
    return (((bits & 15) * 0x00204081) & 0x01010101) << 4;
#endif
}

/* sum + a b, rounded once where the processor can; said outright, so that every kernel does the
 * same. */
INLINE lanes_f32 add_product(lanes_f32 sum, lanes_f32 a, lanes_f32 b)
{
#if LANES == 16
    return (lanes_f32)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)sum);
#elif LANES == 8
    return (lanes_f32)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)sum);
#elif defined(__FP_FAST_FMAF)
    for (int lane = 0; lane < LANES; lane++)
        sum[lane] = __builtin_fmaf(a[lane], b[lane], sum[lane]);
    return sum;
#else
    return sum + a * b;
#endif
}

/* Bits of the largest magnitude of `count` values; at least those of infinity where one is no
 * finite number. */
INLINE int32_t largest_bits(const float *values, int count)
{
#if LANES == 16
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    __m512i most = _mm512_setzero_si512();
    for (int i = 0; i < count; i += LANES)
        most = _mm512_max_epi32(most, _mm512_and_si512(_mm512_loadu_si512(values + i), magnitude));
    return _mm512_reduce_max_epi32(most);
#else
    int32_t most = 0;
    for (int i = 0; i < count; i++) {
        int32_t bits = (int32_t)(half_float_bits(values[i]) & 0x7fffffff);
        most = bits > most ? bits : most;
    }
    return most;
#endif
}

/* Values times `inverse`, which lie within 127, to the nearest even whole number: the lowest byte
 * of their sum with 1.5 * 2^23. */
INLINE void round_values(const float *values, int count, float inverse, int8_t *restrict codes)
{
#if LANES == 16
    const __m512 magic = _mm512_set1_ps(12582912.0f), factor = _mm512_set1_ps(inverse);
    for (int i = 0; i < count; i += LANES) {
        __m512 sum = _mm512_fmadd_ps(_mm512_loadu_ps(values + i), factor, magic);
        _mm_storeu_si128((__m128i *)(codes + i), _mm512_cvtepi32_epi8(_mm512_castps_si512(sum)));
    }
#else
    for (int i = 0; i < count; i++)
        codes[i] = (int8_t)half_float_bits(values[i] * inverse + 12582912.0f);
#endif
}

/* Prefetches a share of the lines that `bytes` bytes from `at` on lie in: part `part` of `parts`.
 * Lines asked for all at once are dropped by a processor that is still waiting for others. Those
 * PREFETCH_FAR beyond go into the outer cache, as the way from memory is longer than some groups of
 * rows. */
INLINE void prefetch_part(uintptr_t at, int64_t bytes, int part, int parts)
{
    int64_t lines = (bytes + 63) / 64;
    for (int64_t line = lines * part / parts; line < lines * (part + 1) / parts; line++) {
        __builtin_prefetch((const void *)(at + (uintptr_t)line * 64), 0, 3);
        __builtin_prefetch((const void *)(at + (uintptr_t)line * 64 + PREFETCH_FAR), 0, 2);
    }
}

#if LANES == 16
INLINE __m512i read_4(const unsigned char *at, int64_t stride)
{
    __m512i rows = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)at));
    rows = _mm512_inserti32x4(rows, _mm_loadu_si128((const __m128i *)(at + 4 * stride)), 1);
    rows = _mm512_inserti32x4(rows, _mm_loadu_si128((const __m128i *)(at + 8 * stride)), 2);
    return _mm512_inserti32x4(rows, _mm_loadu_si128((const __m128i *)(at + 12 * stride)), 3);
}

/* 16 bytes at `at` of each row: out[i] holds bytes 4 i to 4 i + 3 of all rows. */
INLINE void read_16(const unsigned char *at, int64_t stride, lanes_i32 *out)
{
    __m512i a = read_4(at, stride), b = read_4(at + stride, stride);
    __m512i c = read_4(at + 2 * stride, stride), d = read_4(at + 3 * stride, stride);
    __m512i ab_low = _mm512_unpacklo_epi32(a, b), ab_high = _mm512_unpackhi_epi32(a, b);
    __m512i cd_low = _mm512_unpacklo_epi32(c, d), cd_high = _mm512_unpackhi_epi32(c, d);
    out[0] = (lanes_i32)_mm512_unpacklo_epi64(ab_low, cd_low);
    out[1] = (lanes_i32)_mm512_unpackhi_epi64(ab_low, cd_low);
    out[2] = (lanes_i32)_mm512_unpacklo_epi64(ab_high, cd_high);
    out[3] = (lanes_i32)_mm512_unpackhi_epi64(ab_high, cd_high);
}

/* The lower halves of the lanes, which are f16. */
INLINE lanes_f32 widen_halves(lanes_i32 halves)
{
    return (lanes_f32)_mm512_cvtph_ps(_mm512_cvtepi32_epi16((__m512i)halves));
}

/* sums += products of four bytes, unsigned codes (signed when `negative`) and signed values.
 * Without the instruction for it, pairs are first summed in 16 bits: codes of up to 7 bits times
 * values of at most 127 cannot overflow there, nor can |code| <= 128. */
INLINE lanes_i32 dot(bool negative, lanes_i32 sums, lanes_i32 codes, lanes_i32 values)
{
#ifdef NATIVE_DOT
    return (lanes_i32)_mm512_dpbusd_epi32((__m512i)sums, (__m512i)codes, (__m512i)values);
#else
    __m512i a = (__m512i)codes, b = (__m512i)values;
    if (negative) {
        b = _mm512_mask_sub_epi8(b, _mm512_movepi8_mask(a), _mm512_setzero_si512(), b);
        a = _mm512_abs_epi8(a);
    }
    __m512i pairs = _mm512_maddubs_epi16(a, b);
    return sums + (lanes_i32)_mm512_madd_epi16(pairs, _mm512_set1_epi16(1));
#endif
}

/* sums += products of two 16-bit values. */
INLINE lanes_i32 dot_pairs(lanes_i32 sums, lanes_i32 a, lanes_i32 b)
{
#ifdef NATIVE_DOT
    return (lanes_i32)_mm512_dpwssd_epi32((__m512i)sums, (__m512i)a, (__m512i)b);
#else
    return sums + (lanes_i32)_mm512_madd_epi16((__m512i)a, (__m512i)b);
#endif
}
#elif LANES == 8
INLINE __m256i read_2(const unsigned char *at, int64_t stride)
{
    __m256i rows = _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)at));
    return _mm256_inserti128_si256(rows, _mm_loadu_si128((const __m128i *)(at + 4 * stride)), 1);
}

INLINE void read_16(const unsigned char *at, int64_t stride, lanes_i32 *out)
{
    __m256i a = read_2(at, stride), b = read_2(at + stride, stride);
    __m256i c = read_2(at + 2 * stride, stride), d = read_2(at + 3 * stride, stride);
    __m256i ab_low = _mm256_unpacklo_epi32(a, b), ab_high = _mm256_unpackhi_epi32(a, b);
    __m256i cd_low = _mm256_unpacklo_epi32(c, d), cd_high = _mm256_unpackhi_epi32(c, d);
    out[0] = (lanes_i32)_mm256_unpacklo_epi64(ab_low, cd_low);
    out[1] = (lanes_i32)_mm256_unpackhi_epi64(ab_low, cd_low);
    out[2] = (lanes_i32)_mm256_unpacklo_epi64(ab_high, cd_high);
    out[3] = (lanes_i32)_mm256_unpackhi_epi64(ab_high, cd_high);
}

INLINE lanes_f32 widen_halves(lanes_i32 halves)
{
    __m256i low = (__m256i)(halves & 0xffff);
    __m128i packed =
        _mm_packus_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1));
    return (lanes_f32)_mm256_cvtph_ps(packed);
}

INLINE lanes_i32 dot(bool negative, lanes_i32 sums, lanes_i32 codes, lanes_i32 values)
{
    __m256i a = (__m256i)codes, b = (__m256i)values;
    if (negative) {
        b = _mm256_sign_epi8(b, a);
        a = _mm256_abs_epi8(a);
    }
    __m256i pairs = _mm256_maddubs_epi16(a, b);
    return sums + (lanes_i32)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

INLINE lanes_i32 dot_pairs(lanes_i32 sums, lanes_i32 a, lanes_i32 b)
{
    return sums + (lanes_i32)_mm256_madd_epi16((__m256i)a, (__m256i)b);
}
#else
INLINE void read_16(const unsigned char *at, int64_t stride, lanes_i32 *out)
{
    int32_t words[4][LANES];
    for (int lane = 0; lane < LANES; lane++)
        for (int i = 0; i < 4; i++)
            memcpy(&words[i][lane], at + lane * stride + 4 * i, 4);
    for (int i = 0; i < 4; i++)
        out[i] = load_i32(words[i]);
}

INLINE lanes_f32 widen_halves(lanes_i32 halves)
{
    float values[LANES];
    for (int lane = 0; lane < LANES; lane++)
        values[lane] = half_to_float((uint16_t)halves[lane]);
    return load_f32(values);
}

INLINE lanes_i32 dot(bool negative, lanes_i32 sums, lanes_i32 codes, lanes_i32 values)
{
    for (int i = 0; i < 4; i++) {
        lanes_i32 code = codes << (24 - 8 * i), value = values << (24 - 8 * i);
        sums += (negative ? code >> 24 : shift_right(code, 24)) * (value >> 24);
    }
    return sums;
}

INLINE lanes_i32 dot_pairs(lanes_i32 sums, lanes_i32 a, lanes_i32 b)
{
    return sums + (a << 16 >> 16) * (b << 16 >> 16) + (a >> 16) * (b >> 16);
}
#endif

#endif
