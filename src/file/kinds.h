/* The kinds of model files behind model_load; private to src/file. */
#ifndef FILE_KINDS_H
#define FILE_KINDS_H

#include <jansson.h>

#include "file/families.h"
#include "file/model.h"

enum status model_load_folder(const char *path, bool train, struct model *model,
                              struct error *error);
enum status model_load_gguf(const char *path, bool train, struct model *model, struct error *error);

/* The tokenizer of a model folder; `found` is false when it has none, which is no error. */
enum status model_folder_tokenizer(const char *folder, struct tokenizer *tokenizer, bool *found,
                                   struct error *error);

/* A stored tensor, wherever it comes from. */
struct stored_tensor {
    char name[NAME_LENGTH];
    struct name_group group;
    const struct weight_format *format; /* NULL: adze has no such format */
    int64_t rows, columns;              /* as stored; rank 1 is one row */
    const void *data;
};

/* Finds the stored tensor of a parameter. */
typedef enum status find_stored_function(const struct model *model,
                                         const struct parameter *parameter,
                                         struct stored_tensor *stored, struct error *error);

/* Gives all parameters their values: maps them, or copies and unpacks where it must. Every shape is
 * checked before memory is taken for values, so that no file can ask for more than it holds. `path`
 * is for messages; `used` receives the names of the stored tensors. */
enum status model_bind_all(struct model *model, const char *path, find_stored_function *find,
                           bool train, struct table *used, struct error *error);
/* A tensor that no parameter uses says that the model computes something that adze would not. */
enum status model_unused_tensor(const char *path, const char *name, struct error *error);

/* Fails when GGUF cannot say this configuration; and its keys. `name` is the model's. */
enum status gguf_check_config(const struct decoder_config *config, const char *path,
                              struct error *error);
void gguf_put_config(struct gguf_writer *writer, const struct decoder_config *config,
                     const char *name);
/* The tensors that GGUF keeps factors of rotations in, at most two; returns how many. */
struct gguf_rope_tensor {
    const char *name;
    int64_t count;
    float values[ROPE_PAIRS_MOST];
};
int gguf_rope_tensors(const struct decoder_config *config, struct gguf_rope_tensor out[2]);

/* A JSON object from a file, and back; the latter takes `root` over, which may be NULL for want of
 * memory. */
enum status huggingface_read_json(const char *path, json_t **root, struct error *error);
enum status huggingface_write_json(json_t *root, const char *path, struct error *error);

/* How a model talks (struct model_chat), once it has its tokenizer: from the files of a folder, or
 * the keys of a GGUF file, and what follows from both; and back. The path is a folder's, or the
 * file's that is written. */
enum status chat_load_folder(struct model *model, const char *folder, struct error *error);
enum status chat_load_gguf(struct model *model, struct error *error);
enum status chat_save_generation(const struct model *model, const char *path, struct error *error);
enum status chat_save_tokenizer(const struct model *model, const char *path, struct error *error);
enum status chat_save_template(const struct model *model, const char *path, struct error *error);
void chat_put_gguf(const struct model *model, struct gguf_writer *writer);

#endif
