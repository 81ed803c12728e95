/* Uses a model that was loaded from a fuzzed file: a few tokens through it, a text through its
 * tokenizer. */
#ifndef FUZZ_MODEL_H
#define FUZZ_MODEL_H

#include <stdlib.h>

#include "file/model.h"

static inline void fuzz_forward(struct decoder *decoder)
{
    struct compute compute;
    struct tape tape;
    const struct decoder_config *c = &decoder->config;
    int32_t tokens[4] = {0, 1 % (int32_t)c->vocabulary, (int32_t)c->vocabulary - 1, 0};
    if (compute_create(1, MATMUL_F32, &compute, NULL) != STATUS_OK)
        return;
    tape_init(&tape, &compute);
    int64_t count = c->context < 4 ? c->context : 4;
    struct decoder_batch batch = {.batch = 1, .length = count, .tokens = tokens};
    struct tensor *hidden = decoder_hidden(decoder, &tape, &batch);
    float *logits = malloc((size_t)(count * c->vocabulary) * sizeof *logits);
    if (hidden && logits)
        linear_logits(&compute, hidden, 0, count, &decoder->head, logits);
    free(logits);
    tape_free(&tape);
    compute_free(&compute);
}

static inline void fuzz_model(struct model *model)
{
    if (decoder_count(&model->decoder.config).parameters < 1 << 20)
        fuzz_forward(&model->decoder);
    if (!model->has_tokenizer)
        return;
    struct tok_scratch scratch = {0};
    struct tok_ids ids = {0};
    struct buffer text = {0};
    const char sample[] = " The cat's 12 \n\n na\xc3\xafve \xff mats<|endoftext|>";
    if (tok_encode(&model->tokenizer, &scratch, sample, sizeof sample - 1, true, &ids, NULL) ==
        STATUS_OK)
        tok_decode(&model->tokenizer, ids.items, ids.count, true, &text);
    for (int64_t i = 0; i < ids.count; i++)
        if (ids.items[i] < 0 || ids.items[i] >= model->decoder.config.vocabulary)
            abort();
    buffer_free(&text);
    tok_ids_free(&ids);
    tok_scratch_free(&scratch);
}

#endif
