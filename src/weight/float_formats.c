/* The plain formats: f32, f16 and bf16, in blocks of one value. */
#include <string.h>

#include "base/half.h"
#include "weight/formats.h"

static void copy_to(const float *values, int64_t count, void *blocks)
{
    memcpy(blocks, values, (size_t)count * sizeof(float));
}

static void copy_from(const void *blocks, int64_t count, float *values)
{
    memcpy(values, blocks, (size_t)count * sizeof(float));
}

static void pack_f16(const float *values, int64_t count, void *blocks)
{
    uint16_t *out = blocks;
    for (int64_t i = 0; i < count; i++)
        out[i] = half_from_float(values[i]);
}

static void unpack_f16(const void *blocks, int64_t count, float *values)
{
    const unsigned char *in = blocks; /* files may place tensors at odd addresses */
    for (int64_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, in + 2 * i, sizeof half);
        values[i] = half_to_float(half);
    }
}

static void pack_bf16(const float *values, int64_t count, void *blocks)
{
    uint16_t *out = blocks;
    for (int64_t i = 0; i < count; i++)
        out[i] = bfloat_from_float(values[i]);
}

static void unpack_bf16(const void *blocks, int64_t count, float *values)
{
    const unsigned char *in = blocks;
    for (int64_t i = 0; i < count; i++) {
        uint16_t bfloat;
        memcpy(&bfloat, in + 2 * i, sizeof bfloat);
        values[i] = bfloat_to_float(bfloat);
    }
}

const struct weight_format weight_f32 = {"f32", 0, 1, 4, copy_to, copy_from};
const struct weight_format weight_f16 = {"f16", 1, 1, 2, pack_f16, unpack_f16};
const struct weight_format weight_bf16 = {"bf16", 30, 1, 2, pack_bf16, unpack_bf16};
