/* q4_1: blocks of 32 values, an f16 scale d, an f16 minimum m and 32 nibbles q; value = d * q + m,
 * with the smallest value as m and the range over 15 as d, as GGUF defines it. Byte i holds value i
 * in its low and value i + 16 in its high nibble. A block with an infinity or a NaN becomes NaN as
 * a whole; one whose range is too small for its inverse becomes its minimum. */
#include "weight/blocks.h"
#include "weight/formats.h"

#define BLOCK 32
#define BYTES (4 + BLOCK / 2)

static void pack(const float *values, int64_t count, void *blocks)
{
    unsigned char *out = blocks;
    for (int64_t b = 0; b < count / BLOCK; b++, values += BLOCK, out += BYTES) {
        float low, high;
        block_range(values, BLOCK, &low, &high);
        float scale = (high - low) / 15.0f, inverse = 1.0f / scale;
        memset(out, 0, BYTES);
        if (!isfinite(scale) || block_broken(values, BLOCK)) {
            block_put_half(out, NAN);
            continue;
        }
        block_put_half(out, scale);
        block_put_half(out + 2, low);
        for (int i = 0; i < BLOCK / 2 && isfinite(inverse); i++)
            out[4 + i] =
                (unsigned char)(block_code((values[i] - low) * inverse, 15) |
                                block_code((values[i + BLOCK / 2] - low) * inverse, 15) << 4);
    }
}

const struct weight_format weight_q4_1 = {
    .name = "q4_1",
    .code = WEIGHT_Q4_1,
    .gguf_type = 3,
    .block = BLOCK,
    .block_bytes = BYTES,
    .pack = pack,
    UNPACK_FIELDS(q4_1),
};
