/* How the decoder's parameters are called, and laid out, in the files of each family. Tables in
 * names_huggingface.c and names_gguf.c; readers and writers share them. */
#ifndef FILE_NAMES_H
#define FILE_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "model/decoder.h"

/* How a parameter's outputs (rows of a matrix, values of a vector) lie in the stored tensor.
 * Parameters of the same stored name lie in it one behind the other, in the order of the table. */
enum name_form {
    NAME_PLAIN,
    NAME_TRANSPOSED, /* the matrix is stored as (inputs, outputs) */
    NAME_ROTATED,    /* rows of queries or keys. Where the table says so, those of each head in the
                        order 0, D/2, 1, D/2 + 1, ...: ggml's rotation of these families pairs
                        neighbors, ours and Hugging Face's pairs j with j + D/2 */
    NAME_BY_HEAD,    /* head by head: the head's part of one parameter, then of the next */
    NAME_LESS_ONE,   /* a norm's weight less 1 */
    /* Of the delta rule. Hugging Face has the value heads of a key head side by side, where ours
     * and ggml's h-th value head belongs to key head h modulo their number. */
    NAME_VALUE_HEADS,  /* outputs are value heads */
    NAME_MIXED_HEADS,  /* outputs are query heads, key heads, value heads */
    NAME_CHANNELS,     /* the same as a vector (C, K) that is stored as (C, 1, K): a kernel of a
                          convolution */
    NAME_VALUE_INPUTS, /* inputs are value heads */
    NAME_KERNEL,       /* a vector (C, K) that is stored as a matrix, in our order */
    NAME_NEGATED_EXP,  /* a vector x that is stored as -exp(x) */
    NAME_STACKED,      /* those of all experts behind one another, as one tensor of three axes */
};

/* `ours` and `theirs` may start with '*', which stands for the layer's prefix, and have a '#',
 * which stands for the expert's number; of NAME_STACKED only `ours` has one. */
struct name_rule {
    const char *ours, *theirs;
    enum name_form form;
};

/* A family's names in one kind of file. */
struct name_table {
    const char *layer;             /* prefix of a layer's tensors, with %d */
    const struct name_rule *rules; /* ended by ours = NULL */
    bool interleaved;              /* of NAME_ROTATED */
};

extern const struct name_table names_huggingface_llama, names_huggingface_gemma,
    names_huggingface_phi3, names_huggingface_gpt2, names_huggingface_neox, names_huggingface_opt,
    names_huggingface_mixtral, names_huggingface_bert, names_huggingface_modernbert,
    names_huggingface_qwen35;
extern const struct name_table names_gguf_llama, names_gguf_plain, names_gguf_fused,
    names_gguf_phi3, names_gguf_bert, names_gguf_modernbert, names_gguf_qwen35;

#define NAME_PARTS_MOST 4
#define NAME_LENGTH 128

/* A stored tensor and the parameters that lie in it. */
struct name_group {
    const struct name_table *table;
    const struct name_rule *rule; /* of the parameter that was asked for */
    char stored[NAME_LENGTH];
    struct parameter *parts[NAME_PARTS_MOST];
    int count, index; /* `index`: the parameter that was asked for */
    int64_t experts;  /* of NAME_STACKED, else 0: then `parts` is the first expert's alone, the
                         others lie behind it, and `index` is the expert */
    int64_t head_width;
    const struct delta_config *delta;
    int64_t channels; /* of NAME_CHANNELS and NAME_KERNEL: C */
};

/* The group of a parameter; false when the table has no place for it. */
bool names_find(const struct name_table *table, const struct decoder *decoder,
                const struct parameter *parameter, struct name_group *group);

/* Part `part` of the group. */
const struct parameter *names_part(const struct name_group *group, int part);
/* How many parts there are. */
int names_part_count(const struct name_group *group);

/* Outputs of a parameter: rows of a matrix, values of a vector. */
int64_t names_outputs(const struct parameter *parameter);
/* Outputs of the whole stored tensor. */
int64_t names_stored_outputs(const struct name_group *group);
/* Where output `output` of part `part` lies in the stored tensor. */
int64_t names_place(const struct name_group *group, int part, int64_t output);
/* Whether a part's outputs follow one another in the stored tensor in their own order. */
bool names_contiguous(const struct name_group *group);
/* Inputs that keep their order among themselves come in runs of so many; the stored place of input
 * `input`, which begins such a run. */
int64_t names_input_run(const struct name_group *group);
int64_t names_input_place(const struct name_group *group, int64_t input);

/* A value of a vector as it is stored, and back; the latter is no number where none is stored so.
 */
float names_to_stored(const struct name_group *group, float value);
float names_from_stored(const struct name_group *group, float value);

#endif
