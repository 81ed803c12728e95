/* Products with 8-bit activations for AVX2. */
#define LANES 8
#define ROWS 3
#define SUFFIX avx2
#include "weight/kernels/int8_template.h"
