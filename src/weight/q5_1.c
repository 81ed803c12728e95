/* q5_1: blocks of 32 values, an f16 scale d, an f16 minimum m and 32 codes q of 5 bits; value =
 * d * q + m, with the smallest value as m and the range over 31 as d, as GGUF defines it. After m
 * come four bytes with the fifth bit of value i in bit i, then low nibbles as in q4_0. A block with
 * an infinity or a NaN becomes NaN as a whole; one whose range is too small for its inverse becomes
 * its minimum. */
#include "weight/blocks.h"
#include "weight/formats.h"

#define BLOCK 32
#define BYTES (8 + BLOCK / 2)

static void pack(const float *values, int64_t count, void *blocks)
{
    unsigned char *out = blocks;
    for (int64_t b = 0; b < count / BLOCK; b++, values += BLOCK, out += BYTES) {
        float low, high;
        block_range(values, BLOCK, &low, &high);
        float scale = (high - low) / 31.0f, inverse = 1.0f / scale;
        memset(out, 0, BYTES);
        if (!isfinite(scale) || block_broken(values, BLOCK)) {
            block_put_half(out, NAN);
            continue;
        }
        block_put_half(out, scale);
        block_put_half(out + 2, low);
        unsigned codes[BLOCK] = {0};
        for (int i = 0; i < BLOCK && isfinite(inverse); i++)
            codes[i] = block_code((values[i] - low) * inverse, 31);
        block_put_5_bits(out + 4, codes);
    }
}

const struct weight_format weight_q5_1 = {
    .name = "q5_1",
    .code = WEIGHT_Q5_1,
    .gguf_type = 7,
    .block = BLOCK,
    .block_bytes = BYTES,
    .pack = pack,
    UNPACK_FIELDS(q5_1),
};
