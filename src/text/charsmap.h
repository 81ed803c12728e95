/* SentencePiece's precompiled normalization rules: a double-array trie from byte strings to what
 * replaces them, as it lies in tokenizer.model, in GGUF and, in base64, in tokenizer.json. */
#ifndef TEXT_CHARSMAP_H
#define TEXT_CHARSMAP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/error.h"

struct charsmap {
    const unsigned char *units; /* `unit_count` little-endian numbers of 32 bits */
    uint64_t unit_count;
    const char *texts; /* replacements, each with a 0 behind it */
    uint64_t text_bytes;
};

/* Uses the bytes where they lie. */
enum status charsmap_open(const void *bytes, size_t length, const char *name, struct charsmap *map,
                          struct error *error);

/* Applies the rules. `longest`: at each place the longest rule wins, as SentencePiece does it; else
 * each group of characters that are seen as one is looked up as a whole when it is short, then each
 * character, as Hugging Face's tokenizers does it. */
void charsmap_apply(const struct charsmap *map, bool longest, const char *text, size_t length,
                    struct buffer *out);

#endif
