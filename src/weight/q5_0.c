/* q5_0: blocks of 32 values, an f16 scale d and 32 codes q of 5 bits; value = d * (q - 16). The
 * value of largest magnitude, with its sign, becomes -16 d, as GGUF defines it. After d come four
 * bytes with the fifth bit of value i in bit i, then low nibbles as in q4_0. A block with an
 * infinity or a NaN becomes NaN as a whole; one whose scale is too small for its inverse becomes
 * zero. */
#include "weight/blocks.h"
#include "weight/formats.h"

#define BLOCK 32
#define BYTES (6 + BLOCK / 2)

static unsigned code(float scaled)
{
    int rounded = (int)(scaled + 16.5f);
    return rounded > 31 ? 31u : (unsigned)rounded;
}

static void pack(const float *values, int64_t count, void *blocks)
{
    unsigned char *out = blocks;
    for (int64_t b = 0; b < count / BLOCK; b++, values += BLOCK, out += BYTES) {
        float scale = block_extreme(values, BLOCK) / -16.0f, inverse = 1.0f / scale;
        bool broken = !isfinite(scale) || block_broken(values, BLOCK);
        block_put_half(out, broken ? NAN : scale);
        bool plain = broken || !isfinite(inverse);
        unsigned codes[BLOCK];
        for (int i = 0; i < BLOCK; i++)
            codes[i] = plain ? 16 : code(values[i] * inverse);
        block_put_5_bits(out + 2, codes);
    }
}

const struct weight_format weight_q5_0 = {
    .name = "q5_0",
    .code = WEIGHT_Q5_0,
    .gguf_type = 6,
    .block = BLOCK,
    .block_bytes = BYTES,
    .pack = pack,
    UNPACK_FIELDS(q5_0),
};
