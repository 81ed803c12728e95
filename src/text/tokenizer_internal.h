/* The models behind tok_encode, and what they share; private to src/text. */
#ifndef TEXT_TOKENIZER_INTERNAL_H
#define TEXT_TOKENIZER_INTERNAL_H

#include "text/tokenizer.h"

/* Each appends the ids of one word, length > 0. */
enum status tok_bpe_word(const struct tokenizer *tokenizer, struct tok_scratch *scratch,
                         const char *word, size_t length, struct tok_ids *out, struct error *error);
enum status tok_unigram_word(const struct tokenizer *tokenizer, struct tok_scratch *scratch,
                             const char *word, size_t length, struct tok_ids *out,
                             struct error *error);
enum status tok_wordpiece_word(const struct tokenizer *tokenizer, const char *word, size_t length,
                               struct tok_ids *out, struct error *error);

/* Appends what stands for a character that has no piece: its bytes' tokens, or the unknown token,
 * unless it is `joined` with an unknown character before it that has given one already. Sets
 * whether the unknown token was what it gave. */
enum status tok_unknown(const struct tokenizer *tokenizer, const char *character, size_t length,
                        bool joined, struct tok_ids *out, bool *unknown, struct error *error);

/* Room for `count` nodes in the scratch: 4 int32 and 3 uint64 each. */
enum status tok_reserve(struct tok_scratch *scratch, size_t count, struct error *error);

/* Compiles the section of the post-processor, which says what is put around texts. */
enum status tok_read_around(struct tokenizer *tokenizer, const char *name, struct error *error);
/* And that of the decoder. */
enum status tok_read_decoder(struct tokenizer *tokenizer, const char *name, struct error *error);

#endif
