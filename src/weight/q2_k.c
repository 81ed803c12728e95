/* q2_K: super-blocks of 256 values in 16 sub-blocks of 16; value = d * s * q - m * t with q of 2
 * bits, s and t of 4 bits for each sub-block, d and m in f16. 84 bytes: 16 bytes s | t << 4; 64
 * bytes of codes, for each half of 128 values 32 bytes whose bits 2j, 2j + 1 belong to values 32 j
 * to 32 j + 31; d; m. Scales are found by weighted least absolute errors (scales.h). A block with
 * an infinity or a NaN becomes NaN as a whole. */
#include "weight/blocks.h"
#include "weight/formats.h"
#include "weight/scales.h"

#define BLOCK 256
#define SUB 16
#define SUBS (BLOCK / SUB)
#define BYTES 84

static const struct scale_search search = {
    .most = 3, .first = -0.5f, .steps = 15, .absolute = true};

static void search_scales(const float *values, float *scales, float *minima, uint8_t *codes)
{
    float weights[SUB];
    for (int j = 0; j < SUBS; j++) {
        for (int i = 0; i < SUB; i++)
            weights[i] = fabsf(values[SUB * j + i]);
        scales[j] =
            scales_search(&search, SUB, values + SUB * j, weights, codes + SUB * j, &minima[j]);
    }
}

/* Rounds 16 scales to 4 bits, shifted into `out`; returns what they are multiples of. */
static float round_scales(const float *scales, int shift, unsigned char *out)
{
    float most = 0;
    for (int j = 0; j < SUBS; j++)
        most = scales[j] > most ? scales[j] : most;
    if (most == 0)
        return 0;
    float inverse = 15.0f / most;
    for (int j = 0; j < SUBS; j++)
        out[j] |= (unsigned char)(block_nearest(inverse * scales[j], 0, 15) << shift);
    return most / 15.0f;
}

static void pack_block(const float *values, unsigned char *out)
{
    float scales[SUBS], minima[SUBS];
    uint8_t codes[BLOCK];
    search_scales(values, scales, minima, codes);
    block_put_half(out + 80, round_scales(scales, 0, out));
    block_put_half(out + 82, round_scales(minima, 4, out));
    for (int j = 0; j < SUBS; j++) {
        float step = block_half(out + 80) * (float)(out[j] & 15);
        float least = block_half(out + 82) * (float)(out[j] >> 4);
        for (int i = SUB * j; i < SUB * (j + 1) && step != 0; i++)
            codes[i] = (uint8_t)block_nearest((values[i] + least) / step, 0, 3);
    }
    for (int i = 0; i < BLOCK; i++)
        out[16 + i / 128 * 32 + i % 32] |= (unsigned char)(codes[i] << i / 32 % 4 * 2);
}

static void pack(const float *values, int64_t count, void *blocks)
{
    unsigned char *out = blocks;
    for (int64_t b = 0; b < count / BLOCK; b++, values += BLOCK, out += BYTES) {
        memset(out, 0, BYTES);
        if (block_broken(values, BLOCK))
            block_put_half(out + 80, NAN);
        else
            pack_block(values, out);
    }
}

const struct weight_format weight_q2_k = {
    .name = "q2_K",
    .code = WEIGHT_Q2_K,
    .gguf_type = 10,
    .block = BLOCK,
    .block_bytes = BYTES,
    .pack = pack,
    UNPACK_FIELDS(q2_k),
};
