/* q8_0: blocks of 32 values, an f16 scale d and 32 signed bytes q; value = d * q. Round to nearest
 * with d = max |x| / 127, as GGUF defines it. A block with an infinity or a NaN becomes NaN as a
 * whole, so that a broken matrix shows; one whose scale is too small for its inverse becomes zero.
 */
#include "weight/blocks.h"
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
        float scale = most / 127.0f, inverse = 1.0f / scale;
        bool broken = !isfinite(scale) || block_broken(values, BLOCK);
        block_put_half(out, broken ? NAN : scale);
        if (broken || !isfinite(inverse)) {
            memset(out + 2, 0, BLOCK);
            continue;
        }
        for (int i = 0; i < BLOCK; i++)
            out[2 + i] = (unsigned char)(int8_t)roundf(values[i] * inverse);
    }
}

const struct weight_format weight_q8_0 = {
    .name = "q8_0",
    .code = WEIGHT_Q8_0,
    .gguf_type = 8,
    .block = BLOCK,
    .block_bytes = BYTES,
    .pack = pack,
    UNPACK_FIELDS(q8_0),
};
