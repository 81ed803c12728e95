/* How well a model predicts text: nats per token, perplexity, and bits per byte, which compare
 * across tokenizers. */
#ifndef RUN_EVALUATE_H
#define RUN_EVALUATE_H

#include <signal.h>
#include <stdint.h>

#include "data/mixture.h"
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

/* Evaluates on windows of the shard. Uses the tape with recording off and leaves it reset. When
 * *stop (NULL: never) is not 0 it ends with STATUS_INTERRUPTED. */
enum status evaluate_shard(struct decoder *decoder, const struct tokenizer *tokenizer,
                           struct tape *tape, const struct shard *shard,
                           const struct mixture_reading *reading, const volatile sig_atomic_t *stop,
                           struct evaluation *result, struct error *error);

/* Fills in the averages from sums. */
void evaluation_finish(struct evaluation *evaluation);

#endif
