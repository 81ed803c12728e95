/* Weights: a matrix (rows = outputs O, columns = inputs I, row-major) in one of the storage
 * formats. A format says how a row is packed and unpacked; everything that uses a weight (the
 * linear op forward and backward, embedding look-ups, file writers) goes through that, so a frozen
 * 4-bit matrix needs no special case anywhere. Formats other than f32 are frozen: they pass
 * gradients through to their input but have none of their own. */
#ifndef WEIGHT_WEIGHT_H
#define WEIGHT_WEIGHT_H

#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"
#include "base/error.h"
#include "tensor/gemm.h"
#include "tensor/tensor.h"

/* Which format it is, for tables of kernels. */
enum weight_code {
    WEIGHT_F32,
    WEIGHT_F16,
    WEIGHT_BF16,
    WEIGHT_Q8_0,
    WEIGHT_Q4_0,
    WEIGHT_Q4_1,
    WEIGHT_Q5_0,
    WEIGHT_Q5_1,
    WEIGHT_Q2_K,
    WEIGHT_Q3_K,
    WEIGHT_Q4_K,
    WEIGHT_Q5_K,
    WEIGHT_Q6_K,
    WEIGHT_CODES,
};

struct weight_format {
    const char *name; /* "f32", "q8_0", ...: the name users type */
    enum weight_code code;
    int32_t gguf_type; /* ggml type number, -1 when GGUF cannot hold it */
    int64_t block;     /* values per block; rows are whole blocks */
    size_t block_bytes;
    /* `count` values, a multiple of `block`. */
    void (*pack)(const float *values, int64_t count, void *blocks);
    void (*unpack)(const void *blocks, int64_t count, float *values);
    /* The same, bit for bit, for each cpu_level. */
    void (*unpack_at[CPU_AVX512 + 1])(const void *blocks, int64_t count, float *values);
};

struct weight {
    const struct weight_format *format;
    int64_t rows, columns;
    const void *data;     /* rows x weight_row_bytes; not owned */
    struct tensor tensor; /* (O, I) f32 view with gradient and tangent; data NULL unless f32 */
};

/* The formats, ended by an entry whose name is NULL. */
extern const struct weight_format *const weight_formats[];
/* NULL when there is no such format. */
const struct weight_format *weight_format_by_name(const char *name);
const struct weight_format *weight_format_by_gguf_type(int32_t type);

/* Bytes of one row of `columns` values; fails when columns is no multiple of the block. */
enum status weight_row_bytes(const struct weight_format *format, int64_t columns, size_t *bytes,
                             struct error *error);

/* Bytes of all rows. */
int64_t weight_bytes(const struct weight *weight);

/* An f32 weight over `data` (rows, columns), not owned. */
struct weight weight_over_f32(float *data, int64_t rows, int64_t columns);

/* Writes values [begin, begin + count) of a row as f32; any begin and count. The level must not
 * exceed the processor's; it changes no result. */
void weight_unpack_row(const struct weight *weight, int64_t row, int64_t begin, int64_t count,
                       float *out);
void weight_unpack_row_at(enum cpu_level level, const struct weight *weight, int64_t row,
                          int64_t begin, int64_t count, float *out);

/* The weight as an operand of gemm: (O, I) as stored, or transposed to (I, O). */
struct gemm_matrix weight_matrix(const struct weight *weight, bool transposed);

#endif
