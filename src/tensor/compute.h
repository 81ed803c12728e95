/* Where the arithmetic happens: the processor's kernels, chosen once, the threads, and the scratch
 * memory that kernels pack into. Everything is taken when it is created, so that no op allocates.
 * A further device is a further set of tables behind this struct. */
#ifndef TENSOR_COMPUTE_H
#define TENSOR_COMPUTE_H

#include <stddef.h>

#include "base/cpu.h"
#include "base/error.h"
#include "base/threads.h"
#include "tensor/kernels/gemm_kernels.h"
#include "tensor/kernels/row_kernels.h"

/* How matrix products see their f32 operands. */
enum matmul_precision {
    MATMUL_F32,
    MATMUL_BF16, /* operands rounded to bfloat16, products accumulated in f32 */
    /* As MATMUL_F32, but in products of rows with a quantized weight the rows are rounded to 8 bits
     * in blocks, and in those of more than a few rows with a 16-bit weight to bfloat16 where the
     * processor has it. */
    MATMUL_INT8,
};

#define COMPUTE_SCRATCH_BYTES ((size_t)4 << 20)

struct compute {
    struct cpu cpu;
    struct thread_pool *pool;
    const struct row_kernels *kernels;
    const struct gemm_kernels *gemm_f32, *gemm_bf16;
    enum matmul_precision precision;
    unsigned char *scratch; /* COMPUTE_SCRATCH_BYTES for each thread */
    unsigned char *panels;  /* GEMM_PANEL_BYTES, shared: packed right-hand operand */
};

/* `threads` as in thread_pool_create. Free with compute_free. */
enum status compute_create(int threads, enum matmul_precision precision, struct compute *compute,
                           struct error *error);
void compute_free(struct compute *compute);

/* The scratch memory of a thread, aligned to 64 bytes; its content lasts for one kernel. */
void *compute_scratch(const struct compute *compute, int thread);

#endif
