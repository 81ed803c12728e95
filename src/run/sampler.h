/* From logits to a token: penalties, then cuts, then a draw. Draws are by address, so a seed gives
 * the same text every time, whoever else is served beside it. */
#ifndef RUN_SAMPLER_H
#define RUN_SAMPLER_H

#include <stdint.h>

#include "base/error.h"

struct token_bias {
    int32_t token;
    float bias; /* added to the logit */
};

struct sampling_options {
    double temperature;        /* 0: the likeliest token */
    int64_t top_k;             /* 0: off */
    double top_p;              /* 1 or 0: off (Holtzman et al. 2020) */
    double min_p;              /* 0: off; share of the probability of the likeliest that is left */
    double typical_p;          /* 1 or 0: off; mass of the most typical (Meister et al. 2023) */
    double repetition_penalty; /* 1 or 0: off; divides positive logits (Keskar et al. 2019) */
    double presence_penalty;   /* taken from the logits of tokens made before */
    double frequency_penalty;  /* the same, for each time they were made */
    int64_t repetition_window; /* last tokens, prompt included, that the repetition penalty sees */
    int64_t mirostat;          /* 0: off; 1 or 2: the version, which replaces all cuts */
    double mirostat_surprise;  /* bits that a token should carry: tau (Basu et al. 2021) */
    double mirostat_rate;      /* of learning it: eta */
    uint64_t seed;
};

/* Room to sample in; one a sequence. */
struct sampler {
    struct sampling_options options;
    const struct token_bias *biases; /* the caller's, or NULL */
    int64_t bias_count;
    int64_t vocabulary, drawn;
    double limit; /* mirostat's mu, in bits */
    struct sampler_candidate *candidates;
};
enum status sampler_create(const struct sampling_options *options, int64_t vocabulary,
                           struct sampler *sampler, struct error *error);
void sampler_free(struct sampler *sampler);

/* Draws a token from logits (V), which are changed. `tokens` are the sequence's so far, of which
 * the first `prompt` were given and the others made. */
int32_t sampler_draw(struct sampler *sampler, float *logits, const int32_t *tokens, int64_t count,
                     int64_t prompt);

#endif
