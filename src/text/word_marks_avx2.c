/* See word_marks.h. 32 bytes are compared at once. */
#include "text/word_marks.h"

#if defined(__x86_64__)
#include <immintrin.h>

/* 0xff where first <= byte < first + count. */
static __m256i among(__m256i bytes, char first, char count)
{
    __m256i offset = _mm256_sub_epi8(bytes, _mm256_set1_epi8(first));
    __m256i least = _mm256_min_epu8(offset, _mm256_set1_epi8((char)(count - 1)));
    return _mm256_cmpeq_epi8(least, offset);
}

static uint32_t letters(__m256i bytes)
{
    __m256i line = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('_'));
    __m256i digit = among(bytes, '0', 10), letter = among(bytes, 'a', 26);
    return (uint32_t)_mm256_movemask_epi8(_mm256_or_si256(letter, _mm256_or_si256(digit, line)));
}

static uint32_t spaces(__m256i bytes)
{
    return (uint32_t)_mm256_movemask_epi8(_mm256_or_si256(among(bytes, 9, 5), among(bytes, 28, 5)));
}

void word_marks_avx2(const char *text, size_t blocks, struct word_marks *marks)
{
    for (size_t b = 0; b < blocks; b++, text += 64) {
        __m256i low = _mm256_loadu_si256((const __m256i *)text);
        __m256i high = _mm256_loadu_si256((const __m256i *)(text + 32));
        marks[b] = (struct word_marks){letters(low) | (uint64_t)letters(high) << 32,
                                       spaces(low) | (uint64_t)spaces(high) << 32};
    }
}
#endif
