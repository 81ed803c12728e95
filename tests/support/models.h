/* What tests of model files share: temporary folders, whole files in memory, logits, and loading
 * that is expected to fail with a line of text. */
#ifndef SUPPORT_MODELS_H
#define SUPPORT_MODELS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "file/model.h"
#include "support/check.h"

/* A new folder, removed by models_folder_remove. */
struct models_folder {
    char path[64];
};
void models_folder_make(struct models_folder *folder);
void models_folder_remove(const struct models_folder *folder);

/* "root/a/b", to be freed; b may be NULL. */
char *models_path(const char *root, const char *a, const char *b);

/* The file's bytes; free with buffer_free. */
struct buffer models_read(const char *path);
void models_write(const char *path, const void *bytes, size_t length);

/* Logits (batch * length, V), or of an encoder its hidden states (batch * length, C); to be freed.
 */
float *models_logits(struct compute *compute, struct model *model, const int32_t *tokens,
                     int64_t batch, int64_t length);

/* Perplexity as llama-perplexity scores: windows side by side, nothing put before them, and of each
 * the second half counts, from the token behind the middle one on. */
double models_perplexity(struct compute *compute, struct model *model, const struct tok_ids *ids,
                         int64_t context);

/* A small random model of a family ("llama" or "gpt2") with grouped heads or biases, vocabulary
 * 60. Free with model_free. */
void models_random(const char *family, struct model *model);
/* The same with another context than 24 tokens. */
void models_random_long(const char *family, int64_t context, struct model *model);

/* Fails unless the message is one line, not empty, and has `name` in it. */
void models_check_message(const struct error *error, const char *name);

#endif
