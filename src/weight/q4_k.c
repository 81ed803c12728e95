/* q4_K: super-blocks of 256 values in 8 sub-blocks of 32; value = d * s * q - m * t with q of 4
 * bits, s and t of 6 bits for each sub-block, d and m in f16. 144 bytes: d; m; 12 bytes of s and t
 * (scales.h); 128 bytes of codes, for each 64 values 32 bytes with the first 32 in low and the
 * others in high nibbles. A block with an infinity or a NaN becomes NaN as a whole. */
#include "weight/blocks.h"
#include "weight/formats.h"
#include "weight/scales.h"

#define BLOCK 256
#define BYTES 144

static const struct scale_search search = {.most = 15, .first = -1, .steps = 20};

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
        for (int i = 0; i < BLOCK; i++)
            out[16 + i / 64 * 32 + i % 32] |= (unsigned char)(codes[i] << i / 32 % 2 * 4);
    }
}

const struct weight_format weight_q4_k = {
    .name = "q4_K",
    .code = WEIGHT_Q4_K,
    .gguf_type = 12,
    .block = BLOCK,
    .block_bytes = BYTES,
    .pack = pack,
    UNPACK_FIELDS(q4_k),
};
