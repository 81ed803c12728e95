/* The part of cutting texts into words that goes over every byte, chosen by the processor: which
 * bytes of a lowered text are of letters, numbers and underscores, and which are white space (with
 * the separators U+001C to U+001F, as in regular expressions). */
#ifndef TEXT_WORD_MARKS_H
#define TEXT_WORD_MARKS_H

#include <stddef.h>
#include <stdint.h>

/* Of 64 bytes of text, one bit a byte, the first one lowest. What has neither bit is another
 * visible character, or lies beyond ASCII and is left to the caller. */
struct word_marks {
    uint64_t letters, spaces;
};

/* Marks 64 * blocks bytes, which are in lower case already. */
void word_marks_baseline(const char *text, size_t blocks, struct word_marks *marks);
void word_marks_avx2(const char *text, size_t blocks, struct word_marks *marks);

#endif
