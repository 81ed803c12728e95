/* q4_0: blocks of 32 values, an f16 scale d and 32 nibbles q; value = d * (q - 8). The value of
 * largest magnitude, with its sign, becomes -8 d, as GGUF defines it. Byte i holds value i in its
 * low and value i + 16 in its high nibble. A block with an infinity or a NaN becomes NaN as a
 * whole, so that a broken matrix shows; one whose scale is too small for its inverse becomes zero.
 */
#include "weight/blocks.h"
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
        float scale = block_extreme(values, BLOCK) / -8.0f, inverse = 1.0f / scale;
        bool broken = !isfinite(scale) || block_broken(values, BLOCK);
        block_put_half(out, broken ? NAN : scale);
        if (broken || !isfinite(inverse)) {
            memset(out + 2, 0x88, BLOCK / 2);
            continue;
        }
        for (int i = 0; i < BLOCK / 2; i++)
            out[2 + i] = (unsigned char)(nibble(values[i] * inverse) |
                                         nibble(values[i + BLOCK / 2] * inverse) << 4);
    }
}

const struct weight_format weight_q4_0 = {
    .name = "q4_0",
    .code = WEIGHT_Q4_0,
    .gguf_type = 2,
    .block = BLOCK,
    .block_bytes = BYTES,
    .pack = pack,
    UNPACK_FIELDS(q4_0),
};
