/* Row kernels for AVX-512. */
#define SUFFIX avx512
#include "tensor/kernels/rows_template.h"
