/* The storage formats, one file each. Layouts are GGUF's, bit for bit, so that files can be mapped
 * and used as they are. */
#ifndef WEIGHT_FORMATS_H
#define WEIGHT_FORMATS_H

#include "weight/weight.h"

#define WEIGHT_BLOCK_MOST 256 /* largest block of any format, in values */

extern const struct weight_format weight_f32;
extern const struct weight_format weight_f16;
extern const struct weight_format weight_bf16;
extern const struct weight_format weight_q8_0; /* 32 x int8 and an f16 scale: 8.5 bits */
extern const struct weight_format weight_q4_0; /* 32 x 4 bits and an f16 scale: 4.5 bits */

#endif
