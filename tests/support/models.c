/* See models.h. */
#include "support/models.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

void models_folder_make(struct models_folder *folder)
{
    snprintf(folder->path, sizeof folder->path, "/tmp/adze-test-XXXXXX");
    assert_non_null(mkdtemp(folder->path));
}

void models_folder_remove(const struct models_folder *folder)
{
    assert_int_equal(file_remove_tree(folder->path, NULL), STATUS_OK);
}

char *models_path(const char *root, const char *a, const char *b)
{
    char *first = file_join(root, a);
    assert_non_null(first);
    if (!b)
        return first;
    char *both = file_join(first, b);
    assert_non_null(both);
    free(first);
    return both;
}

struct buffer models_read(const char *path)
{
    struct buffer bytes = {0};
    assert_int_equal(file_read(path, 0, &bytes, NULL), STATUS_OK);
    return bytes;
}

void models_write(const char *path, const void *bytes, size_t length)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

float *models_logits(struct compute *compute, struct model *model, const int32_t *tokens,
                     int64_t batch, int64_t length)
{
    int64_t rows = batch * length, vocabulary = model->decoder.config.vocabulary;
    float *logits = malloc((size_t)(rows * vocabulary) * sizeof *logits);
    assert_non_null(logits);
    struct tape tape;
    tape_init(&tape, compute);
    struct decoder_batch input = {.batch = batch, .length = length, .tokens = tokens};
    struct tensor *hidden = decoder_hidden(&model->decoder, &tape, &input);
    assert_non_null(hidden);
    if (model->decoder.config.bidirectional)
        memcpy(logits, hidden->data, (size_t)tensor_count(hidden) * sizeof *logits);
    else
        linear_logits(compute, hidden, 0, rows, &model->decoder.head, logits);
    tape_free(&tape);
    return logits;
}

double models_perplexity(struct compute *compute, struct model *model, const struct tok_ids *ids,
                         int64_t context)
{
    double nats = 0;
    int64_t count = 0;
    struct tape tape;
    tape_init(&tape, compute);
    float *weights = calloc((size_t)context, sizeof *weights);
    float *losses = calloc((size_t)context, sizeof *losses);
    for (int64_t t = context / 2; t < context - 1; t++)
        weights[t] = 1;
    for (int64_t begin = 0; begin + context <= ids->count; begin += context) {
        int32_t *targets = calloc((size_t)context, sizeof *targets);
        memcpy(targets, ids->items + begin + 1, (size_t)(context - 1) * sizeof *targets);
        struct decoder_batch batch = {.batch = 1, .length = context, .tokens = ids->items + begin};
        struct loss_target target = {
            .ids = targets, .weights = weights, .scale = 1, .losses = losses};
        assert_non_null(decoder_loss(&model->decoder, &tape, &batch, &target));
        for (int64_t t = 0; t < context; t++) {
            nats += (double)losses[t];
            count += weights[t] > 0;
        }
        tape_reset(&tape);
        free(targets);
    }
    free(weights);
    free(losses);
    tape_free(&tape);
    return exp(nats / (double)count);
}

void models_random(const char *family, struct model *model)
{
    models_random_long(family, 24, model);
}

void models_random_long(const char *family, int64_t context, struct model *model)
{
    bool gpt2 = strcmp(family, "gpt2") == 0;
    struct decoder_config config = gpt2 ? decoder_config_gpt2(60, context, 32, 2, 4)
                                        : decoder_config_llama(60, context, 32, 2, 4);
    config.hidden = 64;
    if (!gpt2) {
        config.kv_heads = 2;
        config.attention_bias = config.output_bias = true;
    }
    *model = (struct model){0};
    model->tokenizer.bos = model->tokenizer.eos = -1;
    assert_int_equal(decoder_config_check(&config, "test", NULL), STATUS_OK);
    assert_int_equal(decoder_create_random(&config, 9, &model->decoder, NULL), STATUS_OK);
    struct parameters *p = &model->decoder.parameters;
    float *noise = check_normal(3, p->total, 0.2);
    for (int i = 0; i < p->count; i++) /* biases are zero otherwise, and matrices too small */
        for (int64_t j = 0; j < tensor_count(&p->items[i].weight.tensor); j++)
            p->values[p->items[i].offset + j] += noise[p->items[i].offset + j];
    free(noise);
}

void models_check_message(const struct error *error, const char *name)
{
    if (error->message[0] == 0 || strchr(error->message, '\n') || !strstr(error->message, name))
        fail_msg("the message should be one line with '%s' in it: \"%s\"", name, error->message);
}
