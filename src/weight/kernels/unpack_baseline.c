/* Unpacking for any processor. */
#define SUFFIX baseline
#include "weight/kernels/unpack_template.h"
