/* q8_0: blocks of 32 values, an f16 scale d and 32 signed bytes q; value = d * q. Round to nearest
 * with d = max |x| / 127, as GGUF defines it. */
#include <math.h>
#include <string.h>

#include "base/half.h"
#include "weight/formats.h"

#define BLOCK 32
#define BYTES (2 + BLOCK)

static void pack(const float *values, int64_t count, void *blocks)
{
    unsigned char *out = blocks;
    for (int64_t b = 0; b < count / BLOCK; b++, values += BLOCK, out += BYTES) {
        float most = 0;
        for (int i = 0; i < BLOCK; i++)
            most = fmaxf(most, fabsf(values[i]));
        float scale = most / 127.0f, inverse = scale != 0 ? 1.0f / scale : 0.0f;
        uint16_t half = half_from_float(scale);
        memcpy(out, &half, sizeof half);
        for (int i = 0; i < BLOCK; i++)
            out[2 + i] = (unsigned char)(int8_t)roundf(values[i] * inverse);
    }
}

static void unpack(const void *blocks, int64_t count, float *values)
{
    const unsigned char *in = blocks;
    for (int64_t b = 0; b < count / BLOCK; b++, values += BLOCK, in += BYTES) {
        uint16_t half;
        memcpy(&half, in, sizeof half);
        float scale = half_to_float(half);
        for (int i = 0; i < BLOCK; i++)
            values[i] = scale * (float)(int8_t)in[2 + i];
    }
}

const struct weight_format weight_q8_0 = {"q8_0", 8, BLOCK, BYTES, pack, unpack};
