/* See word_marks.h. The reference: one byte after the other. */
#include "text/word_marks.h"

void word_marks_baseline(const char *text, size_t blocks, struct word_marks *marks)
{
    for (size_t b = 0; b < blocks; b++, text += 64) {
        uint64_t letters = 0, spaces = 0;
        for (int i = 0; i < 64; i++) {
            unsigned c = (unsigned char)text[i];
            letters |= (uint64_t)(c - 'a' < 26 || c - '0' < 10 || c == '_') << i;
            spaces |= (uint64_t)(c - 9 < 5 || c - 28 < 5) << i;
        }
        marks[b] = (struct word_marks){letters, spaces};
    }
}
