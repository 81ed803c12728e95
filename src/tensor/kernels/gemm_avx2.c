/* Matrix-product kernels for AVX2 with FMA. */
#define LANES 8
#define ROWS 6
#define SUFFIX avx2
#include "tensor/kernels/gemm_template.h"
