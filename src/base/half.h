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

static inline uint16_t half_from_float(float value)
{
    uint32_t bits = half_float_bits(value);
    uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000)
        return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x1ff));
    if (magnitude >= 0x477ff000) /* rounds to 65536 or more */
        return (uint16_t)(sign | 0x7c00);
    if (magnitude < 0x38800000) { /* subnormal: adding 0.5 rounds at the right place */
        float shifted = half_float_of_bits(magnitude) + 0.5f;
        return (uint16_t)(sign | (half_float_bits(shifted) - 0x3f000000));
    }
    magnitude += 0xfff + (magnitude >> 13 & 1);
    return (uint16_t)(sign | (magnitude - 0x38000000) >> 13);
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
