/* q5_K: super-blocks of 256 values in 8 sub-blocks of 32; value = d * s * q - m * t with q of 5
 * bits, s and t of 6 bits for each sub-block, d and m in f16. 176 bytes: d; m; 12 bytes of s and t
 * (scales.h); 32 bytes with the fifth bit of value 32 j + i in bit j of byte i; 128 bytes of low
 * nibbles as in q4_K. A block with an infinity or a NaN becomes NaN as a whole. */
#include "weight/blocks.h"
#include "weight/formats.h"
#include "weight/scales.h"

#define BLOCK 256
#define BYTES 176

static const struct scale_search search = {.most = 31, .first = -0.5f, .steps = 15};

static void pack(const float *values, int64_t count, void *blocks)
{
    unsigned char *out = blocks;
    for (int64_t b = 0; b < count / BLOCK; b++, values += BLOCK, out += BYTES) {
        memset(out, 0, BYTES);
        if (block_broken(values, BLOCK)) {
            block_put_half(out, NAN);
            continue;
        }
        uint8_t codes[BLOCK];
        scales_pack_6(&search, values, out, codes);
        for (int i = 0; i < BLOCK; i++) {
            out[16 + i % 32] |= (unsigned char)(codes[i] >> 4 << i / 32);
            out[48 + i / 64 * 32 + i % 32] |= (unsigned char)((codes[i] & 15) << i / 32 % 2 * 4);
        }
    }
}

const struct weight_format weight_q5_k = {
    .name = "q5_K",
    .code = WEIGHT_Q5_K,
    .gguf_type = 13,
    .block = BLOCK,
    .block_bytes = BYTES,
    .pack = pack,
    UNPACK_FIELDS(q5_k),
};
