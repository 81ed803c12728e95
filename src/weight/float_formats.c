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

const struct weight_format weight_f32 = {
    .name = "f32",
    .code = WEIGHT_F32,
    .gguf_type = 0,
    .block = 1,
    .block_bytes = 4,
    .pack = copy_to,
    .unpack = copy_from,
    .unpack_at = {copy_from, copy_from, copy_from},
};
const struct weight_format weight_f16 = {
    .name = "f16",
    .code = WEIGHT_F16,
    .gguf_type = 1,
    .block = 1,
    .block_bytes = 2,
    .pack = pack_f16,
    .unpack = unpack_f16,
    .unpack_at = {unpack_f16, unpack_f16, unpack_f16},
};
const struct weight_format weight_bf16 = {
    .name = "bf16",
    .code = WEIGHT_BF16,
    .gguf_type = 30,
    .block = 1,
    .block_bytes = 2,
    .pack = pack_bf16,
    .unpack = unpack_bf16,
    .unpack_at = {unpack_bf16, unpack_bf16, unpack_bf16},
};
