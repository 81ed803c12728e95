/* q4_0: blocks of 32 values, an f16 scale d and 32 nibbles q; value = d * (q - 8). The value of
 * largest magnitude, with its sign, becomes -8 d, as GGUF defines it. Byte i holds value i in its
 * low and value i + 16 in its high nibble. A block with an infinity or a NaN becomes NaN as a
 * whole, so that a broken matrix shows; one whose scale is too small for its inverse becomes zero.
 */
#include <math.h>
#include <string.h>

#include "base/half.h"
#include "weight/formats.h"

#define BLOCK 32
#define BYTES (2 + BLOCK / 2)

static int nibble(float scaled)
{
    int code = (int)(scaled + 8.5f);
    return code > 15 ? 15 : code;
}

static void pack(const float *values, int64_t count, void *blocks)
{
    unsigned char *out = blocks;
    for (int64_t b = 0; b < count / BLOCK; b++, values += BLOCK, out += BYTES) {
        float extreme = 0, probe = 0; /* 0 times infinity or NaN is NaN */
        for (int i = 0; i < BLOCK; i++) {
            if (fabsf(values[i]) > fabsf(extreme))
                extreme = values[i];
            probe += 0.0f * values[i];
        }
        float scale = extreme / -8.0f + probe, inverse = 1.0f / scale;
        uint16_t half = half_from_float(scale);
        memcpy(out, &half, sizeof half);
        if (!isfinite(scale) || !isfinite(inverse)) {
            memset(out + 2, 0x88, BLOCK / 2);
            continue;
        }
        for (int i = 0; i < BLOCK / 2; i++)
            out[2 + i] = (unsigned char)(nibble(values[i] * inverse) |
                                         nibble(values[i + BLOCK / 2] * inverse) << 4);
    }
}

static void unpack(const void *blocks, int64_t count, float *values)
{
    const unsigned char *in = blocks;
    for (int64_t b = 0; b < count / BLOCK; b++, values += BLOCK, in += BYTES) {
        uint16_t half;
        memcpy(&half, in, sizeof half);
        float scale = half_to_float(half);
        for (int i = 0; i < BLOCK / 2; i++) {
            values[i] = scale * (float)((in[2 + i] & 15) - 8);
            values[i + BLOCK / 2] = scale * (float)((in[2 + i] >> 4) - 8);
        }
    }
}

const struct weight_format weight_q4_0 = {"q4_0", 2, BLOCK, BYTES, pack, unpack};
