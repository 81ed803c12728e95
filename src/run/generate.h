/* Text generation with a KV cache, one sequence at a time. Logits pass through the stages that the
 * options ask for; the draw is by address, so a seed gives the same text every time. */
#ifndef RUN_GENERATE_H
#define RUN_GENERATE_H

#include <stdbool.h>
#include <stdint.h>

#include "file/model.h"
#include "tensor/tape.h"

struct sampling_options {
    double temperature;        /* 0: the likeliest token */
    int64_t top_k;             /* 0: off */
    double top_p;              /* 1: off */
    double min_p;              /* 0: off; share of the likeliest token's probability */
    double repetition_penalty; /* 1: off; divides positive logits of recent tokens (Keskar 2019) */
    int64_t repetition_window; /* tokens that count as recent */
    uint64_t seed;
};

/* Room to sample in; one a sequence. */
struct sampler {
    struct sampling_options options;
    int64_t vocabulary, drawn;
    struct sampler_candidate *candidates;
};
enum status sampler_create(const struct sampling_options *options, int64_t vocabulary,
                           struct sampler *sampler, struct error *error);
void sampler_free(struct sampler *sampler);
/* Draws a token from logits (V), which may be changed; `recent` are the tokens so far. */
int32_t sampler_draw(struct sampler *sampler, float *logits, const int32_t *recent, int64_t count);

struct generate_options {
    int64_t most_tokens;
    bool ignore_end; /* go on behind the end-of-text token */
    /* Told each new token; returns false to stop. NULL allowed. */
    bool (*on_token)(void *context, int32_t token);
    void *context;
};

/* Continues `ids`, to which the new tokens are appended. Stops at the end-of-text token (which is
 * appended too), after most_tokens, or when the context is full. *prompt_seconds and *seconds, both
 * may be NULL, receive the times for the prompt and for the rest. */
enum status generate_tokens(struct model *model, struct tape *tape, struct sampler *sampler,
                            const struct generate_options *options, struct tok_ids *ids,
                            double *prompt_seconds, double *seconds, struct error *error);

#endif
