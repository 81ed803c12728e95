/* See weight.h. */
#include "weight/weight.h"

#include <string.h>

#include "weight/formats.h"
#include "weight/int8_product.h"

const struct weight_format *const weight_formats[] = {
    &weight_f32,  &weight_f16,  &weight_bf16, &weight_q8_0, &weight_q4_0,
    &weight_q4_1, &weight_q5_0, &weight_q5_1, &weight_q2_k, &weight_q3_k,
    &weight_q4_k, &weight_q5_k, &weight_q6_k, NULL,
};

const struct weight_format *weight_format_by_name(const char *name)
{
    for (int i = 0; weight_formats[i]; i++)
        if (strcmp(weight_formats[i]->name, name) == 0)
            return weight_formats[i];
    return NULL;
}

const struct weight_format *weight_format_by_gguf_type(int32_t type)
{
    for (int i = 0; weight_formats[i]; i++)
        if (weight_formats[i]->gguf_type == type)
            return weight_formats[i];
    return NULL;
}

enum status weight_row_bytes(const struct weight_format *format, int64_t columns, size_t *bytes,
                             struct error *error)
{
    if (columns < 0 || columns % format->block != 0)
        return error_set(error, STATUS_FAILED,
                         "rows of %lld values cannot be stored as %s, which needs blocks of %lld",
                         (long long)columns, format->name, (long long)format->block);
    if (__builtin_mul_overflow((size_t)(columns / format->block), format->block_bytes, bytes))
        return error_set(error, STATUS_FAILED, "a row of %lld values is too large",
                         (long long)columns);
    return STATUS_OK;
}

int64_t weight_bytes(const struct weight *weight)
{
    return weight->rows * (weight->columns / weight->format->block) *
           (int64_t)weight->format->block_bytes;
}

struct weight weight_over_f32(float *data, int64_t rows, int64_t columns)
{
    struct weight weight = {.format = &weight_f32, .rows = rows, .columns = columns, .data = data};
    weight.tensor = (struct tensor){.rank = 2, .shape = {rows, columns}, .data = data};
    return weight;
}

void weight_unpack_row(const struct weight *weight, int64_t row, int64_t begin, int64_t count,
                       float *out)
{
    weight_unpack_row_at(CPU_BASELINE, weight, row, begin, count, out);
}

void weight_unpack_row_at(enum cpu_level level, const struct weight *weight, int64_t row,
                          int64_t begin, int64_t count, float *out)
{
    const struct weight_format *format = weight->format;
    const unsigned char *blocks = weight->data;
    blocks += (size_t)row * (size_t)(weight->columns / format->block) * format->block_bytes;
    float partial[WEIGHT_BLOCK_MOST];
    while (count > 0) {
        int64_t block = begin / format->block, skip = begin % format->block;
        const unsigned char *at = blocks + (size_t)block * format->block_bytes;
        int64_t whole = count / format->block * format->block;
        if (skip == 0 && whole > 0) {
            format->unpack_at[level](at, whole, out);
        } else {
            whole = format->block - skip < count ? format->block - skip : count;
            format->unpack_at[level](at, format->block, partial);
            memcpy(out, partial + skip, (size_t)whole * sizeof(float));
        }
        begin += whole;
        out += whole;
        count -= whole;
    }
}

static void unpack_for_gemm(const struct compute *compute, const void *context, int64_t row,
                            int64_t begin, int64_t count, float *out)
{
    weight_unpack_row_at(compute->cpu.level, context, row, begin, count, out);
}

struct gemm_matrix weight_matrix(const struct weight *weight, bool transposed)
{
    struct gemm_matrix matrix = {.stride = weight->columns, .transposed = transposed};
    if (weight->format == &weight_f32) {
        matrix.type = GEMM_F32;
        matrix.data = weight->data;
    } else if (weight->format == &weight_bf16 || weight->format == &weight_f16) {
        matrix.type = weight->format == &weight_bf16 ? GEMM_BF16 : GEMM_F16;
        matrix.data = weight->data;
    } else {
        matrix.unpack = unpack_for_gemm;
        matrix.multiply = int8_product;
        matrix.context = weight;
    }
    return matrix;
}
