/* Texts as vectors: the mean of a decoder's final hidden states over the tokens, at length 1. */
#ifndef RUN_EMBEDDING_H
#define RUN_EMBEDDING_H

#include "model/decoder.h"

/* Writes the embedding (width of the model) of `count` tokens, at least one and no more than the
 * context, each of them in the vocabulary. The tape must not record; it is reset. */
enum status embed_tokens(struct decoder *decoder, struct tape *tape, const int32_t *tokens,
                         int64_t count, float *embedding, struct error *error);

#endif
