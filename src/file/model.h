/* Models on disk: a Hugging Face folder (config.json, model.safetensors, tokenizer.json) or a GGUF
 * file, whichever the path is. Weights are used from the mapped file in the format in which they
 * are stored; only what a file lays out differently from the decoder is copied. */
#ifndef FILE_MODEL_H
#define FILE_MODEL_H

#include <jansson.h>
#include <signal.h>
#include <stdbool.h>

#include "file/gguf.h"
#include "file/names.h"
#include "file/safetensors.h"
#include "model/decoder.h"
#include "text/tokenizer.h"

#define MODEL_ENDS_MOST 16

/* How a model talks, beside its tokenizer. All texts lie in the model's `owned` arena. */
struct model_chat {
    struct model_template {
        const char *name; /* "default" is the first, if there is one of that name */
        const char *text; /* Jinja, see text/chat.h */
    } * templates;
    int template_count;
    const char *bos, *eos, *unknown, *pad; /* names of tokens as templates put them; may be NULL */
    int32_t ends[MODEL_ENDS_MOST]; /* tokens that end an answer, beside the tokenizer's eos */
    int end_count;
    json_t *generation; /* generation_config.json, NULL: there is none */
    json_t *tokenizer;  /* tokenizer_config.json without its template, likewise */
};

struct model {
    struct decoder decoder;
    struct tokenizer tokenizer;
    bool has_tokenizer;
    struct model_chat chat;
    char *path;
    struct safetensors *shards; /* what the weights are mapped from: of a folder */
    int64_t shard_count;
    struct gguf gguf;                  /* or a GGUF file */
    struct arena owned;                /* weights that had to be copied or were packed */
    const volatile sig_atomic_t *stop; /* not 0: packing and saving end; NULL: never */
};

/* Loads a model. With `train`, all values are unpacked to f32 and can be trained; else they stay
 * in the file's mapping. Free with model_free. */
enum status model_load(const char *path, bool train, struct model *model, struct error *error);
void model_free(struct model *model);
/* Reads every weight; fails at one that is infinite or no number. */
enum status model_check_finite(const struct model *model, struct error *error);

/* Whether the token ends a text or an answer. */
bool model_is_end(const struct model *model, int32_t token);
/* The text of the chat template of that name (NULL: the default one), or NULL. */
const char *model_chat_template(const struct model *model, const char *name);
/* Lets the model talk by this template alone, a copy of `text`: its own ones are dropped, and the
 * token that this one puts behind answers ends them, too. */
enum status model_put_chat_template(struct model *model, const char *text, struct error *error);

/* Whether the model's `stop` says that work on it is to end. */
bool model_is_stopped(const struct model *model);

/* Writes config.json, generation_config.json, model.safetensors (f32) and, when there is one,
 * tokenizer.json with tokenizer_config.json and the chat template into the folder, making it if
 * need be. The weights come first: stopped in them, it leaves the folder as it was. */
enum status model_save_folder(const struct model *model, const char *folder, struct error *error);

/* Writes a GGUF file: every weight in its present format, f32 matrices in `format` (NULL: f32).
 * Stopped, it leaves no file. */
enum status model_save_gguf(const struct model *model, const char *path,
                            const struct weight_format *format, const char *name,
                            struct error *error);

/* Configuration from and to config.json; `path` is for messages. */
enum status huggingface_read_config(const char *path, struct decoder_config *config,
                                    struct error *error);
/* Whether huggingface_write_config can write this configuration: to know before a training. */
enum status huggingface_check_config(const struct decoder_config *config, const char *path,
                                     struct error *error);
enum status huggingface_write_config(const struct decoder_config *config, const char *path,
                                     struct error *error);
/* Configuration and tokenizer from GGUF's keys. */
enum status gguf_read_config(struct gguf *file, struct decoder_config *config, struct error *error);
enum status gguf_read_tokenizer(struct gguf *file, struct tokenizer *tokenizer,
                                struct error *error);
/* Puts the tokenizer's keys; ids from the tokenizer's count to the model's `vocabulary` are named
 * as unused. What llama.cpp's keys cannot say is kept in a copy of the tokenizer.json beside them.
 */
enum status gguf_put_tokenizer(struct gguf_writer *writer, const struct tokenizer *tokenizer,
                               int64_t vocabulary, struct error *error);

/* Whether two configurations compute the same. Dropout, which files of most families do not state,
 * is left aside, and so is the family's name. */
bool model_configs_agree(const struct decoder_config *a, const struct decoder_config *b);

/* The tokenizer alone, of whatever has one: a model folder, a GGUF file, a tokenizer.json, a
 * tokenizer.model. Free with tok_free. */
enum status model_load_tokenizer(const char *path, struct tokenizer *tokenizer,
                                 struct error *error);

#endif
