/* The kinds of model files behind model_load; private to src/file. */
#ifndef FILE_KINDS_H
#define FILE_KINDS_H

#include "file/model.h"

enum status model_load_folder(const char *path, bool train, struct model *model,
                              struct error *error);
enum status model_load_gguf(const char *path, bool train, struct model *model, struct error *error);

/* The tokenizer of a model folder; `found` is false when it has none, which is no error. */
enum status model_folder_tokenizer(const char *folder, struct tokenizer *tokenizer, bool *found,
                                   struct error *error);

/* A stored tensor, wherever it comes from. */
struct stored_tensor {
    char name[128];
    const struct name_rule *rule;
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

/* Not every configuration of the decoder can be said in the files of its family: in GGUF (`gguf`)
 * or in a Hugging Face folder. */
enum status model_check_expressible(const struct decoder_config *config, bool gguf,
                                    const char *path, struct error *error);

#endif
