/* Pre-tokenizers: how a text is cut into the words inside which a model works. They are described
 * as Hugging Face's tokenizer.json does, whatever file a tokenizer comes from, and compiled from
 * that into a chain of cuts, each of which cuts the pieces that the one before it has left. */
#ifndef TEXT_PRETOKENIZE_H
#define TEXT_PRETOKENIZE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/error.h"
#include "text/split.h"

struct pre_tokenizer;

/* Compiles the section "pre_tokenizer"; NULL or null: text is not cut. `name` is for messages. */
enum status pre_create(const json_t *section, const char *name, struct pre_tokenizer **pre,
                       struct error *error);
void pre_free(struct pre_tokenizer *pre);

/* Whether words become bytes (ByteLevel), and whether the space mark is put for spaces. */
bool pre_is_byte_level(const struct pre_tokenizer *pre);
bool pre_marks_spaces(const struct pre_tokenizer *pre);

/* The only pattern, when all that is done is cutting at its matches and keeping everything; else
 * NULL. */
const struct split_pattern *pre_single(const struct pre_tokenizer *pre);
/* Whether both cut every text in the same way, by the same steps. */
bool pre_equal(const struct pre_tokenizer *a, const struct pre_tokenizer *b);

typedef enum status pre_word_function(void *context, const char *word, size_t length,
                                      struct error *error);
/* Hands all words of the text to a function, in order. `first`: the text is the beginning of what
 * was given by the user. */
enum status pre_words(const struct pre_tokenizer *pre, const struct split_room *room,
                      const char *text, size_t length, bool first, pre_word_function *function,
                      void *context, struct error *error);

#endif
