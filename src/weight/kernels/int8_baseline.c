/* Products with 8-bit activations for any processor. */
#define LANES 4
#define ROWS 2
#define SUFFIX baseline
#include "weight/kernels/int8_template.h"
