/* Matrix-product kernels for plain x86-64, and whatever else the compiler knows. */
#define LANES 4
#define ROWS 4
#define SUFFIX baseline
#include "tensor/kernels/gemm_template.h"
