/* Half precision (IEEE binary16) and bfloat16 by value: round to nearest even; subnormals,
 * infinities and NaN are kept. */
#ifndef BASE_HALF_H
#define BASE_HALF_H

#include <stdint.h>
#include <string.h>

static inline uint32_t half_float_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float half_float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Without branches, so that loops over it become vector code: all cases are computed. */
static inline uint16_t half_from_float(float value)
{
    uint32_t bits = half_float_bits(value);
    uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    uint32_t normal = (magnitude + 0xfff + (magnitude >> 13 & 1) - 0x38000000) >> 13;
    /* Subnormal: adding 0.5 rounds at the right place. */
    uint32_t tiny = magnitude < 0x38800000 ? magnitude : 0;
    uint32_t small = half_float_bits(half_float_of_bits(tiny) + 0.5f) - 0x3f000000;
    uint32_t nan = 0x7e00 | (magnitude >> 13 & 0x1ff);
    uint32_t result = magnitude < 0x38800000 ? small : normal;
    result = magnitude >= 0x477ff000 ? 0x7c00 : result; /* rounds to 65536 or more */
    result = magnitude > 0x7f800000 ? nan : result;
    return (uint16_t)(sign | result);
}

/* Without branches, so that loops over it become vector code: the exponent is moved by a
 * multiplication, which also renormalizes subnormals. */
static inline float half_to_float(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    float value = half_float_of_bits((uint32_t)(half & 0x7fff) << 13) * 0x1p112f;
    uint32_t bits = half_float_bits(value);
    bits |= (half & 0x7c00) == 0x7c00 ? 0x7f800000u : 0u;
    return half_float_of_bits(bits | sign);
}

static inline uint16_t bfloat_from_float(float value)
{
    uint32_t bits = half_float_bits(value);
    uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? bits >> 16 | 0x40 : rounded);
}

static inline float bfloat_to_float(uint16_t bfloat)
{
    return half_float_of_bits((uint32_t)bfloat << 16);
}

#endif
