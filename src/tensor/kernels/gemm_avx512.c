/* Matrix-product kernels for AVX-512. */
#define LANES 16
#define ROWS 14
#define SUFFIX avx512
#include "tensor/kernels/gemm_template.h"
