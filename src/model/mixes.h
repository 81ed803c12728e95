/* Which storage format each parameter of a model takes, for the names that users know from
 * llama.cpp: a plain format such as q8_0, or a mix such as q4_K_M, in which the matrices that
 * suffer most have more bits. The rules of the mixes are llama.cpp's (llama-quant.cpp), without
 * importance matrix. */
#ifndef MODEL_MIXES_H
#define MODEL_MIXES_H

#include "model/config.h"
#include "model/parameters.h"

struct mix {
    const char *name;
    const struct weight_format *base; /* of most matrices */
    uint32_t file_type;               /* llama.cpp's number for a file of this kind */
    bool varied;                      /* matrices differ; else all but the output have the base */
};

/* Ended by an entry whose name is NULL. */
extern const struct mix mixes[];
/* The names in order, for options: "f16|bf16|...". */
#define MIX_NAMES                                                                                  \
    "f16|bf16|q8_0|q4_0|q4_1|q5_0|q5_1|q2_K|q3_K_S|q3_K_M|q3_K_L|q4_K_S|q4_K_M|q5_K_S|"            \
    "q5_K_M|q6_K"

/* NULL when there is none of that name. */
const struct mix *mix_by_name(const char *name);

/* The format of a matrix of a model: where its rows are no whole blocks of what the mix wants, a
 * near format with smaller ones. f32 for vectors and learned positions. */
const struct weight_format *mix_format(const struct mix *mix, const struct decoder_config *config,
                                       const struct parameter *parameter);

#endif
