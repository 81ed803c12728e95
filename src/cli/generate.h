/* What adze generate is told, and completions as JSON: shared by a single text (generate.c) and by
 * batches (batch.c). */
#ifndef CLI_GENERATE_H
#define CLI_GENERATE_H

#include "cli/stages.h"
#include "serve/prompt.h"

struct generate_options {
    const char *prompt, *data, *output;
    int64_t tokens, n, likely, slots;
    struct option_list stops, biases;
    bool ignore_end, unordered, strict;
};

/* The options in the names of the API, as the body of a request without a prompt; new reference. */
enum status generate_defaults(const struct generate_options *options,
                              const struct sampling_options *sampling, uint64_t seed,
                              json_t **defaults, struct error *error);

/* One text that is made. Zero-initialize, set what is above the line; free with completion_free. */
struct completion {
    const struct tokenizer *tokenizer;
    bool print, log_probabilities;

    struct tok_ids ids;
    struct buffer text;
    json_t *logprobs; /* of the tokens; or NULL */
    struct engine_result result;
    bool ended;
    char problem[256]; /* why it failed, or "" */
};
/* Callbacks of an engine_request whose context is a completion. */
bool completion_token(void *context, const struct engine_token *token);
void completion_end(void *context, const struct engine_result *result);
/* text, token_ids, finish_reason, prompt_tokens and, when asked for, logprobs, into an object. */
void completion_json(const struct completion *completion, json_t *object);
void completion_free(struct completion *completion);

/* Prompts from lines of JSON, completions as lines of JSON. */
enum status generate_batch(struct cli *cli, struct loaded *loaded,
                           const struct generate_options *options, json_t *defaults,
                           struct error *error);

#endif
