/* Patterns that cut text. The patterns that models use are known here by their regular expression;
 * each common one has a scanner written out, many times faster than the expression; any other runs
 * through PCRE2. */
#ifndef TEXT_SPLIT_H
#define TEXT_SPLIT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* The pattern of GPT-2, which adze's own tokenizers use too. */
#define SPLIT_GPT2                                                                                 \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
/* Those of Llama 3 and Qwen 2, which differ in how long a run of digits may be. */
#define SPLIT_LLAMA3                                                                               \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| "                     \
    "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define SPLIT_QWEN2                                                                                \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| "                          \
    "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define SPLIT_DIGIT "\\p{N}"

struct split_pattern;

/* What matching needs beside the pattern, one a thread. Zero-initialize, prepare before use. */
struct split_room {
    void *match;
};
enum status split_room_prepare(struct split_room *room, struct error *error);
void split_room_free(struct split_room *room);

/* Compiles a regular expression, or with `literal` a plain string. With `scanners` false even the
 * known patterns run through PCRE2, for tests. */
enum status split_create(const char *pattern, bool literal, bool scanners,
                         struct split_pattern **split, struct error *error);
void split_free(struct split_pattern *split);
const char *split_text(const struct split_pattern *split); /* the pattern itself */
bool split_is_literal(const struct split_pattern *split);

/* The scanner of a known pattern, which gives the end of the word at text[at]; else NULL. */
typedef size_t split_scanner(const char *text, size_t length, size_t at);
split_scanner *split_scan(const struct split_pattern *split);

/* The next match that begins at text[at] or behind; false when there is none. Any bytes are
 * accepted; a match is never empty. */
bool split_find(const struct split_pattern *split, const struct split_room *room, const char *text,
                size_t length, size_t at, size_t *begin, size_t *end);

/* End of the word that starts at text[at], at < length, where what the pattern does not match is a
 * word of its own. */
size_t split_next(const struct split_pattern *split, const struct split_room *room,
                  const char *text, size_t length, size_t at);

#endif
