/* Products over quantized weights with activations rounded to 8 bits: what weight_matrix offers to
 * gemm for MATMUL_INT8. */
#ifndef WEIGHT_INT8_PRODUCT_H
#define WEIGHT_INT8_PRODUCT_H

#include "weight/kernels/int8_kernels.h"
#include "weight/weight.h"

/* The kernels of a processor. */
const struct int8_kernels *int8_kernels_for(const struct cpu *cpu);

/* Computes calls of one A, whose b's are weights (transposed: outputs are rows of the weight).
 * False, and nothing is done, when there is one that only gemm can do: another transposition, or
 * rows so long that a few of them do not fit the scratch memory. Each row of C is the same bits
 * whatever other rows are computed beside it, and for any number of threads. */
bool int8_product(const struct compute *compute, const struct gemm_call *calls, int count);

#endif
