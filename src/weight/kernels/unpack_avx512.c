/* Unpacking for AVX-512. */
#define SUFFIX avx512
#include "weight/kernels/unpack_template.h"
