/* How well a model predicts text: nats per token, perplexity, and bits per byte, which compare
 * across tokenizers. */
#ifndef RUN_EVALUATE_H
#define RUN_EVALUATE_H

#include <signal.h>
#include <stdint.h>

#include "data/shard.h"
#include "file/model.h"
#include "tensor/tape.h"

struct evaluation {
    double nats;    /* sum over all predicted tokens */
    int64_t tokens; /* predicted */
    int64_t bytes;  /* of text behind them; the token that ends a document counts as none */
    double loss;    /* nats per token */
    double perplexity;
    double bits_per_byte; /* 0 without a tokenizer */
};

/* Evaluates on windows of `window` tokens of the shard, at most `most_tokens` (0: all), spread
 * evenly over it. Uses the tape with recording off and leaves it reset. When *stop (NULL: never) is
 * not 0 it ends with STATUS_INTERRUPTED. */
enum status evaluate_shard(struct decoder *decoder, const struct tokenizer *tokenizer,
                           struct tape *tape, const struct shard *shard, int64_t window,
                           int64_t most_tokens, const volatile sig_atomic_t *stop,
                           struct evaluation *result, struct error *error);

/* Fills in the averages from sums. */
void evaluation_finish(struct evaluation *evaluation);

#endif
