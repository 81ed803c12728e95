/* adze's logits for comparison with other programs: logits MODEL < tokens > logits. Tokens are one
 * window of int32, logits f32 (tokens, vocabulary); of an encoder the hidden states (tokens,
 * width). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file/model.h"

#define TOKENS_MOST 65536

static enum status write_logits(struct model *model, const int32_t *tokens, int64_t count,
                                struct error *error)
{
    struct compute compute;
    struct tape tape;
    enum status status = compute_create(0, MATMUL_F32, &compute, error);
    if (status != STATUS_OK)
        return status;
    tape_init(&tape, &compute);
    struct decoder_batch batch = {.batch = 1, .length = count, .tokens = tokens};
    struct tensor *hidden = decoder_hidden(&model->decoder, &tape, &batch);
    const struct decoder_config *config = &model->decoder.config;
    bool encoder = config->bidirectional;
    size_t values = (size_t)(count * (encoder ? config->width : config->vocabulary));
    float *logits = malloc(values * sizeof *logits);
    if (!logits)
        status = error_no_memory(error, values * sizeof *logits);
    else
        status = tape_check(&tape, error);
    if (status == STATUS_OK) {
        if (encoder)
            memcpy(logits, hidden->data, values * sizeof *logits);
        else
            linear_logits(&compute, hidden, 0, count, &model->decoder.head, logits);
        if (fwrite(logits, sizeof *logits, values, stdout) != values)
            status = error_set(error, STATUS_FAILED, "standard output: could not be written");
    }
    free(logits);
    tape_free(&tape);
    compute_free(&compute);
    return status;
}

int main(int argc, char **argv)
{
    static int32_t tokens[TOKENS_MOST];
    struct model model;
    struct error error;
    if (argc != 2) {
        fputs("usage: logits MODEL < tokens > logits\n", stderr);
        return 2;
    }
    int64_t count = (int64_t)fread(tokens, sizeof *tokens, TOKENS_MOST, stdin);
    enum status status = model_load(argv[1], false, &model, &error);
    if (status != STATUS_OK) {
        fprintf(stderr, "logits: %s\n", error.message);
        return 1;
    }
    for (int64_t i = 0; i < count && status == STATUS_OK; i++)
        if (tokens[i] < 0 || tokens[i] >= model.decoder.config.vocabulary)
            status = error_set(&error, STATUS_FAILED, "token %lld is %d", (long long)i, tokens[i]);
    if (count < 1 || count > model.decoder.config.context)
        status = error_set(&error, STATUS_FAILED, "%lld tokens do not fit the context",
                           (long long)count);
    if (status == STATUS_OK)
        status = write_logits(&model, tokens, count, &error);
    if (status != STATUS_OK)
        fprintf(stderr, "logits: %s\n", error.message);
    model_free(&model);
    return status == STATUS_OK ? 0 : 1;
}
