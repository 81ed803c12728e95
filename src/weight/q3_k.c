/* q3_K: super-blocks of 256 values in 16 sub-blocks of 16; value = d * s * (q - 4) with q of 3
 * bits, s of 6 bits less 32 for each sub-block, d in f16. 110 bytes: 32 bytes with the third bit of
 * value 32 j + i in bit j of byte i; 64 bytes of lower bits, laid out as in q2_K; 12 bytes of s
 * (scales.h); d. A block with an infinity or a NaN becomes NaN as a whole. */
#include "weight/blocks.h"
#include "weight/formats.h"
#include "weight/scales.h"

#define BLOCK 256
#define SUB 16
#define SUBS (BLOCK / SUB)
#define BYTES 110

/* Rounds the scales into `out`; returns what they are multiples of. */
static float put_scales(const float *scales, unsigned char *out)
{
    float largest = 0;
    for (int j = 0; j < SUBS; j++)
        largest = fabsf(scales[j]) > fabsf(largest) ? scales[j] : largest;
    if (largest == 0)
        return 0;
    float inverse = -32.0f / largest;
    for (int j = 0; j < SUBS; j++) {
        int code = block_nearest(inverse * scales[j], -32, 31) + 32;
        out[j % 8] |= (unsigned char)((code & 15) << j / 8 * 4);
        out[8 + j % 4] |= (unsigned char)(code >> 4 << j / 4 * 2);
    }
    return 1.0f / inverse;
}

static void pack_block(const float *values, unsigned char *out)
{
    float scales[SUBS];
    uint8_t codes[BLOCK];
    for (int j = 0; j < SUBS; j++)
        scales[j] = scales_search_moves(4, values + SUB * j, codes + SUB * j);
    block_put_half(out + 108, put_scales(scales, out + 96));
    for (int j = 0; j < SUBS; j++) {
        float step = block_half(out + 108) * (float)scales_get_q3(out + 96, j);
        for (int i = SUB * j; i < SUB * (j + 1) && step != 0; i++)
            codes[i] = (uint8_t)(block_nearest(values[i] / step, -4, 3) + 4);
    }
    for (int i = 0; i < BLOCK; i++) {
        out[i % 32] |= (unsigned char)(codes[i] >> 2 << i / 32);
        out[32 + i / 128 * 32 + i % 32] |= (unsigned char)((codes[i] & 3) << i / 32 % 4 * 2);
    }
}

static void pack(const float *values, int64_t count, void *blocks)
{
    unsigned char *out = blocks;
    for (int64_t b = 0; b < count / BLOCK; b++, values += BLOCK, out += BYTES) {
        memset(out, 0, BYTES);
        if (block_broken(values, BLOCK))
            block_put_half(out + 108, NAN);
        else
            pack_block(values, out);
    }
}

const struct weight_format weight_q3_k = {
    .name = "q3_K",
    .code = WEIGHT_Q3_K,
    .gguf_type = 11,
    .block = BLOCK,
    .block_bytes = BYTES,
    .pack = pack,
    UNPACK_FIELDS(q3_k),
};
