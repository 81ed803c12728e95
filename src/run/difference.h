/* How two models differ: what they are made of, piece by piece, and how they behave. What a model
 * was and what a file makes of it are compared by the same functions that compare any two. */
#ifndef RUN_DIFFERENCE_H
#define RUN_DIFFERENCE_H

#include <jansson.h>
#include <signal.h>

#include "data/mixture.h"
#include "file/model.h"
#include "tensor/tape.h"

/* Each appends objects to a JSON array, and nothing when there is no difference. Here and below
 * *stop (NULL: never) not 0 ends the work with STATUS_INTERRUPTED. */

/* {"field", "a", "b"}: of configurations. */
void difference_configs(const struct decoder_config *a, const struct decoder_config *b,
                        json_t *list);
/* {"field", "a", "b"}: size, special tokens, what is put around a text, merges, the first pieces
 * that differ and how many do. */
void difference_tokenizers(const struct tokenizer *a, const struct tokenizer *b, json_t *list);
/* {"line", "a", "b"}: the first differing lines of two texts, either of which may be NULL. */
void difference_texts(const char *a, const char *b, json_t *list);
/* {"tensor", "a", "b", "largest", "mean", "relative"}: formats (null: missing), largest and mean
 * absolute difference, norm of the difference over the norm of a's. Tensors of equal values are
 * left out, whatever their formats. Adapters that are attached to a count as folded into it, in f32
 * and a row at a time. */
enum status difference_tensors(const struct decoder *a, const struct decoder *b,
                               const volatile sig_atomic_t *stop, json_t *list,
                               struct error *error);
/* {"field", "a", "b"}: what breaks a model in use: chat template, ids and names of the tokens that
 * begin and end texts, what is put around a text, ids of probe texts (a doubled beginning among
 * them), and the end tokens of generation. */
enum status difference_in_use(const struct model *a, const struct model *b, json_t *list,
                              struct error *error);

/* Kullback-Leibler divergence of b's predictions from a's, in nats: sum of p_a log(p_a / p_b), at
 * each predicted token, as llama.cpp's perplexity --kl-divergence has it. */
struct divergence {
    int64_t tokens;
    double mean, largest, p99, p90, median; /* of the divergence */
    double agreement;                       /* part of tokens where both find the same likeliest */
    double loss_a, loss_b;                  /* nats per token */
};

/* Over windows of the shard. Vocabularies must be equal. */
enum status difference_divergence(struct decoder *a, struct decoder *b, struct compute *compute,
                                  const struct shard *shard, const struct mixture_reading *reading,
                                  const volatile sig_atomic_t *stop, struct divergence *result,
                                  struct error *error);
/* The same over rows of ids, one after the other: `counts[i]` ids each. */
enum status difference_divergence_rows(struct decoder *a, struct decoder *b,
                                       struct compute *compute, const int32_t *ids,
                                       const int64_t *counts, int64_t rows,
                                       const volatile sig_atomic_t *stop, struct divergence *result,
                                       struct error *error);

/* Answers to prompts, drawn greedily. */
struct answers {
    int64_t prompts, equal; /* equal: of a and b token for token */
    int32_t *ids;           /* a's, prompts included, and how many of each */
    int64_t *counts;
};
/* `prompts` are texts; `tokens` are made for each; a's `stop` ends it. Free `ids` and `counts`. */
enum status difference_answers(struct model *a, struct model *b, struct compute *compute,
                               const char *const *prompts, int64_t count, int64_t tokens,
                               struct answers *answers, struct error *error);

#endif
