/* Products with 8-bit activations for AVX-512 with VNNI, which sums products of bytes exactly. */
#define NATIVE_DOT
#define LANES 16
#define ROWS 4
#define SUFFIX vnni
#include "weight/kernels/int8_template.h"
