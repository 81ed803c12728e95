/* Row kernels for plain x86-64, and whatever else the compiler knows. */
#define SUFFIX baseline
#include "tensor/kernels/rows_template.h"
