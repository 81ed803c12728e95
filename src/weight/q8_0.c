/* q8_0: blocks of 32 values, an f16 scale d and 32 signed bytes q; value = d * q. Round to nearest
 * with d = max |x| / 127, as GGUF defines it. A block with an infinity or a NaN becomes NaN as a
 * whole, so that a broken matrix shows; one whose scale is too small for its inverse becomes zero.
 */
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
        float most = 0, probe = 0; /* 0 times infinity or NaN is NaN */
        for (int i = 0; i < BLOCK; i++) {
            most = fmaxf(most, fabsf(values[i]));
            probe += 0.0f * values[i];
        }
        float scale = most / 127.0f + probe, inverse = 1.0f / scale;
        uint16_t half = half_from_float(scale);
        memcpy(out, &half, sizeof half);
        if (!isfinite(scale) || !isfinite(inverse)) {
            memset(out + 2, 0, BLOCK);
            continue;
        }
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
