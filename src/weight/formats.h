/* The storage formats, one file each. Layouts are GGUF's, bit for bit, so that files can be mapped
 * and used as they are. */
#ifndef WEIGHT_FORMATS_H
#define WEIGHT_FORMATS_H

#include "weight/kernels/unpack_kernels.h"
#include "weight/weight.h"

#define WEIGHT_BLOCK_MOST 256 /* largest block of any format, in values */

extern const struct weight_format weight_f32;
extern const struct weight_format weight_f16;
extern const struct weight_format weight_bf16;
/* Blocks of 32 values: an f16 scale, in *_1 an f16 minimum, too. */
extern const struct weight_format weight_q8_0; /* 8.5 bits a value */
extern const struct weight_format weight_q4_0; /* 4.5 */
extern const struct weight_format weight_q4_1; /* 5 */
extern const struct weight_format weight_q5_0; /* 5.5 */
extern const struct weight_format weight_q5_1; /* 6 */
/* Super-blocks of 256 values whose sub-blocks of 16 or 32 have scales of few bits. */
extern const struct weight_format weight_q2_k; /* 2.625 */
extern const struct weight_format weight_q3_k; /* 3.4375 */
extern const struct weight_format weight_q4_k; /* 4.5 */
extern const struct weight_format weight_q5_k; /* 5.5 */
extern const struct weight_format weight_q6_k; /* 6.5625 */

#endif
