/* How the decoder's parameters are called, and laid out, in the files of each family. */
#ifndef FILE_NAMES_H
#define FILE_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "model/decoder.h"

enum name_form {
    NAME_PLAIN,
    NAME_TRANSPOSED,  /* stored as (inputs, outputs) */
    NAME_INTERLEAVED, /* rows of each head in the order 0, D/2, 1, D/2 + 1, ...: ggml's rotation
                         pairs neighbors, ours and Hugging Face's pairs j with j + D/2 */
};

/* `ours` and `theirs` may start with '*', which stands for the layer's prefix. */
struct name_rule {
    const char *ours, *theirs;
    enum name_form form;
    int part, parts; /* this parameter is part `part` of `parts` of the stored tensor's outputs */
};

/* A family's names in one kind of file. */
struct name_table {
    const char *family;
    const char *layer;             /* prefix of a layer's tensors, with %d */
    const struct name_rule *rules; /* ended by ours = NULL */
};

/* NULL when the family is not known. */
const struct name_table *names_huggingface(const char *family);
const struct name_table *names_gguf(const char *family);

/* The rule for a parameter and the stored tensor's full name; NULL when the table has none. */
const struct name_rule *names_find(const struct name_table *table, const char *ours, char *theirs,
                                   size_t size);

#endif
