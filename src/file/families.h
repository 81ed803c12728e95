/* The families of models that adze reads and writes: how each is called in files, how its tensors
 * are called there, and what its name alone says of the configuration. */
#ifndef FILE_FAMILIES_H
#define FILE_FAMILIES_H

#include "file/names.h"

struct family {
    const char *name;       /* decoder_config.family */
    const char *model_type; /* in config.json */
    const char *class_name; /* of transformers */
    const char *arch;       /* in GGUF; NULL: GGUF has no place for it */
    const struct name_table *huggingface, *gguf;
    bool grouped; /* query heads may share keys and values */
    /* Sets what files of this family do not say, given the sizes. */
    void (*traits)(struct decoder_config *config);
};

extern const struct family families[]; /* ended by name = NULL */

/* NULL when there is none of that name. */
const struct family *family_by_name(const char *name);
const struct family *family_by_model_type(const char *type);
const struct family *family_by_arch(const char *arch);

/* Sizes that every family's files state, with the family's traits over them. */
struct decoder_config family_config(const struct family *family, int64_t vocabulary,
                                    int64_t context, int64_t width, int64_t layers, int64_t heads);

#endif
