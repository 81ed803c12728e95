/* Unpacking for AVX2. */
#define SUFFIX avx2
#include "weight/kernels/unpack_template.h"
