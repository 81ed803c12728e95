/* Words as selectors count them: maximal runs of letters, numbers and underscores, or of other
 * visible characters, after lowercasing by the full Unicode mapping. Most text is ASCII, which is
 * lowered and classified many bytes at a time; each character beyond is looked up. */
#ifndef TEXT_WORDS_H
#define TEXT_WORDS_H

#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "text/word_marks.h"

/* Spaces behind the lowered text: what reads a whole block from a word's start stays inside. */
#define WORDS_PADDING 64

struct word {
    uint32_t begin, length; /* in the lowered text */
};

/* The words of one text after the other. */
struct words {
    struct buffer lower; /* the text in lower case, with padding */
    struct word *items;
    int64_t count, capacity;
    struct word_marks *marks;
    size_t mark_capacity;
    void (*mark)(const char *text, size_t blocks, struct word_marks *marks);
};

/* Chooses what fits the processor; nothing is allocated yet. Free with words_free. */
void words_init(struct words *words);
void words_free(struct words *words);

/* Replaces what was there by the words of `text`, of which bytes that are no UTF-8 count as U+FFFD.
 * Texts of 4 GiB and more are an error. */
enum status words_cut(struct words *words, const char *text, size_t length, struct error *error);

#endif
