/* The mixer of tokens by the gated delta rule, as Qwen3.5 has it between its layers of attention: a
 * short convolution, the rule, a norm and a gate. */
#ifndef MODEL_DELTA_MIXER_H
#define MODEL_DELTA_MIXER_H

#include "model/decoder.h"

/* What of a layer `normed` (B, T, C) becomes before the output projection: (B, T, Hv Dv). In a step
 * `runs` say which rows belong to which sequence, whose state goes on; else they are NULL. */
struct tensor *delta_mix(struct decoder *decoder, struct tape *tape, int64_t layer,
                         const struct decoder_batch *batch, const struct decoder_run *runs,
                         int64_t run_count, struct tensor *normed);

/* Room that the forward pass of a training step takes for a token in such a layer, in values. */
int64_t delta_mixer_values(const struct decoder_config *config);

#endif
