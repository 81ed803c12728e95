/* Matrix products. One function for every product of the decoder: forward, gradient of the input,
 * gradient of the weight. The result is the same bits for any number of threads, because only rows
 * and columns of C are divided among them, never the sum over K. */
#ifndef TENSOR_GEMM_H
#define TENSOR_GEMM_H

#include <stdbool.h>
#include <stdint.h>

#include "tensor/compute.h"

#define GEMM_COLUMN_BLOCK 2048 /* of C, for which panels of B exist at a time */
#define GEMM_RANK_MOST 64      /* of a change of low rank that is computed along */
#define GEMM_PANEL_BYTES ((size_t)GEMM_DEPTH * (GEMM_COLUMN_BLOCK + GEMM_RANK_MOST) * 4)

struct gemm_call;

enum gemm_type { GEMM_F32, GEMM_BF16, GEMM_F16 };

/* A right-hand operand as it is stored: rows of `stride` values, of the given type; or, when
 * `unpack` is set, rows that only it can read, e.g. quantized ones. */
struct gemm_matrix {
    enum gemm_type type;
    const void *data;
    int64_t stride;
    bool transposed; /* stored as (N, K) instead of (K, N) */
    /* Writes values [begin, begin + count) of a stored row as f32. */
    void (*unpack)(const struct compute *compute, const void *context, int64_t row, int64_t begin,
                   int64_t count, float *out);
    const void *context;
    /* Computes calls whose b's are of this kind in a way of its own, used with MATMUL_INT8: all of
     * them have the same A. False, and nothing is done, when it cannot. NULL: there is none. */
    bool (*multiply)(const struct compute *compute, const struct gemm_call *calls, int count);
};

/* By which kernels. The last two give a row of C the same bits whatever other rows there are. */
enum gemm_route {
    GEMM_ANY,
    GEMM_DOTS,  /* dot products: for the rows of single tokens, however many */
    GEMM_TILES, /* tiles: for the rows of longer pieces, however few */
};

/* What an adapter adds to a product: C += inner second, inner = scale A first. While a block of A
 * is at hand for the product with B, this costs little; on its own it would cost several times as
 * much.
 */
struct gemm_low_rank {
    int64_t rank;
    struct gemm_matrix first;  /* (k, rank) */
    struct gemm_matrix second; /* (rank, n) */
    float scale;
    float *inner; /* (m, rank), written */
};

/* C (m, n) = A (m, k) B (k, n) + add + bias. */
struct gemm_call {
    int64_t m, n, k;
    const float *a;
    int64_t a_stride;
    struct gemm_matrix b;
    float *c;
    int64_t c_stride;
    const float *add; /* (m, n) or NULL; c itself accumulates */
    int64_t add_stride;
    const float *bias; /* (n) or NULL */
    enum gemm_route route;
    bool a_transposed;                  /* A is stored as (k, m) */
    const struct gemm_low_rank *change; /* or NULL; not with a_transposed */
};

/* Multiplies in the precision that `compute` is set to. */
void gemm(const struct compute *compute, const struct gemm_call *call);

/* The same for calls with one A between them, at most GEMM_GROUP_MOST: where that is possible, A is
 * prepared once and the threads meet once. */
#define GEMM_GROUP_MOST 4
void gemm_group(const struct compute *compute, const struct gemm_call *calls, int count);

/* C (m, n) = A B + add for few rows of C and a long sum, in f32 whatever the precision: A is stored
 * as (k, m), and both operands are f32 and read where they lie, since packing them would take
 * longer than the product. add is NULL or c. */
void gemm_narrow(const struct compute *compute, int64_t m, int64_t n, int64_t k, const float *a,
                 const float *b, float *c, const float *add);

/* An f32 operand. */
struct gemm_matrix gemm_matrix_f32(const float *data, int64_t stride, bool transposed);

#endif
