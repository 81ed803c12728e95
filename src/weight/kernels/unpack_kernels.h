/* Unpacking of the block formats, once per instruction set: `count` values, a multiple of the
 * format's block. Every level gives the same bits. */
#ifndef WEIGHT_KERNELS_UNPACK_KERNELS_H
#define WEIGHT_KERNELS_UNPACK_KERNELS_H

#include <stdint.h>

#define UNPACK_DECLARE(format, level)                                                              \
    void unpack_##format##_##level(const void *blocks, int64_t count, float *values);
#define UNPACK_DECLARE_ALL(level)                                                                  \
    UNPACK_DECLARE(q8_0, level)                                                                    \
    UNPACK_DECLARE(q4_0, level)                                                                    \
    UNPACK_DECLARE(q4_1, level)                                                                    \
    UNPACK_DECLARE(q5_0, level)                                                                    \
    UNPACK_DECLARE(q5_1, level)                                                                    \
    UNPACK_DECLARE(q2_k, level)                                                                    \
    UNPACK_DECLARE(q3_k, level)                                                                    \
    UNPACK_DECLARE(q4_k, level)                                                                    \
    UNPACK_DECLARE(q5_k, level)                                                                    \
    UNPACK_DECLARE(q6_k, level)

UNPACK_DECLARE_ALL(baseline)
#if defined(__x86_64__)
UNPACK_DECLARE_ALL(avx2)
UNPACK_DECLARE_ALL(avx512)
#endif

/* A format's functions in its table: `unpack`, and `unpack_at` in the order of enum cpu_level. */
#if defined(__x86_64__)
#define UNPACK_FIELDS(format)                                                                      \
    .unpack = unpack_##format##_baseline,                                                          \
    .unpack_at = {unpack_##format##_baseline, unpack_##format##_avx2, unpack_##format##_avx512}
#else
#define UNPACK_FIELDS(format)                                                                      \
    .unpack = unpack_##format##_baseline,                                                          \
    .unpack_at = {unpack_##format##_baseline, unpack_##format##_baseline,                          \
                  unpack_##format##_baseline}
#endif

#endif
