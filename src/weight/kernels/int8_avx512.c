/* Products with 8-bit activations for AVX-512 without VNNI. */
#define LANES 16
#define ROWS 4
#define SUFFIX avx512
#include "weight/kernels/int8_template.h"
