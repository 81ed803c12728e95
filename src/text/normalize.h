/* Normalizers: what is done to a text before it is cut and looked up. They are described as Hugging
 * Face's tokenizer.json does, whatever file a tokenizer comes from, and compiled from that. */
#ifndef TEXT_NORMALIZE_H
#define TEXT_NORMALIZE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/error.h"
#include "text/split.h"

struct normalizer;

/* Compiles the section "normalizer"; NULL or null: text stays as it is, and the result is NULL.
 * `longest`: precompiled rules apply as in SentencePiece (see charsmap.h). */
enum status normalizer_create(const json_t *section, bool longest, const char *name,
                              struct normalizer **normalizer, struct error *error);
void normalizer_free(struct normalizer *normalizer);

/* Whether the result has the mark of SentencePiece for spaces. */
bool normalizer_marks_spaces(const struct normalizer *normalizer);

/* Writes the normalized text into `out`, which is emptied first. */
enum status normalizer_run(const struct normalizer *normalizer, const struct split_room *room,
                           const char *text, size_t length, struct buffer *out,
                           struct error *error);

#endif
