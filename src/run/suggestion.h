/* Sampling where nobody says how: one rule for adze chat, adze generate and the server. What is
 * said holds; what is not is as the model suggests it (its generation_config.json, or the same in a
 * GGUF file); and what the model leaves open is as below. */
#ifndef RUN_SUGGESTION_H
#define RUN_SUGGESTION_H

#include "file/model.h"
#include "run/sampler.h"

#define SAMPLING_TEMPERATURE 0.8
#define SAMPLING_TOP_K 40
#define SAMPLING_TOP_P 0.95
#define SAMPLING_MIN_P 0.05
#define SAMPLING_WINDOW 64
#define SAMPLING_SURPRISE 5
#define SAMPLING_RATE 0.1

/* As above, with a repetition penalty of 1 and all else off. */
extern const struct sampling_options sampling_usual;
/* OpenAI's: temperature 1 and no cuts. */
extern const struct sampling_options sampling_open;

/* Sets what the model suggests: temperature, top_k, top_p, min_p, repetition_penalty. Suggestions
 * out of range are none. */
void sampling_suggest(const struct model *model, struct sampling_options *sampling);

#endif
