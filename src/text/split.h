/* Pre-tokenization: cutting text into the words inside which merges happen. The patterns that
 * models use are known here by their regular expression; each common one has a scanner written
 * out, many times faster than the expression; any other runs through PCRE2. */
#ifndef TEXT_SPLIT_H
#define TEXT_SPLIT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* The pattern of GPT-2, which adze's own tokenizers use too. */
#define SPLIT_GPT2                                                                                 \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

struct split_pattern;

/* Compiles a pattern. What it does not match becomes a word of its own. */
enum status split_create(const char *pattern, struct split_pattern **split, struct error *error);
void split_free(struct split_pattern *split);
const char *split_text(const struct split_pattern *split); /* the pattern itself */

/* End of the word that starts at text[at], at < length. Any bytes are accepted. */
size_t split_next(struct split_pattern *split, const char *text, size_t length, size_t at);

#endif
