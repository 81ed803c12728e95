/* Row kernels for AVX2 with FMA. */
#define SUFFIX avx2
#include "tensor/kernels/rows_template.h"
