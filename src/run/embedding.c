/* See embedding.h. */
#include "run/embedding.h"

#include <math.h>
#include <stdlib.h>

/* The mean is taken in double precision, so that its direction does not suffer in long texts. */
static enum status pool(const float *hidden, int64_t count, int64_t width, float *embedding,
                        struct error *error)
{
    double *sum = calloc((size_t)width, sizeof *sum), square = 0;
    if (!sum)
        return error_no_memory(error, (size_t)width * sizeof *sum);
    for (int64_t t = 0; t < count; t++)
        for (int64_t i = 0; i < width; i++)
            sum[i] += (double)hidden[t * width + i];
    for (int64_t i = 0; i < width; i++)
        square += sum[i] * sum[i];
    double scale = square > 0 ? 1 / sqrt(square) : 0;
    for (int64_t i = 0; i < width; i++)
        embedding[i] = (float)(sum[i] * scale);
    free(sum);
    return STATUS_OK;
}

enum status embed_tokens(struct decoder *decoder, struct tape *tape, const int32_t *tokens,
                         int64_t count, float *embedding, struct error *error)
{
    int64_t context = decoder->config.context;
    if (count < 1 || count > context)
        return error_set(error, STATUS_FAILED,
                         "a text of %lld tokens cannot be embedded: from 1 to %lld are possible",
                         (long long)count, (long long)context);
    struct decoder_batch batch = {.batch = 1, .length = count, .tokens = tokens};
    struct tensor *hidden = decoder_hidden(decoder, tape, &batch);
    enum status status = tape_check(tape, error);
    if (status == STATUS_OK)
        status =
            pool(hidden->data, count, decoder_embedding_width(&decoder->config), embedding, error);
    tape_reset(tape);
    return status;
}
