/* q6_K: super-blocks of 256 values in 16 sub-blocks of 16; value = d * s * (q - 32) with q of 6
 * bits, s a signed byte for each sub-block, d in f16. 210 bytes: 128 bytes of low nibbles, for each
 * half of 128 values 64 bytes with the first 64 in low and the others in high nibbles; 64 bytes of
 * upper bits in pairs, laid out as the codes of q2_K; 16 bytes of s; d. A block with an infinity or
 * a NaN becomes NaN as a whole. */
#include "weight/blocks.h"
#include "weight/formats.h"
#include "weight/scales.h"

#define BLOCK 256
#define SUB 16
#define SUBS (BLOCK / SUB)
#define BYTES 210
#define TINY 1e-15f

static void put_codes(const float *values, float scale, const unsigned char *subs, uint8_t *codes)
{
    for (int j = 0; j < SUBS; j++) {
        float step = scale * (float)(int8_t)subs[j];
        for (int i = SUB * j; i < SUB * (j + 1) && step != 0; i++)
            codes[i] = (uint8_t)(block_nearest(values[i] / step, -32, 31) + 32);
    }
}

static void pack_block(const float *values, unsigned char *out)
{
    float scales[SUBS], largest = 0;
    uint8_t codes[BLOCK];
    for (int j = 0; j < SUBS; j++) {
        scales[j] = scales_search_signed(32, values + SUB * j, codes + SUB * j);
        largest = fabsf(scales[j]) > fabsf(largest) ? scales[j] : largest;
    }
    if (fabsf(largest) < TINY)
        return;
    float inverse = -128.0f / largest;
    block_put_half(out + 208, 1.0f / inverse);
    for (int j = 0; j < SUBS; j++)
        out[192 + j] = (unsigned char)block_nearest(inverse * scales[j], -128, 127);
    put_codes(values, block_half(out + 208), out + 192, codes);
    for (int i = 0; i < BLOCK; i++) {
        int half = i / 128;
        out[half * 64 + i % 64] |= (unsigned char)((codes[i] & 15) << i / 64 % 2 * 4);
        out[128 + half * 32 + i % 32] |= (unsigned char)(codes[i] >> 4 << i / 32 % 4 * 2);
    }
}

static void pack(const float *values, int64_t count, void *blocks)
{
    unsigned char *out = blocks;
    for (int64_t b = 0; b < count / BLOCK; b++, values += BLOCK, out += BYTES) {
        memset(out, 0, BYTES);
        if (block_broken(values, BLOCK))
            block_put_half(out + 208, NAN);
        else
            pack_block(values, out);
    }
}

const struct weight_format weight_q6_k = {
    .name = "q6_K",
    .code = WEIGHT_Q6_K,
    .gguf_type = 14,
    .block = BLOCK,
    .block_bytes = BYTES,
    .pack = pack,
    UNPACK_FIELDS(q6_k),
};
